"""The whole decision about a message, without recording anything."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from core.i18n import gettext
from core.intake.decision import AppendArticle, Decision, reply_to
from core.intake.facts import Facts
from core.intake.gather import gather
from core.intake.incoming import Incoming
from core.intake.prepare import Prepared, prepare
from core.intake.rules import decide
from core.models import ticket_number
from core.organisation import load_organisation


def explain(session: Session, incoming: Incoming, keys: Sequence[bytes] = ()) -> dict[str, Any]:
    """Return what ``take_in`` would decide now, in the shape of ``schalter explain --json``.

    ``session`` may be a reading one, ``keys`` are those whose tokens are believed. Redeliveries
    are not looked for: the question is what the rules say.
    """
    prepared = prepare(incoming, keys)
    facts = gather(session, load_organisation(session), [prepared])[0]
    decisions = [decide(part) for part in facts]
    return {
        "recipients": [
            _recipient(prepared, part, decision)
            for part, decision in zip(facts, decisions, strict=True)
        ],
        "sender": {
            "address": prepared.message.from_.address or "",
            "evidence": facts[0].sender.evidence.value,
            "why": gettext(facts[0].sender.why),
        },
        "message": _message(prepared),
        "steps": [
            {
                "rule": step.rule,
                "answer": step.answer,
                "because": gettext(step.because, **dict(step.values)),
            }
            for step in dict.fromkeys(step for decision in decisions for step in decision.steps)
        ],
    }


def _recipient(prepared: Prepared, facts: Facts, decision: Decision) -> dict[str, Any]:
    outcome, match = decision.outcome, facts.match
    queue = facts.organisation.queues.get(outcome.queue_id or 0)
    return {
        "recipient": facts.recipient,
        "decision": outcome.kind.value,
        "reason": outcome.reason,
        "reply": str(reply_to(outcome, prepared.reference)),
        "queue": queue.name if queue else None,
        "ticket": ticket_number(outcome.ticket_id) if isinstance(outcome, AppendArticle) else None,
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
