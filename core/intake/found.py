"""What was found about a mail before a rule answers: the first steps of every explanation."""

from core.i18n import N_
from core.intake.decision import Step
from core.intake.facts import Facts, FollowUpFacts, Relation, TicketClue
from core.intake.identify import MatchKind
from core.intake.sources_asked import SourcesAnswer, SourcesAsked

_FOUND = {
    MatchKind.ADDRESS: N_("The address belongs to %(login)s (Kunden# %(number)s)."),
    MatchKind.ADDRESS_AND_NUMBER: N_(
        "Address and Kunden# agree on %(login)s (Kunden# %(number)s)."
    ),
    MatchKind.KNOWN_DOMAIN: N_(
        "The Kunden# and the domain of the address are those of %(number)s."
    ),
    MatchKind.NUMBER_ONLY: N_("The mail names the Kunden# %(number)s; the address is unknown."),
    MatchKind.CONFLICT: N_("Address and Kunden# do not agree."),
    MatchKind.UNKNOWN: N_("Neither the address nor a Kunden# is known."),
    MatchKind.AMBIGUOUS: N_("Several accounts have the address."),
    MatchKind.INVALID_ACCOUNT: N_("The account is invalid."),
}


def what_was_found(facts: Facts) -> tuple[Step, ...]:
    """Return the steps before the rules: where to, who, whom we asked, and what they may do."""
    steps = []
    if facts.queue is not None:
        steps.append(
            Step(
                "recipient",
                facts.queue.name,
                N_("%(recipient)s is an address of the queue %(queue)s."),
                (("recipient", facts.recipient), ("queue", facts.queue.name)),
            )
        )
    steps.append(Step("sender", facts.sender.evidence.value, facts.sender.why))
    if facts.asked.names:
        steps.append(_sources_step(facts.asked))
    match = facts.match
    login = match.account.login if match.account else ""
    found = (("login", login), ("number", match.customer_number or ""))
    steps.append(Step("identify", match.kind.value, _FOUND[match.kind], found))
    if facts.access is not None and facts.queue is not None:
        steps.append(permission_step(facts))
    if facts.follow_up is not None:
        steps.append(_thread_step(facts.follow_up))
    return tuple(steps)


def _sources_step(asked: SourcesAsked) -> Step:
    names = (("sources", ", ".join(asked.names)),)
    if not asked.silent:
        return Step(
            "sources", SourcesAnswer.ANSWERED.value, N_("Asked who it is from: %(sources)s."), names
        )
    return Step(
        "sources",
        SourcesAnswer.AWAY.value,
        N_(
            "Asked who it is from: %(sources)s. No answer came from %(silent)s: of accounts kept "
            "there, the last good copies count."
        ),
        (*names, ("silent", ", ".join(asked.silent))),
    )


_HINTS = {
    Relation.PARTICIPANT: N_("The subject names ticket %(number)s, which is the sender's own."),
    Relation.COLLEAGUE: N_(
        "The subject names ticket %(number)s, of another person of the same customer."
    ),
    Relation.FOREIGN: N_(
        "The subject names ticket %(number)s, in which the sender has no part: that is ignored."
    ),
}


def _thread_step(found: FollowUpFacts) -> Step:
    number = (("number", str(found.ticket.number)),)
    if not found.proven:
        return Step("thread", TicketClue.NUMBER.value, _HINTS[found.relation], number)
    if not found.contradicted_by:
        because = N_("A token of ours names ticket %(number)s.")
        return Step("thread", TicketClue.OURS.value, because, number)
    return Step(
        "thread",
        TicketClue.CONTRADICTION.value,
        N_(
            "A token of ours names ticket %(number)s, the subject %(others)s: "
            "the token counts, for only we can make one."
        ),
        (*number, ("others", ", ".join(map(str, found.contradicted_by)))),
    )


def permission_step(facts: Facts) -> Step:
    """Return what the account, or its customer, may do in the queue of the facts."""
    assert facts.access is not None and facts.queue is not None
    queue = facts.queue
    access = facts.access.queues.get(queue.id)
    if access is None:
        return Step(
            "permission",
            "none",
            N_("No permission in the group %(group)s of the queue %(queue)s."),
            (("group", queue.group_name), ("queue", queue.name)),
        )
    return Step(
        "permission",
        access.permission.value,
        N_("%(permission)s in %(queue)s through the group %(group)s (%(through)s)."),
        (
            ("permission", access.permission.value),
            ("queue", queue.name),
            ("group", queue.group_name),
            ("through", ", ".join(grant.through.value for grant in access.grants)),
        ),
    )
