"""What a mail causes to go out, put into the outbox with it: confirmations and notices.

Here is decided whether anybody may be answered at all: nobody who is not verified, no machine, no
address of ours (threats L1, L3 and L4). Texts, caps and mutes are the worker's business, which
composes these mails when it comes to them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.intake.decision import AppendArticle, OpenTicket, Reject
from core.intake.facts import Facts
from core.intake.identify import MatchKind
from core.intake.rows import Part
from core.mail.addresses import address_key, has_no_reader, split_subaddress
from core.outgoing.compose import to_ascii_domain
from core.words import Evidence, OutgoingKind, OutgoingState


@dataclass(frozen=True, slots=True)
class _Addressee:
    """Who gets a mail; ``customer_user_id`` is None for somebody without an account."""

    address: str
    language: str
    customer_user_id: int | None


def outgoing_rows(part: Part) -> Iterator[dict[str, Any]]:
    """Yield the rows of the outbox that a mail causes; their texts are composed later."""
    facts = part.facts
    if part.same_as is not None or facts.release is not None or not _may_answer(part):
        return
    kind, sender = _confirmation(part), _sender(facts, is_new=part.opens_ticket)
    if kind is not None and sender is not None and not _is_nobody(facts, sender.address):
        yield _row(part, kind, sender)
    reader = _other_reader(part)
    if reader is not None and not _is_nobody(facts, reader.address):
        yield _row(part, OutgoingKind.NOTICE, reader)


def _may_answer(part: Part) -> bool:
    facts = part.facts
    no_answer = facts.automatic or facts.wants_no_answer or facts.delivery_report
    if not facts.verified or no_answer:
        return False
    return facts.portal is not None or not _is_nobody(facts, facts.sender.address)


def _is_nobody(facts: Facts, address: str) -> bool:
    """Whether nobody reads there, or we do."""
    key = address_key(address) or address
    base, _tag = split_subaddress(key)
    is_ours = not {base, key}.isdisjoint(facts.organisation.queue_by_address)
    return is_ours or has_no_reader(address)


def _confirmation(part: Part) -> OutgoingKind | None:
    """Return which confirmation the sender gets; none in a burst, nor for what they cannot see."""
    match part.decision.outcome:
        case OpenTicket(burst=False, reason=reason):
            is_continued = reason == "reply-to-closed"
            return OutgoingKind.NEW_TICKET if is_continued else OutgoingKind.RECEIVED
        case AppendArticle(visible=True, reason=reason) if reason != "burst":
            return OutgoingKind.FOLLOW_UP
        case Reject(reason="ticket-closed") if part.facts.portal is None:
            return OutgoingKind.REJECTED
    return None


def _sender(facts: Facts, *, is_new: bool) -> _Addressee | None:
    """Return where to answer the sender: the registered main address, never a Reply-To.

    Somebody without an account is answered at their proven address, and once: a stranger whom a
    queue takes, and a new address in a domain of a customer (row M3).
    """
    account = facts.match.account
    settings = facts.organisation.settings
    if account is not None and account.valid and account.address:
        if facts.portal is not None and not account.notices:
            return None
        language = account.language or settings.language
        return _Addressee(account.address, language, account.customer_user_id)
    has_no_account = facts.match.kind in {MatchKind.UNKNOWN, MatchKind.KNOWN_DOMAIN}
    if has_no_account and is_new and facts.sender.evidence is Evidence.VERIFIED:
        return _Addressee(facts.sender.address, settings.language, None)
    return None


def _other_reader(part: Part) -> _Addressee | None:
    """Return whose ticket it is, where somebody else has written something that they may see."""
    outcome, facts = part.decision.outcome, part.facts
    if not isinstance(outcome, AppendArticle) or not outcome.visible or outcome.reason == "burst":
        return None
    ticket, account = facts.ticket(outcome.ticket_id), facts.match.account
    writer = account.customer_user_id if account is not None else None
    reader = ticket.reader
    if reader is None or not reader.notices or ticket.customer_user_id == writer:
        return None
    language = reader.language or facts.organisation.settings.language
    return _Addressee(reader.address, language, ticket.customer_user_id)


def _row(part: Part, kind: OutgoingKind, to: _Addressee) -> dict[str, Any]:
    address = to_ascii_domain(to.address)
    at: datetime = part.filed_at
    return {
        "kind": kind,
        "state": OutgoingState.WAITING,
        "queue_id": part.decision.outcome.queue_id,
        "ticket_id": _ticket_id(part),
        "article_id": part.article_id,
        "customer_user_id": to.customer_user_id,
        "mail_from": "",
        "recipient": address,
        "recipient_key": address_key(address) or address,
        "subject": "",
        "message_id": "",
        "language": to.language,
        "created_at": at,
        "next_try_at": at,
        "attempts": 0,
        "reply": "",
        "bounce": "",
    }


def _ticket_id(part: Part) -> int | None:
    """Return the ticket that it is about: of a refused follow-up the closed one."""
    follow_up = part.facts.follow_up
    if part.ticket_id is None and follow_up is not None:
        return follow_up.ticket.id
    return part.ticket_id
