"""Rows of the decision table for routing rules, and facts of mail that rules are asked about."""

from dataclasses import replace

from core.intake import replies
from core.intake.decision import Discard, Hold, Outcome, Reject
from core.intake.facts import Facts
from core.routing.rule import Actions, Conditions, Ending, RoutingRule
from core.words import RoutingScope
from tests.intake.facts import FACTS, SALES, SUPPORT
from tests.routing.contents import CONTENT


def a_rule(
    rule_id: int = 1,
    actions: Actions | None = None,
    *,
    scope: RoutingScope = RoutingScope.BOTH,
    conditions: Conditions | None = None,
    stop: bool = False,
) -> RoutingRule:
    """Return a rule that every mail fits, with what differs."""
    return RoutingRule(
        rule_id, f"Regel {rule_id}", scope, conditions or Conditions(), actions or Actions(), stop
    )


def under(facts: Facts, *rules: RoutingRule) -> Facts:
    """Return the facts with these routing rules in force."""
    organisation = replace(facts.organisation, routing=rules)
    return replace(facts, organisation=organisation, content=CONTENT)


def ended(facts: Facts, ending: Ending = Ending.HOLD) -> Facts:
    """Return the facts with a routing rule that ends the way of every mail."""
    return under(facts, a_rule(1, Actions(ending=ending)))


ROWS: list[tuple[str, Facts, Outcome]] = [
    ("a rule holds", ended(FACTS), Hold("held-by-rule", SALES.id)),
    (
        "a rule refuses",
        ended(FACTS, Ending.REJECT),
        Reject("rejected-by-rule", replies.NOT_PERMITTED, SALES.id),
    ),
    ("a rule ignores", ended(FACTS, Ending.IGNORE), Discard("ignored-by-rule", SALES.id)),
    (
        "a rule holds in another queue",
        under(FACTS, a_rule(1, Actions(queue_id=SUPPORT.id, ending=Ending.HOLD))),
        Hold("held-by-rule", SUPPORT.id),
    ),
]
