"""Who may open which page: a walk over every page as everybody."""

from pathlib import Path

import pytest
from werkzeug.routing import IntegerConverter, Rule

from core.db import Database
from portal.areas import (
    OPEN_ENDPOINTS,
    Audience,
    audience_of,
    check_every_page_has_an_audience,
)
from tests.support.portal import RunningPortal, make_app, token_of

PEOPLE = (None, "anna", "carol", "jonas", "ada")
SIGN_IN, STAFF_SIGN_IN, MISSING, DENIED, ALLOWED = "sign-in", "staff", "missing", "denied", "yes"

# audience: what nobody, a customer, an agent and an admin get
TABLE = {
    Audience.EVERYBODY: (ALLOWED, ALLOWED, ALLOWED, ALLOWED),
    Audience.SIGNED_IN: (SIGN_IN, ALLOWED, ALLOWED, ALLOWED),
    Audience.CUSTOMER: (SIGN_IN, ALLOWED, MISSING, MISSING),
    Audience.STAFF: (STAFF_SIGN_IN, MISSING, ALLOWED, ALLOWED),
    Audience.ADMIN: (STAFF_SIGN_IN, MISSING, DENIED, ALLOWED),
}
COLUMN = {None: 0, "anna": 1, "carol": 1, "jonas": 2, "ada": 3}


def all_rules(pages: RunningPortal) -> list[Rule]:
    rules = [r for r in pages.app.url_map.iter_rules() if r.endpoint not in OPEN_ENDPOINTS]
    assert len(rules) > 15
    return rules


def address_of(pages: RunningPortal, rule: Rule) -> str:
    """Return an address of a page with values that name nothing."""
    values = {
        name: 987654321 if isinstance(rule._converters[name], IntegerConverter) else "nix"
        for name in rule.arguments
    }
    with pages.app.test_request_context():
        return str(pages.app.url_for(rule.endpoint, **values))


def what_happened(status: int, location: str) -> str:
    if status in (302, 303) and location.startswith("/sign-in"):
        return SIGN_IN
    if status in (302, 303) and location.startswith("/staff/sign-in"):
        return STAFF_SIGN_IN
    return {403: DENIED, 404: MISSING}.get(status, ALLOWED)


@pytest.mark.parametrize("login", PEOPLE)
def test_every_page_is_open_to_its_audience_only(pages: RunningPortal, login: str | None) -> None:
    client = pages.client(login)
    wrong = []
    for rule in all_rules(pages):
        if "GET" not in (rule.methods or ()):
            continue
        expected = TABLE[audience_in(pages, rule)][COLUMN[login]]
        answer = client.get(address_of(pages, rule))
        found = what_happened(answer.status_code, answer.headers.get("Location", ""))
        # What names nothing is missing for those who may come in, too.
        if expected == ALLOWED and rule.arguments and found == MISSING:
            continue
        if expected == ALLOWED and audience_in(pages, rule) is Audience.EVERYBODY:
            continue
        assert answer.status_code < 500, rule
        if found != expected:
            wrong.append(f"{rule}: {found} ({answer.status_code}) instead of {expected}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("login", PEOPLE)
def test_every_form_is_accepted_from_its_audience_only(
    pages: RunningPortal, login: str | None
) -> None:
    client = pages.client(login)
    token = token_of(client, "/sign-in" if login is None else home_of(login))
    wrong = []
    for rule in all_rules(pages):
        audience = audience_in(pages, rule)
        expected = TABLE[audience][COLUMN[login]]
        if "POST" not in (rule.methods or ()) or expected == ALLOWED:
            continue
        answer = client.post(address_of(pages, rule), data={"csrf_token": token})
        if answer.status_code not in (401, 403, 404):
            wrong.append(f"{rule}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_a_page_outside_every_area_is_refused(sqlite_database: Database, tmp_path: Path) -> None:
    app = make_app(sqlite_database, tmp_path)
    check_every_page_has_an_audience(app)
    app.add_url_rule("/forgotten", "forgotten", lambda: "open to everybody")
    with pytest.raises(RuntimeError, match="forgotten"):
        check_every_page_has_an_audience(app)


def audience_in(pages: RunningPortal, rule: Rule) -> Audience:
    with pages.app.app_context():
        return audience_of(rule.endpoint)


def home_of(login: str) -> str:
    return "/staff/account/data" if login in ("jonas", "ada") else "/account/data"
