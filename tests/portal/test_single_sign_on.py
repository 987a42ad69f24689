"""Signing in through an identity provider: who gets in, as whom, and where they arrive."""

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from core.config import Config
from core.models import AuditEvent, CustomerUser, CustomerUserAddress, now
from core.words import Validity
from portal import sign_on_attempts
from portal.customer_sources import set_customer_sources
from tests.sources.crm import Crm
from tests.support.openid import ScriptedProvider
from tests.support.portal import RunningPortal, customer_user, post, staff
from tests.support.single_sign_on import (
    Configure,
    begin,
    come_back,
    press,
    sessions_of,
    sign_on,
    told,
    visitor,
)

UNCONFIRMED = "Work ID has not confirmed who you are as it is needed here."
NOBODY = "There is no account here that belongs to your sign-in with Work ID."


def test_off_by_default(pages: RunningPortal) -> None:
    client = visitor(pages)
    for path in ("/sign-in", "/staff/sign-in"):
        assert "/sign-on/" not in client.get(path).get_data(as_text=True)
    assert press(client).status_code == 404
    assert client.get("/sign-on/work/callback?code=1&state=2").status_code == 404


@pytest.mark.parametrize(
    ("accounts", "offered"),
    [
        ("staff", ["/staff/sign-in"]),
        ("customers", ["/sign-in"]),
        ("both", ["/sign-in", "/staff/sign-in"]),
    ],
)
def test_only_those_are_offered_it_whom_it_is_for(
    accounts: str, offered: list[str], pages: RunningPortal, configure: Configure
) -> None:
    configure(accounts=accounts)
    client = visitor(pages)
    for path, who in (("/sign-in", "customers"), ("/staff/sign-in", "staff")):
        has_button = "Sign in with Work ID" in client.get(path).get_data(as_text=True)
        assert has_button == (path in offered)
        assert press(client, who).status_code == (200 if path in offered else 404)


def test_a_customer_user_signs_in(
    pages_everywhere: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages_everywhere)
    answer = sign_on(client, provider)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/tickets")
    assert "Anna Müller" in client.get("/tickets").get_data(as_text=True)
    assert sessions_of(pages_everywhere) == ["anna"]
    with pages_everywhere.database.read() as session:
        event = session.scalars(select(AuditEvent)).one()
        assert (event.action, event.object_name) == ("signed-in", "anna")
        assert event.after == {"provider": "Work ID"}


def test_a_member_of_staff_signs_in(
    pages_everywhere: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    provider.claims = {"sub": "1", "email": "Jonas@Example.ORG", "email_verified": True}
    client = visitor(pages_everywhere)
    answer = sign_on(client, provider, "staff")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/staff/")
    assert client.get("/staff/").status_code == 200
    assert sessions_of(pages_everywhere) == ["jonas"]


def test_the_history_names_the_provider(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    sign_on(visitor(pages), provider)
    page = visitor(pages, "ada").get("/admin/audit").get_data(as_text=True)
    text = re.sub(r"<[^>]*>|\s+", " ", page)
    assert re.search(r"Signed in with\W+Work ID", text), text


@pytest.mark.parametrize(
    ("wanted", "arrives"),
    [
        ("/tickets/new", "/tickets/new"),
        ("//evil.example/", "/tickets"),
        ("https://evil.example/", "/tickets"),
        ("/tickets?" + "x" * sign_on_attempts.MAX_NEXT, "/tickets"),
    ],
)
def test_the_way_leads_on_to_the_page_that_was_wanted(
    wanted: str,
    arrives: str,
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
) -> None:
    answer = sign_on(visitor(pages), provider, next=wanted)
    assert answer.headers["Location"] == arrives


def test_the_page_that_was_wanted_is_kept_when_it_did_not_work(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    provider.claims["email"] = "nobody@muster.example"
    answer = sign_on(visitor(pages), provider, next="/tickets/new")
    assert answer.headers["Location"] == "/sign-in?next=/tickets/new"


def test_the_way_is_begun_by_a_form_of_ours(pages: RunningPortal, configure: Configure) -> None:
    client = visitor(pages)
    assert client.post("/sign-on/work/customers").status_code == 400
    shown = client.get("/sign-on/work/customers")
    assert (shown.status_code, shown.headers["Location"]) == (303, "/sign-in")
    headers = {"Origin": "https://evil.example"}
    assert client.post("/sign-on/work/customers", headers=headers).status_code == 400


def test_what_the_provider_is_asked_for(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    configure(scopes=["openid", "email"])
    provider.metadata["authorization_endpoint"] = f"{provider.url}/authorize?tenant=1"
    first, second = (parse_qs(urlsplit(begin(visitor(pages))).query) for _each in range(2))
    assert first["tenant"] == ["1"]
    assert first["scope"] == ["openid email"]
    assert first["redirect_uri"] == ["http://127.0.0.1:8080/sign-on/work/callback"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) == 43
        assert first[name] != second[name]


def test_several_tabs_at_once(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    tabs = [
        (begin(client), "anna@muster.example", "/tickets"),
        (begin(client, "staff"), "ada@example.org", "/staff/"),
        (begin(client), "bert@muster.example", "/tickets"),
    ]
    for address, email, home in reversed(tabs):
        provider.claims["email"] = email
        answer = come_back(client, provider.authorize(address))
        assert answer.headers["Location"] == home
    assert sessions_of(pages) == ["anna"]  # each ends the one before in this browser


def test_of_very_many_tabs_the_oldest_is_forgotten(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client = visitor(pages)
    there = []
    for seconds in range(sign_on_attempts.MAX_TABS + 1):
        moment = now().timestamp() - 60 + seconds
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda moment=moment: moment)
        there.append(begin(client))
    monkeypatch.undo()
    assert "was not begun" in told(client, come_back(client, provider.authorize(there[0])))
    for address in there[1:]:
        answer = come_back(client, provider.authorize(address))
        assert answer.headers["Location"] == "/tickets"


def test_an_earlier_session_ends(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages, "bert")
    before = client.get_cookie("schalter")
    answer = come_back(client, provider.authorize(_begin_signed_in(client)))
    assert answer.headers["Location"] == "/tickets"
    assert sessions_of(pages) == ["anna"]
    after = client.get_cookie("schalter")
    assert before is not None
    assert after is not None
    assert before.value != after.value


def _begin_signed_in(client: FlaskClient) -> str:
    answer = post(client, "/sign-on/work/customers", {}, form_at="/tickets")
    found = re.search(r'content="0; url=([^"]*)"', answer.get_data(as_text=True))
    assert found
    return found[1].replace("&amp;", "&")


def test_signing_out_ends_our_session(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    client = visitor(pages)
    sign_on(client, provider)
    post(client, "/sign-out", {}, form_at="/tickets")
    assert sessions_of(pages) == []


def test_who_has_used_no_password_must_not_change_it(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    with pages.database.write() as session:
        staff(session, "jonas").must_change_password = True
    provider.claims["email"] = "jonas@example.org"
    client = visitor(pages)
    sign_on(client, provider, "staff")
    assert client.get("/staff/").status_code == 200
    by_password = visitor(pages, "jonas").get("/staff/")
    assert by_password.headers["Location"] == "/staff/account/password"
    token = client.get_cookie("schalter")
    assert token is not None
    other = visitor(pages, "jonas")
    kept = other.get_cookie("schalter")
    assert kept is not None
    other.set_cookie("schalter", f"p.{kept.value}")  # nobody can make one of the other
    assert other.get("/staff/").headers["Location"].startswith("/staff/sign-in")


# Which claim, compared with what, what the token says, as what: who gets in.
MATCHES = [
    ({}, {}, "customers", "anna"),
    ({}, {"email": "ANNA@MUSTER.EXAMPLE"}, "customers", "anna"),
    ({}, {"email": "anna"}, "customers", None),  # a login is no address
    ({}, {"email": "bert@muster.example", "preferred_username": "anna"}, "customers", "bert"),
    ({}, {"email": "jonas@example.org"}, "customers", None),  # of staff
    ({}, {}, "staff", None),  # of a customer
    ({}, {"email": "jonas@example.org"}, "staff", "jonas"),
    ({"claim": "preferred_username", "matches": "login"}, {"preferred_username": "Anna"},
     "customers", "anna"),
    ({"claim": "preferred_username", "matches": "login"},
     {"preferred_username": "anna@muster.example"}, "customers", None),  # an address is no login
    ({"claim": "oid", "matches": "login"}, {"oid": "jonas"}, "staff", "jonas"),
    ({"claim": "oid", "matches": "login"}, {"oid": "ännä"}, "customers", None),  # somebody else
    ({"claim": "sub", "matches": "login"}, {"sub": "ada"}, "staff", "ada"),
    ({"claim": "upn", "trust_unverified": True}, {"upn": "ada@example.org"}, "staff", "ada"),
    ({"claim": "upn"}, {"upn": "ada@example.org", "email": "ada@example.org"}, "staff", "ada"),
    ({"trust_unverified": True}, {"email_verified": False}, "customers", "anna"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "claims", "who", "expected"), MATCHES)
def test_the_claim_names_an_account(
    section: dict[str, object],
    claims: dict[str, object],
    who: str,
    expected: str | None,
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
) -> None:
    configure(**section)
    provider.claims |= claims
    client = visitor(pages)
    answer = sign_on(client, provider, who)
    if expected is None:
        assert told(client, answer) == NOBODY
        assert sessions_of(pages) == []
    else:
        assert sessions_of(pages) == [expected]


# What the token says that names nobody: each is told the same, and begins nothing.
UNNAMED = [
    {"email_verified": False},
    {"email_verified": "true"},
    {"email_verified": 1},
    {"email_verified": None},
    {"email": ["anna@muster.example"]},
    {"email": {"$ne": ""}},
    {"email": ""},
    {"email": "  "},
    {"email": None},
    {"email": "anna@muster.example\u200b"},
    {"email": "anna@muster.example" + " " * 500},
]


@pytest.mark.parametrize("claims", UNNAMED, ids=repr)
def test_a_claim_that_proves_nothing_names_nobody(
    claims: dict[str, object],
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
) -> None:
    provider.claims |= claims
    client = visitor(pages)
    assert told(client, sign_on(client, provider)) == UNCONFIRMED
    assert sessions_of(pages) == []


@pytest.mark.parametrize(
    "claims", [{"upn": "ada@example.org"}, {"upn": "ada@example.org", "email": "x@example.org"}]
)
def test_what_is_verified_is_the_claim_email_only(
    claims: dict[str, object],
    pages: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
) -> None:
    configure(claim="upn")
    provider.claims |= claims
    client = visitor(pages)
    assert told(client, sign_on(client, provider, "staff")) == UNCONFIRMED
    assert sessions_of(pages) == []


def test_an_address_as_login_must_be_verified_as_well(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    configure(matches="login")
    with pages.database.write() as session:
        anna = customer_user(session, "anna")
        anna.login = anna.login_key = "anna@muster.example"
    client = visitor(pages)
    provider.claims["email_verified"] = False
    assert told(client, sign_on(client, provider)) == UNCONFIRMED
    provider.claims["email_verified"] = True
    sign_on(client, provider)
    assert sessions_of(pages) == ["anna@muster.example"]


def _is_invalid(account: CustomerUser) -> None:
    account.valid = Validity.INVALID


def _is_away(account: CustomerUser) -> None:
    account.valid = Validity.INVALID_TEMPORARILY
    account.invalid_until = now().date() + timedelta(days=3)


def _has_an_invalid_customer(account: CustomerUser) -> None:
    account.customer.valid = False


@pytest.mark.parametrize("change", [_is_invalid, _is_away, _has_an_invalid_customer])
def test_who_may_not_sign_in_is_told_the_same_as_who_has_no_account(
    change: Callable[[CustomerUser], None],
    pages_everywhere: RunningPortal,
    provider: ScriptedProvider,
    configure: Configure,
) -> None:
    with pages_everywhere.database.write() as session:
        change(customer_user(session, "anna"))
    client = visitor(pages_everywhere)
    assert told(client, sign_on(client, provider)) == NOBODY
    assert sessions_of(pages_everywhere) == []


def test_an_invalid_member_of_staff_is_refused(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    with pages.database.write() as session:
        staff(session, "jonas").valid = False
    provider.claims["email"] = "jonas@example.org"
    client = visitor(pages)
    assert told(client, sign_on(client, provider, "staff")) == NOBODY


def test_an_address_of_two_accounts_names_neither(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    with pages.database.write() as session:
        for login in ("anna", "bert"):
            account = customer_user(session, login)
            both = "office@muster.example"
            account.addresses.append(
                CustomerUserAddress(address=both, address_key=both, position=1, exclusive=False)
            )
        staff(session, "ada").email = "jonas@example.org"
    client = visitor(pages)
    provider.claims["email"] = "office@muster.example"
    assert told(client, sign_on(client, provider)) == NOBODY
    provider.claims["email"] = "jonas@example.org"
    assert told(client, sign_on(client, provider, "staff")) == NOBODY


def test_a_copy_of_a_record_signs_in_without_its_source(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    with pages.database.write() as session:
        anna = customer_user(session, "anna")
        anna.source, anna.source_key, anna.password_hash = "crm", "1", None
        anna.source_seen_at = now()
    sign_on(visitor(pages), provider)
    assert sessions_of(pages) == ["anna"]


def test_a_source_that_does_not_answer_is_no_secret(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure, crm: Crm
) -> None:
    """Who is known here gets in by the last good copy; nobody else learns whether they would."""
    crm.execute('DROP TABLE "Kunden Benutzer"')
    set_customer_sources(pages.app, Config(customer_sources=[crm.section()]))
    client = visitor(pages)
    try:
        provider.claims["email"] = "nobody@muster.example"
        assert "or it cannot be looked up at the moment" in told(client, sign_on(client, provider))
        provider.claims["email"] = "anna@muster.example"
        sign_on(client, provider)
    finally:
        set_customer_sources(pages.app, Config())
    assert sessions_of(pages) == ["anna"]


def test_a_client_without_a_secret_proves_itself_by_the_verifier(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    configure(client_secret_file="")
    provider.is_public = True
    sign_on(visitor(pages), provider)
    assert sessions_of(pages) == ["anna"]


def test_the_secret_goes_into_the_body_where_the_provider_wants_it(
    pages: RunningPortal, provider: ScriptedProvider, configure: Configure
) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    sign_on(visitor(pages), provider)
    assert sessions_of(pages) == ["anna"]
