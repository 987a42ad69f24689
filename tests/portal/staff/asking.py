"""What tests of staff pages ask of pages and of the audit log."""

import re
from html import unescape
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from core.models import AuditEvent
from tests.support.portal import post, token_of

OPENING_TAG = re.compile(r"<[^>]+>")


def page(client: FlaskClient, path: str, status: int = 200) -> str:
    """Return the source of a page."""
    answer = client.get(path)
    assert answer.status_code == status, f"{path}: {answer.status_code}\n{words(answer)[-1500:]}"
    return answer.get_data(as_text=True)


def words(source: str | TestResponse) -> str:
    """Return what the main part of a page says, as one line."""
    text = source if isinstance(source, str) else source.get_data(as_text=True)
    main = text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(OPENING_TAG.sub(" ", main)).split())


def rows(source: str) -> list[str]:
    """Return the texts of the links that the rows of a list have."""
    found = re.findall(r'class="row-link"[^>]*>([^<]*)<', source)
    return [unescape(text) for text in found]


def send(
    client: FlaskClient, path: str, form_at: str | None = None, /, **fields: Any
) -> TestResponse:
    """Send a form with the token of the page it stands on."""
    return post(client, path, fields, form_at or path)


def send_anyway(client: FlaskClient, path: str, /, **fields: Any) -> TestResponse:
    """Send a form that one was never shown."""
    token = token_of(client, "/staff/account/data")
    return client.post(path, data={"csrf_token": token, **fields})


def hidden(source: str, name: str) -> str:
    """Return the value of a hidden field."""
    found = re.search(rf'name="{name}" type="hidden" value="([^"]*)"', source) or re.search(
        rf'type="hidden" (?:id="[^"]*" )?name="{name}" value="([^"]*)"', source
    )
    assert found, f"no field {name}"
    return unescape(found[1])


def last_event(session: Session) -> AuditEvent:
    """Return what was written to the audit log last."""
    return session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
