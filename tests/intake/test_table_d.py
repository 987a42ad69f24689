"""The main table of table D, line by line: outcome, reply, and whether the sender is answered."""

from itertools import product

import pytest

from core.intake.decide import decide
from core.intake.decision import reply_to
from core.intake.facts import Facts
from core.intake.prepare import prepare
from core.intake.responses import outgoing_rows
from core.intake.rows import Part
from core.mail.authentication.findings import DmarcPolicy
from core.words import SenderPolicy
from tests.intake import main_rows
from tests.intake.facts import with_policy
from tests.intake.mails import a_mail
from tests.intake.main_rows import DISOWNED, NO_SENDER, NO_SPOOF, OURS, SPOOFED, UNCLEAR, Fate

CELLS = list(main_rows.cells())


def fate_of(facts: Facts) -> Fate:
    """Return what becomes of a mail."""
    decision = decide(facts)
    reply = reply_to(decision.outcome, "reference")
    part = Part(prepare(a_mail()), facts, decision, b"key")
    return Fate(decision.outcome, f"{reply.code} {reply.status}", bool(list(outgoing_rows(part))))


@pytest.mark.parametrize(
    ("facts", "expected"), [cell[1:] for cell in CELLS], ids=[cell[0] for cell in CELLS]
)
def test_main_table(facts: Facts, expected: Fate) -> None:
    assert fate_of(facts) == expected


# Lines whose account and queue are "any".
DISPROVEN = [
    (DmarcPolicy.REJECT, False, (DISOWNED, DISOWNED, DISOWNED)),
    (DmarcPolicy.QUARANTINE, False, (SPOOFED, SPOOFED, NO_SPOOF)),
    (None, False, (UNCLEAR, UNCLEAR, NO_SENDER)),
    (None, True, (OURS, OURS, OURS)),
]
ANYBODY = [
    facts
    for _name, facts, *_fates in main_rows.LINES
    if facts.known_recipient and not facts.own_mail
]


@pytest.mark.parametrize(("policy", "own", "expected"), DISPROVEN)
def test_whoever_a_disproven_sender_claims_to_be(
    policy: DmarcPolicy | None, own: bool, expected: tuple[Fate, ...]
) -> None:
    for facts, (sender_policy, fate) in product(
        ANYBODY, zip(main_rows.POLICIES, expected, strict=True)
    ):
        disproven = main_rows.failed(facts, policy, own=own)
        assert fate_of(with_policy(disproven, sender_policy)) == fate


def test_nobody_is_answered_who_is_not_verified() -> None:
    """Threat L3: but for ``open``, which says that everybody counts as verified."""
    answered = [facts for _name, facts, fate in CELLS if fate.answered]
    assert answered
    assert all(facts.verified for facts in answered)
    assert {facts.policy for facts in answered} == set(SenderPolicy)
