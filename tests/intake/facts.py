"""A valid default of the facts that rules look at; test rows say only what differs."""

from dataclasses import replace

from core.accounts.permissions import Access, Grant, QueueAccess, Through
from core.intake.facts import Facts, SenderFacts
from core.intake.identify import AccountFacts, CustomerFacts, Match, MatchKind
from core.organisation import Organisation, QueueFacts
from core.settings import Settings
from core.words import (
    Evidence,
    FollowUp,
    ForbiddenRule,
    Permission,
    SenderPolicy,
    StrangersRule,
)

SALES = QueueFacts(
    id=1,
    name="Vertrieb",
    group_id=1,
    group_name="vertrieb",
    purpose="",
    follow_up=FollowUp.POSSIBLE,
    forbidden=ForbiddenRule.HOLD,
    fallback_queue_id=None,
    strangers=StrangersRule.HOLD,
    valid=True,
)
SUPPORT = replace(SALES, id=2, name="Technik", group_id=2, group_name="technik")
BILLING = replace(SALES, id=3, name="Rechnung", group_id=3, group_name="rechnung")

ORGANISATION = Organisation(
    version=1,
    settings=Settings(),
    queues={1: SALES, 2: SUPPORT, 3: BILLING},
    queue_by_address={"vertrieb@example.org": SALES, "technik@example.org": SUPPORT},
    groups={1: "vertrieb", 2: "technik", 3: "rechnung"},
    always_groups=frozenset(),
    own_domains=frozenset({"example.org"}),
)

ANNA = AccountFacts(
    customer_user_id=11,
    login="anna",
    customer_id=1,
    customer_number="K-1000",
    sees_customer_tickets=False,
    valid=True,
    address="anna@muster.example",
)
BEN = replace(ANNA, customer_user_id=12, login="ben", customer_id=2, customer_number="K-2000")
MUSTER = CustomerFacts(1, "K-1000", valid=True, domains=frozenset({"muster.example"}))
OTHER = CustomerFacts(2, "K-2000", valid=True, domains=frozenset())


def access(**permissions: Permission) -> Access:
    """Return Anna's access to queues by name, as ``access(Vertrieb=Permission.RW)``."""
    ids = {queue.name: queue.id for queue in ORGANISATION.queues.values()}
    return Access(
        customer_user_id=ANNA.customer_user_id,
        customer_id=ANNA.customer_id,
        sees_customer_tickets=False,
        queues={
            ids[name]: QueueAccess(
                ids[name], permission, (Grant(permission, Through.DIRECT, ids[name]),)
            )
            for name, permission in permissions.items()
        },
    )


FACTS = Facts(
    organisation=ORGANISATION,
    recipient="vertrieb@example.org",
    known_recipient=True,
    queue=SALES,
    sender=SenderFacts("anna@muster.example", Evidence.VERIFIED, "verified in the test"),
    match=Match(MatchKind.ADDRESS, ANNA, candidates=(ANNA,)),
    access=access(Vertrieb=Permission.RW),
)


def with_policy(facts: Facts, policy: SenderPolicy) -> Facts:
    """Return the facts under another sender policy."""
    settings = facts.organisation.settings.model_copy(update={"sender_policy": policy})
    return replace(facts, organisation=replace(facts.organisation, settings=settings))


def with_evidence(facts: Facts, evidence: Evidence) -> Facts:
    """Return the facts with other evidence of the sender."""
    return replace(facts, sender=replace(facts.sender, evidence=evidence))


def with_queue(facts: Facts, **changes: object) -> Facts:
    """Return the facts with the recipient's queue changed."""
    assert facts.queue is not None
    queue = replace(facts.queue, **changes)
    queues = {**facts.organisation.queues, queue.id: queue}
    return replace(facts, queue=queue, organisation=replace(facts.organisation, queues=queues))
