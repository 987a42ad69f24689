"""The whole way through an identity provider without a browser.

``provider`` is a scripted one (``tests.support.openid``) and ``configure`` lets the pages of this
test know it, again with other keys of its table where a test needs them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from core.config import Config
from core.models import CustomerUser, Staff, WebSession
from portal.app import Portal
from portal.identity_providers import set_identity_providers
from tests.support.openid import ScriptedProvider, run_provider, section_of
from tests.support.portal import RunningPortal, post

Configure = Callable[..., None]


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    """A provider that says the truth, until it is told otherwise."""
    with run_provider() as running:
        yield running


@pytest.fixture
def configure(
    provider: ScriptedProvider, shared_app: Portal, tmp_path: Path
) -> Iterator[Configure]:
    """Configures ``provider`` under the name *work*, with what is named otherwise."""

    def configure(**changed: object) -> None:
        let_in_by(shared_app, section_of(provider, tmp_path, **changed))

    configure()
    yield configure
    let_in_by(shared_app)


def let_in_by(app: Portal, *sections: Mapping[str, object]) -> None:
    """Give an application other identity providers."""
    config = Config(single_sign_on=list(sections))  # type: ignore[arg-type]  # as from a file
    with app.app_context():
        set_identity_providers(app, config)


def visitor(pages: RunningPortal, login: str | None = None) -> FlaskClient:
    """Return a browser that wants English pages."""
    client = pages.client(login)
    client.set_cookie("language", "en")
    return client


def press(
    client: FlaskClient, who: str = "customers", name: str = "work", **fields: str
) -> TestResponse:
    """Press the button on the sign-in page."""
    form_at = "/staff/sign-in" if who == "staff" else "/sign-in"
    return post(client, f"/sign-on/{name}/{who}", fields, form_at=form_at)


def begin(client: FlaskClient, who: str = "customers", name: str = "work", **fields: str) -> str:
    """Press the button and return where the page leads."""
    answer = press(client, who, name, **fields)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200, page
    found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]*)">', page)
    assert found, page
    return unescape(found[1])


def come_back(client: FlaskClient, answer: Mapping[str, str], name: str = "work") -> TestResponse:
    """Open the address to which the provider leads."""
    return client.get(f"/sign-on/{name}/callback?{urlencode(answer)}")


def sign_on(
    client: FlaskClient, provider: ScriptedProvider, who: str = "customers", **fields: str
) -> TestResponse:
    """Go the whole way."""
    return come_back(client, provider.authorize(begin(client, who, **fields)))


def told(client: FlaskClient, answer: TestResponse) -> str:
    """Return the sentence above the form to which somebody was led back."""
    assert answer.status_code == 303, answer.get_data(as_text=True)
    path = answer.headers["Location"]
    assert path.partition("?")[0] in ("/sign-in", "/staff/sign-in"), path
    page = client.get(path).get_data(as_text=True)
    found = re.search(r'<div class="alert alert-warning".*?<span>(.*?)</span>', page, re.DOTALL)
    assert found, page
    return unescape(found[1])


def sessions_of(pages: RunningPortal) -> Sequence[str]:
    """Return the logins of those who have a session, the last begun last."""
    with pages.database.read() as session:
        rows = session.scalars(select(WebSession).order_by(WebSession.created_at)).all()
        return [
            session.get_one(Staff, row.staff_id).login
            if row.staff_id is not None
            else session.get_one(CustomerUser, row.customer_user_id).login
            for row in rows
        ]
