"""How many messages a sender may begin: by address, domain and client, and who is exempt."""

import pytest

from gateway import sender_rates
from gateway.connections import LOCAL, Client
from gateway.sender_rates import SenderLimits, SenderRates
from tests.gateway.conftest import Run

STRANGER, OTHER = Client("192.0.2.1", False), Client("192.0.2.2", False)
RELAY = Client("192.0.2.9", True)


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("limits", "first", "then", "admitted"),
    [
        (SenderLimits(per_address=1), (STRANGER, "a@x.example"), (OTHER, "A@X.example"), False),
        (SenderLimits(per_address=1), (STRANGER, "a@x.example"), (OTHER, "a+1@x.example"), False),
        (SenderLimits(per_address=1), (STRANGER, "a@x.example"), (STRANGER, "b@x.example"), True),
        (SenderLimits(per_domain=1), (STRANGER, "a@x.example"), (OTHER, "b@x.example"), False),
        (SenderLimits(per_domain=1), (STRANGER, "a@x.example"), (STRANGER, "a@y.example"), True),
        (SenderLimits(per_client=1), (STRANGER, "a@x.example"), (STRANGER, "b@y.example"), False),
        (SenderLimits(per_client=1), (STRANGER, "a@x.example"), (OTHER, "a@x.example"), True),
        (SenderLimits(per_client=1), (STRANGER, ""), (STRANGER, ""), False),
        (
            SenderLimits(per_client=1),
            (Client("2001:db8::1", False), ""),
            (Client("2001:db8::2", False), ""),
            False,
        ),
        # a relay by sender, not by client; reports belong to no sender
        (SenderLimits(1, 1, 1), (RELAY, "a@x.example"), (RELAY, "b@y.example"), True),
        (SenderLimits(1, 1, 1), (RELAY, "a@x.example"), (RELAY, "a@x.example"), False),
        (SenderLimits(1, 1, 1), (RELAY, ""), (RELAY, ""), True),
        (SenderLimits(1, 1, 1), (LOCAL, "a@x.example"), (LOCAL, "b@y.example"), True),
        (SenderLimits(), (STRANGER, "a@x.example"), (STRANGER, "a@x.example"), True),
    ],
)
def test_what_is_one_too_many(
    limits: SenderLimits, first: tuple[Client, str], then: tuple[Client, str], admitted: bool
) -> None:
    rates = SenderRates(limits, Clock())
    assert rates.admit(*first)
    assert rates.admit(*then) is admitted


def test_ten_minutes_later_it_begins_anew() -> None:
    clock = Clock()
    rates = SenderRates(SenderLimits(per_address=2), clock)
    said = [rates.admit(STRANGER, "a@x.example") for _ in range(4)]
    assert said == [True, True, False, False]
    clock.now = 599.9
    assert not rates.admit(STRANGER, "a@x.example")
    clock.now = 600.0
    assert rates.admit(STRANGER, "a@x.example")


def test_what_is_refused_counts_for_nobody_else() -> None:
    """A client that is over its limit cannot use up that of a domain."""
    rates = SenderRates(SenderLimits(per_domain=3, per_client=1), Clock())
    for number in range(10):
        rates.admit(STRANGER, f"{number}@x.example")
    assert rates.admit(OTHER, "a@x.example")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_rates, "MAX_KEYS", 3)
    rates = SenderRates(SenderLimits(per_address=2), Clock())
    said = []
    for number in range(10):
        said.append(rates.admit(STRANGER, "busy@x.example"))
        rates.admit(STRANGER, f"{number}@x.example")
        assert len(rates._counts) <= 3
    assert said[:2] == [True, True]
    assert not said[2]  # who sends all the time is not the one who is forgotten


def test_the_dialogue_goes_on(run: Run) -> None:
    """A sender with too many is put off; others in the same session are not."""
    gateway = run(mails_per_sender=1)
    with gateway.client() as client:
        client.play(
            """
            C: MAIL FROM:<a@x.example>
            S: 250 2.1.0 OK
            C: RSET
            S: 250 2.0.0 OK
            C: MAIL FROM:<A@x.example>
            S: 450 4.7.1 Too many messages from this sender, try again later
            C: RCPT TO:<vertrieb@example.org>
            S: 503 5.5.1 Send MAIL first
            C: MAIL FROM:<b@x.example>
            S: 250 2.1.0 OK
            C: RCPT TO:<vertrieb@example.org>
            S: 250 2.1.5 OK
            """
        )


def test_a_relay_is_put_off_by_sender_only(run: Run) -> None:
    gateway = run(mails_per_sender=1, mails_per_client=1, trusted_relays=["127.0.0.0/8"])
    with gateway.client() as client:
        client.play(
            """
            C: MAIL FROM:<a@x.example>
            S: 250 2.1.0 OK
            C: RSET
            S: 250 2.0.0 OK
            C: MAIL FROM:<b@x.example>
            S: 250 2.1.0 OK
            C: RSET
            S: 250 2.0.0 OK
            C: MAIL FROM:<a@x.example>
            S: 450 4.7.1 Too many messages from this sender, try again later
            """
        )
