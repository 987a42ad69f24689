"""What would make a mail allowed: each row of facts with the changes that are proposed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.accounts.permissions import Access, Grant, QueueAccess, Through
from core.intake.blocklist import BlockedEntry
from core.intake.decision import OpenTicket
from core.intake.facts import Facts, FollowUpFacts, Relation, TicketFacts
from core.intake.identify import Match, MatchKind
from core.intake.ways import Known, Target, TargetKind, ways
from core.mail.authentication.findings import DmarcPolicy
from core.words import (
    BlockedKind,
    Evidence,
    EvidenceDemand,
    FollowUp,
    ForbiddenRule,
    Permission,
    SenderPolicy,
    StrangersRule,
    TicketState,
)
from tests.intake.facts import (
    ANNA,
    BEN,
    FACTS,
    MUSTER,
    ORGANISATION,
    SALES,
    SUPPORT,
    access,
    with_evidence,
    with_policy,
    with_queue,
)

MAY = Known(ANNA, access(Vertrieb=Permission.RW))
MAY_NOT = Known(ANNA, access())
BEN_MAY = Known(BEN, replace(access(Vertrieb=Permission.RW), customer_user_id=12, customer_id=2))
SAME_NUMBER = replace(BEN_MAY, account=replace(BEN, customer_number="K-1000"))
FORBIDDEN = replace(FACTS, access=access())
STRANGER = replace(FACTS, match=Match(MatchKind.UNKNOWN), access=None)
GONE = replace(ANNA, valid=False)
INVALID = replace(
    FACTS, match=Match(MatchKind.INVALID_ACCOUNT, GONE, candidates=(GONE,)), access=None
)
SHARED = replace(FACTS, match=Match(MatchKind.AMBIGUOUS, candidates=(ANNA, BEN)), access=None)
NUMBER = replace(FACTS, match=Match(MatchKind.NUMBER_ONLY, customer=MUSTER), access=access())
DOMAIN = replace(NUMBER, match=Match(MatchKind.KNOWN_DOMAIN, customer=MUSTER))
SUSPECTED = replace(
    FACTS,
    sender=replace(FACTS.sender, evidence=Evidence.FAILED, policy=DmarcPolicy.QUARANTINE),
)
OUR_ADDRESS = replace(
    FACTS, sender=replace(FACTS.sender, evidence=Evidence.FAILED, own_address=True)
)
BY_ADDRESS = {
    **ORGANISATION.queue_by_address,
    "alt@example.org": replace(SALES, id=9, name="Alt", valid=False),
}
OLD_QUEUE = replace(
    FACTS,
    recipient="alt+x@example.org",
    known_recipient=False,
    queue=None,
    organisation=replace(ORGANISATION, queue_by_address=BY_ADDRESS),
    access=Access(
        11,
        1,
        False,
        {9: QueueAccess(9, Permission.RO, (Grant(Permission.RW, Through.DIRECT, 1),))},
    ),
)
CLOSED = replace(
    with_queue(FACTS, follow_up=FollowUp.REJECT),
    follow_up=FollowUpFacts(
        TicketFacts(7, "t7", SALES.id, 11, 1, TicketState.CLOSED),
        proven=True,
        relation=Relation.PARTICIPANT,
        allowed=True,
        may_reply=True,
    ),
)
OUT_OF_REACH = replace(
    FORBIDDEN,
    follow_up=replace(CLOSED.follow_up, allowed=False, may_reply=False),  # type: ignore[type-var]
)

VERIFIED = "The sender is verified, for instance by a DKIM signature of muster.example."
ANNA_GETS = "anna gets read and write permission in the group vertrieb."
FIRM_GETS = (
    "The customer K-1000 gets read and write permission in the group vertrieb, "
    "for all of its accounts."
)
ALL_GET = "Everybody gets the group vertrieb (CustomerGroupAlwaysGroups)."
PERMISSION = [ANNA_GETS, FIRM_GETS, ALL_GET]
TO_SUPPORT = "The mail is sent to technik@example.org (queue Technik)."
FALL_BACK = "The queue Vertrieb lets mail that is not permitted fall back to another queue."
SOME_ACCOUNT = "anna@muster.example is added to an account that may write to Vertrieb."
STRANGERS = "The queue Vertrieb accepts mail of unknown senders."
ADDED = "anna@muster.example is added to the account anna."
VALID = "The account anna and its customer become valid."
NAMES_ANNA = "The mail names the Kunden# K-1000 and no other (account anna)."
NAMES_BEN = "The mail names the Kunden# K-2000 and no other (account ben)."
OPEN = 'Trust in senders is set to "Open: unproven senders count as verified".'
BALANCED = 'Trust in senders is set to "Balanced: unproven senders are marked or held".'
SUPPORT_WITH_ADDRESS = replace(
    ORGANISATION,
    queues={**ORGANISATION.queues, 2: replace(SUPPORT, address="technik@example.org")},
)
MAY_SUPPORT = replace(
    FORBIDDEN, organisation=SUPPORT_WITH_ADDRESS, access=access(Technik=Permission.RW)
)


@pytest.mark.parametrize(
    ("facts", "known", "expected"),
    [
        pytest.param(FACTS, [MAY], [], id="allowed"),
        pytest.param(FORBIDDEN, [MAY_NOT], PERMISSION, id="forbidden"),
        pytest.param(
            MAY_SUPPORT, [], [*PERMISSION, TO_SUPPORT, FALL_BACK], id="another queue may be used"
        ),
        pytest.param(
            with_queue(MAY_SUPPORT, forbidden=ForbiddenRule.FALLBACK),
            [],
            [*PERMISSION, TO_SUPPORT],
            id="filed elsewhere",
        ),
        pytest.param(STRANGER, [], [SOME_ACCOUNT, STRANGERS], id="stranger"),
        pytest.param(
            with_policy(with_queue(STRANGER, strangers=StrangersRule.REJECT), SenderPolicy.STRICT),
            [],
            [SOME_ACCOUNT, STRANGERS],
            id="stranger refused",
        ),
        pytest.param(NUMBER, [MAY], [ADDED], id="number from an unknown address"),
        pytest.param(INVALID, [MAY], [VALID], id="invalid"),
        pytest.param(SHARED, [MAY, BEN_MAY], [NAMES_ANNA, NAMES_BEN], id="ambiguous"),
        pytest.param(SHARED, [MAY, SAME_NUMBER], [], id="ambiguous, one Kunden#"),
        pytest.param(
            replace(FACTS, match=Match(MatchKind.CONFLICT, candidates=(ANNA,)), access=None),
            [MAY],
            [NAMES_ANNA],
            id="conflict",
        ),
        pytest.param(SUSPECTED, [], [VERIFIED], id="spoofed"),
        pytest.param(
            replace(FACTS, blocked=BlockedEntry(1, BlockedKind.DOMAIN, "muster.example")),
            [],
            ["muster.example is taken off the blocklist."],
            id="blocked",
        ),
        pytest.param(
            OUR_ADDRESS,
            [],
            ["One of your own servers hands the mail over (smtp.trusted_relays)."],
            id="own address from outside",
        ),
        pytest.param(
            replace(FACTS, sender=replace(FACTS.sender, address="", evidence=Evidence.FAILED)),
            [],
            [],
            id="no From",
        ),
        pytest.param(
            with_evidence(with_queue(FACTS, evidence=EvidenceDemand.VERIFIED), Evidence.NEUTRAL),
            [],
            [VERIFIED, "The queue Vertrieb demands no verified sender.", OPEN],
            id="evidence demanded",
        ),
        pytest.param(
            OLD_QUEUE, [], ["The queue Alt and its group become valid."], id="invalid queue"
        ),
        pytest.param(
            replace(MAY_SUPPORT, recipient="neu@example.org", known_recipient=False, queue=None),
            [],
            ["neu@example.org becomes an address of a queue, for instance of Technik."],
            id="unknown recipient",
        ),
        pytest.param(
            CLOSED, [], ["A reply opens a closed ticket of the queue Vertrieb again."], id="closed"
        ),
        pytest.param(OUT_OF_REACH, [], PERMISSION, id="ticket out of reach"),
    ],
)  # fmt: skip
def test_one_change(facts: Facts, known: Sequence[Known], expected: list[str]) -> None:
    assert [[change.sentence for change in way.changes] for way in ways(facts, known)] == [
        [sentence] for sentence in expected
    ]


@pytest.mark.parametrize(
    ("facts", "known", "expected"),
    [
        pytest.param(
            with_evidence(replace(DOMAIN, access=access()), Evidence.NEUTRAL),
            [],
            [(VERIFIED, FIRM_GETS), (VERIFIED, ALL_GET), (FIRM_GETS, OPEN), (ALL_GET, OPEN)],
            id="not verified, and not permitted",
        ),
        pytest.param(
            INVALID,
            [MAY_NOT],
            [(VALID, ANNA_GETS), (VALID, FIRM_GETS), (VALID, ALL_GET)],
            id="invalid, and not permitted",
        ),
        pytest.param(
            with_policy(with_queue(SUSPECTED, forbidden=ForbiddenRule.REJECT), SenderPolicy.STRICT),
            [],
            [(VERIFIED,)],
            id="one is enough",
        ),
    ],
)
def test_two_changes(facts: Facts, known: Sequence[Known], expected: list[tuple[str, ...]]) -> None:
    found = [tuple(change.sentence for change in way.changes) for way in ways(facts, known)]
    assert found == expected


def test_a_change_leads_to_its_page_and_its_outcome() -> None:
    direct, firm, everybody = ways(FORBIDDEN)
    assert direct.changes[0].target == Target(TargetKind.CUSTOMER_USER, 11)
    assert firm.changes[0].target == Target(TargetKind.CUSTOMER, 1)
    assert everybody.changes[0].target == Target(TargetKind.SETTINGS)
    assert direct.outcome == OpenTicket("allowed", SALES.id)
    (verified,) = ways(SUSPECTED)
    assert verified.changes[0].target is None  # nothing of ours changes that
