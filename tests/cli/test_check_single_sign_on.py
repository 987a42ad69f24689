"""``schalter check`` about identity providers, and what their configuration may say."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from core.config import Config, load_config
from core.db import Database
from core.errors import ConfigError
from core.health import State, check_all, check_single_sign_on
from core.openid import limits
from tests.support.openid import ScriptedProvider, run_provider, section_of, send_json
from tests.support.processes import free_port

Lie = Callable[[ScriptedProvider], None]


def config_with(*sections: Mapping[str, object]) -> Config:
    return Config.model_validate({"single_sign_on": sections})


def test_nothing_is_said_without_a_provider() -> None:
    assert list(check_single_sign_on(Config())) == []


def test_a_provider_that_is_as_configured(tmp_path: Path) -> None:
    with run_provider() as provider:
        (check,) = check_single_sign_on(config_with(section_of(provider, tmp_path)))
        assert (check.name, check.state) == ("sign-on work", State.OK)
        assert check.text == (
            f"{provider.issuer} answers; redirect URI: http://127.0.0.1:8080/sign-on/work/callback"
        )
        assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


def test_it_is_part_of_the_whole(sqlite_database: Database, tmp_path: Path) -> None:
    with run_provider() as provider:
        config = config_with(section_of(provider, tmp_path))
        names = [check.name for check in check_all(config, sqlite_database)]
    assert names[-1] == "sign-on work"


def _calls_itself_otherwise(provider: ScriptedProvider) -> None:
    provider.metadata["issuer"] = "https://other.example"


def _has_no_keys(provider: ScriptedProvider) -> None:
    provider.replies["/keys"] = lambda handler: send_json(handler, {"keys": []})


def _takes_no_secret(provider: ScriptedProvider) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["private_key_jwt"]


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (_calls_itself_otherwise, "it calls itself 'https://other.example'"),
        (_has_no_keys, "its key set holds no public key"),
        (_takes_no_secret, "it takes no client_secret, neither by basic nor by post"),
    ],
)
def test_a_provider_that_does_not_fit(lie: Lie, reason: str, tmp_path: Path) -> None:
    with run_provider() as provider:
        lie(provider)
        (check,) = check_single_sign_on(config_with(section_of(provider, tmp_path)))
    assert check.state is State.FAILED
    assert check.text == f"{provider.issuer}: {reason}"


def test_one_that_is_away_does_not_hide_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOTAL_SECONDS", 2.0)
    with run_provider() as provider:
        here = section_of(provider, tmp_path)
        gone = {**here, "name": "gone", "issuer": f"http://127.0.0.1:{free_port()}"}
        silent = {**here, "name": "silent", "issuer": f"{provider.url}/silent"}
        provider.replies["/silent/.well-known/openid-configuration"] = lambda _handler: (
            provider.closing.wait(60)
        )
        checks = list(check_single_sign_on(config_with(gone, silent, here)))
    assert [check.state for check in checks] == [State.FAILED, State.FAILED, State.OK]
    assert checks[0].text.endswith(": connection refused")
    assert "no answer within" in checks[1].text


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    with run_provider() as provider:
        section = section_of(provider, tmp_path, client_secret_file=str(tmp_path / "none"))
        (check,) = check_single_sign_on(config_with(section))
    assert check.state is State.FAILED
    assert check.text.endswith(f"client_secret_file {tmp_path}/none: No such file or directory")


FILE = """\
[[single_sign_on]]
name = "entra"
label = "Microsoft"
issuer = "https://login.microsoftonline.com/0a1b/v2.0"
client_id = "schalter"
accounts = "both"
"""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ('name = "Entra ID"', "name must be 1 to 50 of a-z, 0-9, - and _"),
        ('label = ""', "at least 1 character"),
        ('label = "a\\nb"', "label must be one line of text"),
        ('issuer = "login.example"', "issuer must start with https://"),
        ('issuer = "http://login.example"', "issuer must start with https://"),
        ('issuer = "https://login.example/?a=1"', "neither a query nor a fragment"),
        ('issuer = "https://user@login.example"', "neither a query nor a fragment nor a user"),
        ('issuer = "https://login.example/ "', "without blanks"),
        ('accounts = "everybody"', "'staff', 'customers' or 'both'"),
        ('matches = "name"', "'login' or 'email'"),
        ('scopes = ["email"]', 'scopes must contain "openid"'),
        ('scopes = ["openid email"]', "scopes must be single words"),
        ('client_secret = "geheim"', "unknown key single_sign_on.0.client_secret"),
    ],
)
def test_what_cannot_be_used_is_refused(changed: str, reason: str, tmp_path: Path) -> None:
    key = changed.partition(" ")[0]
    lines = [line for line in FILE.splitlines() if not line.startswith(f"{key} =")]
    file = tmp_path / "schalter.toml"
    file.write_text("\n".join([*lines, changed]))
    with pytest.raises(ConfigError) as error:
        load_config(str(file))
    assert reason in str(error.value)
    assert "single_sign_on" in str(error.value)


def test_the_least_that_must_be_said(tmp_path: Path) -> None:
    file = tmp_path / "schalter.toml"
    file.write_text(FILE)
    (section,) = load_config(str(file)).single_sign_on
    assert (section.claim, section.matches, section.trust_unverified) == ("email", "email", False)


def test_two_cannot_have_one_name(tmp_path: Path) -> None:
    file = tmp_path / "schalter.toml"
    file.write_text(FILE * 2)
    with pytest.raises(ConfigError, match="two are called entra"):
        load_config(str(file))
