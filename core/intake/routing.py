"""What the routing rules of the admins make of a mail, before anybody's permission is asked.

A rule can end the way of a mail, or change what is asked afterwards: the queue whose rules and
permissions count, and what a new ticket begins with. It can never give a permission.
"""

from dataclasses import dataclass, replace

from core.i18n import N_
from core.intake import replies
from core.intake.decision import (
    Answer,
    AppendArticle,
    Discard,
    Hold,
    OpenTicket,
    Outcome,
    Reject,
    Step,
)
from core.intake.facts import Facts
from core.intake.follow_ups import that_counts
from core.intake.found import permission_step
from core.routing.conditions import fits
from core.routing.rule import Ending, RoutingRule
from core.words import Priority, RoutingScope, TicketState


@dataclass(frozen=True, slots=True)
class Routed:
    """What the rules that a mail fits have made of it.

    ``facts`` are those for the rules of intake behind, ``fitted`` the ids of the rules that it
    fits. ``answer`` is there if one of them ends its way.
    """

    facts: Facts
    steps: tuple[Step, ...] = ()
    fitted: tuple[int, ...] = ()
    priority: Priority = Priority.NORMAL
    state: TicketState = TicketState.NEW
    tags: tuple[str, ...] = ()
    answer: Answer | None = None


def routing_rule(facts: Facts) -> Routed | None:
    """Ask the routing rules in their order; None where the mail fits none."""
    if facts.content is None:
        return None
    is_follow_up = that_counts(facts) is not None
    scopes = {RoutingScope.BOTH, RoutingScope.FOLLOW_UP if is_follow_up else RoutingScope.NEW}
    routed = Routed(facts)
    for rule in facts.organisation.routing:
        if rule.scope in scopes and fits(rule.conditions, facts.content):
            routed = _apply(routed, rule, is_follow_up=is_follow_up)
            if rule.stop or routed.answer is not None:
                break
    if not routed.fitted:
        return None
    moved = routed.facts.queue is not facts.queue
    if moved and routed.answer is None and facts.access is not None:
        return replace(routed, steps=(*routed.steps, permission_step(routed.facts)))
    return routed


def with_wishes(routed: Routed, outcome: Outcome) -> Outcome:
    """Return an outcome with what the rules want of the ticket, as far as the sender may do that.

    A follow-up only adds tags, and only that of a verified sender whose answer counts. The ticket
    that gathers a burst stays open, or every further mail would open another one.
    """
    match outcome:
        case OpenTicket() if that_counts(routed.facts) is None:
            state = TicketState.NEW if outcome.burst else routed.state
            return replace(outcome, priority=routed.priority, state=state, tags=routed.tags)
        case OpenTicket() if routed.facts.verified:
            return replace(outcome, tags=routed.tags)
        case AppendArticle(answers=True, reason=reason) if reason != "burst":
            return replace(outcome, tags=routed.tags)
        case _:
            return outcome


def tags_left_out(routed: Routed, outcome: Outcome) -> tuple[Step, ...]:
    """Return the step that tells of tags which a mail that is filed does not give."""
    if not routed.tags or not isinstance(outcome, OpenTicket | AppendArticle) or outcome.tags:
        return ()
    because = N_("The tags of the routing rules are left out: the mail may not change the ticket.")
    return (_step("skipped", because),)


def _apply(routed: Routed, rule: RoutingRule, *, is_follow_up: bool) -> Routed:
    actions = rule.actions
    name = (("name", rule.name),)
    steps = [_step("fits", N_('The mail fits the routing rule "%(name)s".'), name)]
    changed = replace(
        routed,
        fitted=(*routed.fitted, rule.id),
        tags=tuple(dict.fromkeys((*routed.tags, *actions.tags))),
    )
    if is_follow_up:
        if actions.queue_id is not None or actions.priority or actions.state:
            because = N_("It answers a ticket, whose queue, priority and state stay as they are.")
            steps.append(_step("skipped", because))
    else:
        changed = replace(
            changed,
            priority=actions.priority or changed.priority,
            state=actions.state or changed.state,
        )
        if actions.queue_id is not None:
            changed, step = _to_queue(changed, actions.queue_id)
            steps.append(step)
    if actions.ending is not None:
        answer = _ending(changed.facts, actions.ending, rule.name)
        steps.append(_step(answer.outcome.kind.value, answer.because, answer.values))
        changed = replace(changed, answer=answer)
    return replace(changed, steps=(*changed.steps, *steps))


def _to_queue(routed: Routed, queue_id: int) -> tuple[Routed, Step]:
    queue = routed.facts.organisation.queues.get(queue_id)
    if queue is None or not queue.valid:
        return routed, _step("skipped", N_("The queue of the rule is invalid: it is left out."))
    step = _step("queue", N_("It goes to the queue %(queue)s."), (("queue", queue.name),))
    return replace(routed, facts=replace(routed.facts, queue=queue)), step


def _ending(facts: Facts, ending: Ending, name: str) -> Answer:
    queue_id, values = facts.queue.id if facts.queue else None, (("name", name),)
    match ending:
        case Ending.HOLD:
            because = N_('The routing rule "%(name)s" holds the mail for staff.')
            return Answer(Hold("held-by-rule", queue_id), because, values)
        case Ending.REJECT:
            because = N_('The routing rule "%(name)s" refuses the mail.')
            outcome = Reject("rejected-by-rule", replies.NOT_PERMITTED, queue_id)
            return Answer(outcome, because, values)
        case Ending.IGNORE:
            because = N_('The routing rule "%(name)s" ignores the mail.')
            return Answer(Discard("ignored-by-rule", queue_id), because, values)


def _step(answer: str, because: str, values: tuple[tuple[str, str], ...] = ()) -> Step:
    return Step(routing_rule.__name__, answer, because, values)
