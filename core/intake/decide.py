"""Deciding: the first answer of the rules, and what can only be asked once there is one."""

from dataclasses import replace

from core.i18n import N_
from core.intake.decision import (
    Answer,
    AppendArticle,
    Decision,
    Defer,
    Hold,
    OpenTicket,
    Outcome,
    Step,
)
from core.intake.facts import Facts
from core.intake.found import what_was_found
from core.intake.replies import TRY_AGAIN
from core.intake.routing import Routed, tags_left_out, with_wishes
from core.intake.rules import RULES, Rule
from core.words import EvidenceDemand, Flag


def decide(facts: Facts, rules: tuple[Rule, ...] = RULES) -> Decision:
    """Return the first answer of the rules, with the steps that explain it.

    Behind the routing rules everything is asked as if the mail had come as they make it.
    """
    steps = what_was_found(facts)
    routed = Routed(facts)
    for rule in rules:
        answer = rule(routed.facts)
        if isinstance(answer, Routed):
            routed, steps = answer, (*steps, *answer.steps)
            if routed.answer is not None:
                return Decision(routed.answer.outcome, steps, routed.fitted)
        elif answer is not None:
            steps = (*steps, _step(rule.__name__, answer))
            return _settled(routed, answer.outcome, steps)
    raise AssertionError("the last rule answers whenever there is a queue")


def put_off(facts: Facts, source: str) -> Decision:
    """Return what becomes of a mail that waits outside until a customer source answers.

    No rule is asked: the mail is not taken in. A recipient that nobody has is refused before.
    """
    if not facts.known_recipient:
        return decide(facts)
    queue_id = facts.queue.id if facts.queue is not None else None
    outcome = Defer("source-away", TRY_AGAIN, queue_id)
    because = N_(
        "Nobody here has the address of the sender; the customer source that may know it did not "
        "answer: %(source)s. Until it does, such mail is not taken in."
    )
    step = Step("source_away", outcome.kind.value, because, (("source", source),))
    return Decision(outcome, (*what_was_found(facts), step))


def _settled(routed: Routed, outcome: Outcome, steps: tuple[Step, ...]) -> Decision:
    """Ask what can only be asked when a rule has answered, and add what routing rules want."""
    facts = routed.facts
    if (demanded := evidence_demanded(facts, outcome)) is not None:
        steps = (*steps, _step(evidence_demanded.__name__, demanded))
        return Decision(demanded.outcome, steps, routed.fitted)
    if (gathered := too_many_tickets(facts, outcome)) is not None:
        steps = (*steps, _step(too_many_tickets.__name__, gathered))
        outcome = gathered.outcome
    if routed.fitted:
        outcome = with_wishes(routed, outcome)
        steps = (*steps, *tags_left_out(routed, outcome))
    return Decision(outcome, steps, routed.fitted)


def evidence_demanded(facts: Facts, outcome: Outcome) -> Answer | None:
    """Hold what is not verified where the queue demands that.

    Asked when a rule has answered, for that says which queue it would get into. What only staff
    see of a ticket, such as a mail server's report, is not asked for evidence.
    """
    match outcome:
        case OpenTicket() | AppendArticle(visible=True) if not facts.verified:
            queue = facts.organisation.queues[outcome.queue_id]
        case _:
            return None
    if queue.evidence is not EvidenceDemand.VERIFIED:
        return None
    return Answer(
        Hold("sender-not-verified", queue.id),
        N_("%(queue)s takes mail of verified senders only."),
        (("queue", queue.name),),
    )


def too_many_tickets(facts: Facts, outcome: Outcome) -> Answer | None:
    """Gather what an account sends too fast in one ticket of the queue (threat L7).

    Asked when a rule has answered: it is allowed to open a ticket, only not one more.
    """
    if not isinstance(outcome, OpenTicket) or outcome.queue_id not in facts.recent:
        return None
    recent = facts.recent[outcome.queue_id]
    limit = facts.organisation.settings.burst_tickets
    if recent.opened < limit:
        return None
    values = (("count", str(recent.opened)), ("limit", str(limit)))
    if recent.burst is None:
        return Answer(
            replace(outcome, reason="burst", burst=True),
            N_("%(count)s tickets in ten minutes; %(limit)s are allowed: this one gathers more."),
            values,
        )
    return Answer(
        AppendArticle(
            "burst",
            recent.burst.id,
            outcome.queue_id,
            flag=outcome.flag or Flag.BURST,
            answers=facts.verified and not facts.automatic,
        ),
        N_("%(count)s tickets in ten minutes; %(limit)s are allowed: added to one ticket."),
        values,
    )


def _step(name: str, answer: Answer) -> Step:
    return Step(name, answer.outcome.kind.value, answer.because, answer.values)
