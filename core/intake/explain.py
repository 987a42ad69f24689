"""The whole decision about a message, without recording anything of it."""

from typing import Any

from sqlalchemy.orm import Session

from core.i18n import gettext
from core.intake.again import summary_of
from core.intake.decision import reply_to
from core.intake.look_up import PutOff
from core.intake.prepare import Prepared
from core.intake.simulate import Tried, decide_now, prepared_of
from core.organisation import load_organisation


def explain(session: Session, mail: Prepared | PutOff) -> dict[str, Any]:
    """Return what ``decide_now`` finds, in the shape of ``schalter explain --json``."""
    prepared = prepared_of(mail)
    (tried,) = decide_now(session, load_organisation(session), [mail])
    sender = tried[0].facts.sender
    return {
        "recipients": [_recipient(prepared, each) for each in tried],
        "sender": {
            "address": prepared.message.from_.address or "",
            "evidence": sender.evidence.value,
            "why": gettext(sender.why),
        },
        "message": _message(prepared),
        "steps": [
            {
                "rule": step.rule,
                "answer": step.answer,
                "because": gettext(step.because, **dict(step.values)),
            }
            for step in dict.fromkeys(step for each in tried for step in each.decision.steps)
        ],
    }


def _recipient(prepared: Prepared, tried: Tried) -> dict[str, Any]:
    match = tried.facts.match
    summary = summary_of(tried.facts.organisation, tried.decision)
    return {
        "recipient": tried.facts.recipient,
        "decision": summary.kind.value,
        "reason": summary.reason,
        "reply": str(reply_to(tried.decision.outcome, prepared.reference)),
        "queue": summary.queue or None,
        "ticket": summary.ticket,
        "customer_user": match.account.login if match.account else None,
        "customer_number": match.customer_number,
        "matched_by": match.matched_by.value,
    }


def _message(prepared: Prepared) -> dict[str, Any]:
    message = prepared.message
    return {
        "subject": message.subject,
        "from": message.from_.display,
        "to": list(message.to),
        "date": message.date.isoformat() if message.date else None,
        "message_id": message.message_id,
        "text": message.text,
        "has_html": message.has_html,
        "attachments": [
            {
                "filename": attachment.filename,
                "content_type": attachment.content_type,
                "size": attachment.size,
            }
            for attachment in message.attachments
        ],
        "defects": list(message.problems),
    }
