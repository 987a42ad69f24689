"""The rules for mail that belongs to a ticket: the follow-up table of table D, and its neighbours.

A token of ours (T2) proves that the sender has a mail of ours; a number in the subject (T1) proves
nothing. Only a verified participant changes a ticket's state. An answer never tells whether a
number exists: ``550`` for a closed ticket is given to participants and for tokens only.
"""

from typing import assert_never

from core.i18n import N_
from core.intake import replies
from core.intake.decision import Answer, AppendArticle, Discard, Hold, OpenTicket, Reject
from core.intake.facts import Facts, FollowUpFacts, Relation
from core.words import Evidence, Flag, FollowUp, TicketState


def own_mail_back(facts: Facts) -> Answer | None:
    """A mail of ours has come back under the Message-ID that we gave it (threat L5)."""
    if not facts.own_mail:
        return None
    return Answer(
        Reject("own-mail", replies.OWN_MAIL, facts.queue.id if facts.queue else None),
        N_("A mail of ours that has come back: somebody forwards it to us."),
    )


def released_to_ticket(facts: Facts, queue_id: int) -> Answer:
    """Staff say which ticket a held mail belongs to; the rules say whether its sender may.

    Only a ticket that the account, or its customer, has a part in.
    """
    found = facts.follow_up
    if found is None or found.relation is Relation.FOREIGN:
        return Answer(
            Hold("ticket-foreign", queue_id),
            N_("The ticket is not one of this sender's: choose the account, or another ticket."),
        )
    for rule in (ticket_out_of_reach, own_follow_up, follow_up_of_colleague):
        if (answer := rule(facts)) is not None:
            return answer
    raise AssertionError("the two relations that remain are answered")


def report_on_our_mail(facts: Facts) -> Answer | None:
    """A mail server reports what became of a mail of ours: never a change of a ticket (L6)."""
    if not facts.delivery_report or facts.outgoing_id is None:
        return None
    if (found := _proven(facts)) is None:
        return Answer(
            Discard("bounce-without-ticket", facts.queue.id if facts.queue else None),
            N_("A mail server's report about a mail of ours that belongs to no ticket."),
        )
    return Answer(
        _internal("bounce", found, Flag.DELIVERY_REPORT),
        N_("A mail server's report about a mail of ours: noted in ticket %(number)s."),
        _number(found),
    )


def token_of_unclear_sender(facts: Facts) -> Answer | None:
    """A token, but not exactly one clean From mailbox (row V0); ``strict`` refuses that."""
    found = _proven(facts)
    if facts.sender.evidence is not Evidence.FAILED or facts.strict or found is None:
        return None
    return Answer(
        _internal("follow-up-unclear", found, Flag.SENDER_UNCLEAR),
        N_("It answers ticket %(number)s, but nobody can say who sent it: for staff only."),
        _number(found),
    )


def automatic_follow_up(facts: Facts) -> Answer | None:
    """A machine answers a mail of ours: kept with the ticket, which stays as it is (row V0)."""
    found = _proven(facts)
    if not facts.automatic or found is None:
        return None
    return Answer(
        _internal("follow-up-automatic", found, Flag.AUTOMATIC),
        N_("An automatic answer to ticket %(number)s: for staff only, and nothing changes."),
        _number(found),
    )


def ticket_out_of_reach(facts: Facts) -> Answer | None:
    """The sender has a part in the ticket, but may no longer write to its queue."""
    found = that_counts(facts)
    if found is None or found.relation is Relation.FOREIGN or found.allowed:
        return None
    queue = facts.organisation.queues[found.ticket.queue_id]
    return Answer(
        Hold("queue-forbidden", queue.id),
        N_("It belongs to ticket %(number)s, but the sender may not write to its queue %(queue)s."),
        (*_number(found), ("queue", queue.name)),
    )


def own_follow_up(facts: Facts) -> Answer | None:
    """The participant answers: with a token, or verified and with their own ticket's number.

    Row V2, and row V1 with T2: what is not verified changes no state.
    """
    found = that_counts(facts)
    if found is None or found.relation is not Relation.PARTICIPANT:
        return None
    is_closed = found.ticket.state is TicketState.CLOSED
    if is_closed and (answer := _closed_for_good(facts, found)) is not None:
        return answer
    added = AppendArticle(
        "follow-up-reopens" if is_closed and facts.verified else "follow-up",
        found.ticket.id,
        found.ticket.queue_id,
        flag=_flag(facts),
        answers=facts.verified,
        reopen=is_closed and facts.verified,
    )
    if not facts.verified:
        because = N_("It answers ticket %(number)s; the sender is not verified: its state stays.")
    elif is_closed:
        because = N_("It answers the closed ticket %(number)s; its queue lets it be opened again.")
    else:
        because = N_("It answers ticket %(number)s, which is the sender's own.")
    return Answer(added, because, _number(found))


def follow_up_of_colleague(facts: Facts) -> Answer | None:
    """Another person of the same customer, with a token.

    Who may see and answer the ticket in the portal does so by mail, too; what others write is for
    staff. Unverified it is for staff in any case.
    """
    found = that_counts(facts)
    if found is None or found.relation is not Relation.COLLEAGUE:
        return None
    if not facts.verified:
        return Answer(
            _internal("follow-up-other", found, Flag.SENDER_NOT_VERIFIED),
            N_("Another person of the customer answers ticket %(number)s, and is not verified."),
            _number(found),
        )
    is_closed = found.ticket.state is TicketState.CLOSED
    if is_closed and (answer := _closed_for_good(facts, found)) is not None:
        return answer
    added = AppendArticle(
        "follow-up-other",
        found.ticket.id,
        found.ticket.queue_id,
        visible=found.may_reply,
        flag=Flag.OTHER_PERSON,
        answers=found.may_reply,
        reopen=is_closed and found.may_reply,
    )
    because = N_("Another person of the customer answers ticket %(number)s: for staff only.")
    if found.may_reply:
        because = N_("Another person who may see the customer's tickets answers %(number)s.")
    return Answer(added, because, _number(found))


def follow_up_of_foreigner(facts: Facts) -> Answer | None:
    """Somebody else's address with a token: a mail of ours that was forwarded."""
    found = _proven(facts)
    if found is None or found.relation is not Relation.FOREIGN:
        return None
    return Answer(
        _internal("follow-up-foreign", found, Flag.FOREIGN_ADDRESS),
        N_("It answers ticket %(number)s from an address that has no part in it: for staff only."),
        _number(found),
    )


def automatic_with_number(facts: Facts) -> Answer | None:
    """A machine names a ticket of the sender's: no ticket is opened for that."""
    found = facts.follow_up
    if not facts.automatic or found is None or found.proven or found.relation is Relation.FOREIGN:
        return None
    return Answer(
        Hold("automatic", facts.queue.id if facts.queue else None),
        N_("An automatic mail that names ticket %(number)s, without proof that it answers us."),
        _number(found),
    )


def suggested_link(facts: Facts) -> int | None:
    """Return the ticket that a new one may belong to, by a number that proves nothing."""
    found = facts.follow_up
    if found is None or found.proven or found.relation is Relation.FOREIGN or not found.allowed:
        return None
    return found.ticket.id


def _closed_for_good(facts: Facts, found: FollowUpFacts) -> Answer | None:
    """Return what the queue of a closed ticket says to a follow-up, None where it may go in."""
    ticket = found.ticket
    follow_up = facts.follow_up_of(ticket)
    match follow_up:
        case FollowUp.POSSIBLE:
            return None
        case FollowUp.REJECT:
            return Answer(
                Reject("ticket-closed", replies.TICKET_CLOSED, ticket.queue_id),
                N_("The ticket is closed, and its queue takes no replies to closed tickets."),
            )
        case FollowUp.NEW_TICKET:
            return Answer(
                OpenTicket("reply-to-closed", ticket.queue_id, _flag(facts), linked_to=ticket.id),
                N_("The ticket is closed; its queue wants a new ticket, linked to it."),
            )
        case _:
            assert_never(follow_up)


def _proven(facts: Facts) -> FollowUpFacts | None:
    """Return the ticket that a token names."""
    found = facts.follow_up
    return found if found is not None and found.proven else None


def that_counts(facts: Facts) -> FollowUpFacts | None:
    """Return the ticket that a token names, or a number that a verified participant writes."""
    found = facts.follow_up
    if found is None or found.proven:
        return found
    is_own = found.relation is Relation.PARTICIPANT and facts.verified and not facts.automatic
    return found if is_own else None


def _internal(reason: str, found: FollowUpFacts, flag: Flag) -> AppendArticle:
    ticket = found.ticket
    return AppendArticle(
        reason, ticket.id, ticket.queue_id, visible=False, flag=flag, answers=False
    )


def _flag(facts: Facts) -> Flag | None:
    if not facts.verified:
        return Flag.SENDER_NOT_VERIFIED
    if facts.match.customer_id is None:
        return Flag.STRANGER
    if facts.match.account is None:
        return Flag.NEW_ADDRESS
    return Flag.UNREADABLE if facts.unreadable else None


def _number(found: FollowUpFacts) -> tuple[tuple[str, str], ...]:
    return (("number", str(found.ticket.number)),)
