"""Awkward mails as bytes, each with what is expected of it beside it.

A mail that broke something joins in the commit that repairs it: put ``NAME.eml`` into the folder,
run ``python -m tests.mail.corpus``, which writes the expectations that are missing, and read them.
"""

import json
from pathlib import Path
from typing import Any

from core.mail.message import Message, parse

FOLDER = Path(__file__).parent / "corpus"


def names() -> list[str]:
    """Return the names of all mails."""
    return sorted(path.stem for path in FOLDER.glob("*.eml"))


def raw_mail(name: str) -> bytes:
    """Return the exact bytes of a mail."""
    return (FOLDER / f"{name}.eml").read_bytes()


def expected(name: str) -> dict[str, Any]:
    """Return what a mail is to be read as, in the form of ``described``."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def described(message: Message) -> dict[str, Any]:
    """Return a message as ``schalter explain --json`` shows it, and what the rules look at."""
    return {
        "subject": message.subject,
        "from": message.from_.display,
        "from_address": message.from_.address,
        "from_problem": message.from_.problem,
        "to": list(message.to),
        "date": message.date.isoformat() if message.date else None,
        "message_id": message.message_id,
        "in_reply_to": list(message.in_reply_to),
        "references": len(message.references),
        "text": message.text,
        "has_html": message.has_html,
        "attachments": [
            {
                "part": attachment.part,
                "filename": attachment.filename,
                "content_type": attachment.content_type,
                "size": attachment.size,
                "content_id": attachment.content_id,
                "inline": attachment.inline,
            }
            for attachment in message.attachments
        ],
        "automatic": message.is_automatic,
        "delivery_report": message.is_delivery_report,
        "defects": list(message.defects),
        "parse_error": message.parse_error,
    }


def write_missing() -> None:
    """Write the expectations of mails that have none, for somebody to read."""
    for name in names():
        path = FOLDER / f"{name}.json"
        if not path.exists():
            text = json.dumps(described(parse(raw_mail(name))), ensure_ascii=False, indent=2)
            path.write_text(text + "\n", "utf-8")
            print(path)


if __name__ == "__main__":
    write_missing()
