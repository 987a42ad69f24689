"""Glewlwyd, an OpenID provider in C that Debian has: in a folder and on a port of its own.

``run_glewlwyd`` yields it with its plugin for OpenID Connect; users and clients are added over its
interface for admins, as its own pages do it.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.support.processes import free_port, run_process

PROVIDER = "schalter"  # the name of its plugin, which is part of its addresses
PASSWORD = "tulip orbit seventeen"
SCOPES: Final = ("openid", "email", "profile")
SECONDS = 10.0

_SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
_PAGES = Path("/usr/share/glewlwyd/webapp")
_ADMIN = {"username": "admin", "password": "password"}  # of its freshly made database


class NoGlewlwyd(Exception):
    """Glewlwyd cannot be run on this machine; the text says why."""


@dataclass(frozen=True)
class Glewlwyd:
    """A running Glewlwyd, and the right to change it."""

    url: str
    admin: requests.Session

    @property
    def issuer(self) -> str:
        """What its tokens name as their issuer."""
        return f"{self.url}/api/{PROVIDER}"

    def add_user(self, login: str, email: str, *, verified: bool = True) -> None:
        """Add somebody who signs in with ``PASSWORD``."""
        self.post(
            "user",
            {
                "username": login,
                "name": login.title(),
                "email": email,
                "password": PASSWORD,
                "email-verified": "1" if verified else "0",
                "scope": list(SCOPES),
            },
        )

    def add_client(self, client_id: str, secret: str, redirect_uri: str) -> None:
        """Register a program whose users come back to ``redirect_uri``."""
        self.post(
            "client",
            {
                "client_id": client_id,
                "name": "Schalter",
                "confidential": True,
                "client_secret": secret,
                "redirect_uri": [redirect_uri],
                "authorization_type": ["code"],
                "token_endpoint_auth_method": ["client_secret_basic"],
                "scope": list(SCOPES),
            },
        )

    def post(self, path: str, body: Mapping[str, object]) -> None:
        """Change something over the interface for admins."""
        answer = self.admin.post(
            f"{self.url}/api/{path}/",
            data=json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout=SECONDS,
        )
        assert answer.status_code == 200, (path, answer.status_code, answer.text)


@contextmanager
def run_glewlwyd(folder: Path) -> Iterator[Glewlwyd]:
    """Run Glewlwyd while the block lasts. Raises ``NoGlewlwyd``."""
    program = shutil.which("glewlwyd")
    if program is None or not _SCHEMA.is_file():
        raise NoGlewlwyd("glewlwyd is not installed")
    port = free_port()
    database = sqlite3.connect(folder / "glewlwyd.db")
    database.executescript(_SCHEMA.read_text())
    # Its admins may add to users and clients only what its database module is told of.
    database.execute(
        "UPDATE g_user_module_instance SET gumi_parameters = "
        'json_set(gumi_parameters, \'$."data-format"."email-verified"\', json(?))',
        ('{"multiple":false,"read":true,"write":true}',),
    )
    database.commit()
    database.close()
    config = folder / "glewlwyd.conf"
    _copy_pages(folder / "pages")
    config.write_text(_CONFIG.format(port=port, folder=folder))
    with run_process(program, "--config-file", config) as process:
        process.wait_for_port(port)
        url = f"http://localhost:{port}"  # another site than 127.0.0.1, where the portal is
        with requests.Session() as admin:
            signed_in = admin.post(f"{url}/api/auth/", json=_ADMIN, timeout=SECONDS)
            assert signed_in.status_code == 200, process.output
            glewlwyd = Glewlwyd(url, admin)
            for scope in SCOPES[1:]:
                glewlwyd.post("scope", {"name": scope, "password_required": True})
            glewlwyd.post("mod/plugin", _plugin(glewlwyd.issuer))
            yield glewlwyd


def _copy_pages(folder: Path) -> None:
    """Copy its pages: it follows no link, and Debian has made links of some files."""
    for file in _PAGES.rglob("*"):
        if file.is_file():
            copy = folder / file.relative_to(_PAGES)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    shutil.copyfile(_PAGES.parent / "templates/config.json", folder / "config.json")


def _plugin(issuer: str) -> dict[str, object]:
    key = ec.generate_private_key(ec.SECP256R1())
    return {
        "module": "oidc",
        "name": PROVIDER,
        "display_name": "Schalter",
        "parameters": {
            "iss": issuer,
            "jwt-type": "ecdsa",
            "jwt-key-size": "256",
            "key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "cert": key.public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode(),
            "jwks-show": True,
            "access-token-duration": 600,
            "refresh-token-duration": 600,
            "code-duration": 60,
            "refresh-token-rolling": False,
            "auth-type-code-enabled": True,
            "auth-type-code-revoke-replayed": True,
            "auth-type-token-enabled": False,
            "auth-type-implicit-enabled": False,
            "auth-type-password-enabled": False,
            "auth-type-client-enabled": False,
            "auth-type-device-enabled": False,
            "auth-type-refresh-enabled": False,
            "allow-non-oidc": False,
            "allowed-scope": list(SCOPES),
            "client_secret-parameter": "client_secret",
            "subject-type": "public",
            "pkce-allowed": True,
            "pkce-required": True,
            "pkce-method-plain-allowed": False,
            "email-claim": "mandatory",
            "name-claim": "mandatory",
            "claims": [
                {
                    "name": "email_verified",
                    "user-property": "email-verified",
                    "type": "boolean",
                    "boolean-value-true": "1",
                    "boolean-value-false": "0",
                    "mandatory": True,
                    "scope": [],
                },
                {
                    "name": "preferred_username",
                    "user-property": "username",
                    "type": "string",
                    "mandatory": True,
                    "scope": [],
                },
            ],
        },
    }


_CONFIG = """\
port = {port}
bind_address = "127.0.0.1"
external_url = "http://localhost:{port}"
login_url = "login.html"
api_prefix = "api"
static_files_path = "{folder}/pages/"
static_files_mime_types = (
  {{ extension = ".html", mime_type = "text/html", compress = 0 }},
  {{ extension = ".css", mime_type = "text/css", compress = 0 }},
  {{ extension = ".js", mime_type = "application/javascript", compress = 0 }},
  {{ extension = ".json", mime_type = "application/json", compress = 0 }}
)
log_mode = "console"
log_level = "WARNING"
cookie_secure = false
cookie_same_site = "lax"
session_expiration = 3600
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "/usr/lib/glewlwyd/user"
user_middleware_module_path = "/usr/lib/glewlwyd/user_middleware"
client_module_path = "/usr/lib/glewlwyd/client"
user_auth_scheme_module_path = "/usr/lib/glewlwyd/scheme"
plugin_module_path = "/usr/lib/glewlwyd/plugin"
hash_algorithm = "SHA512"
database = {{ type = "sqlite3", path = "{folder}/glewlwyd.db" }};
"""
