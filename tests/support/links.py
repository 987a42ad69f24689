"""What the worker does with the requests and invitations of a test, without a relay."""

import re
from email import message_from_bytes
from email.policy import default
from pathlib import Path

from sqlalchemy import select

from core.accounts.password_links import answer_requests, posting_of
from core.db import Database
from core.models import OutgoingMail, now
from core.outgoing.compose import compose
from core.outgoing.installation import Installation
from core.outgoing.outbox import letter_of
from core.secret_key import Keys, ensure_secret_key

OURS = "https://help.example"  # where the links in mails lead to


def mailed(database: Database, folder: Path) -> str:
    """Let the worker answer, and send; return the text of the newest mail as it goes out."""
    key = str(folder / "mail.key")
    ensure_secret_key(key)
    installation = Installation(Keys(key), OURS, "mx.help.example")
    with database.write() as session:
        answer_requests(session)
        newest = select(OutgoingMail).order_by(OutgoingMail.id.desc()).limit(1)
        mail = session.scalars(newest).one()
        letter = letter_of(installation, posting_of(session, installation, mail), mail.id, now())
    return str(message_from_bytes(compose(letter), policy=default).get_content())


def link_in(text: str) -> str:
    """Return the path of the link with a secret in a mail; it must lead to us."""
    (found,) = re.findall(r"(\S*/password/[0-9a-f]{64})\b", text)
    assert str(found).startswith(OURS + "/"), found
    return str(found).removeprefix(OURS)
