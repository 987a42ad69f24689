"""A mail made up to be tried out: what it says, and what fits a rule."""

import pytest

from core.intake.trial_mail import TrialMail, fitting_values
from core.mail.customer_numbers import find_claims
from core.mail.message import parse
from core.routing.rule import Conditions, Field, Group, Join, Operator
from core.routing.rule import Test as Compared
from core.settings import Settings

SUBJECT = Compared(Field.SUBJECT, Operator.CONTAINS, "Rechnung")
SENDER = Compared(Field.FROM, Operator.WITHIN, "muster.example")
TEXT = Compared(Field.TEXT, Operator.BEGINS, "Guten Tag")


def test_it_says_what_was_typed() -> None:
    trial = TrialMail(
        from_="Jörg Groß <joerg@muster.example>",
        recipient="vertrieb@example.org",
        subject="Größe\r\nBcc: x@else.example",
        text="Hallo\n\nGrüße",
    )
    message = parse(trial.raw(Settings()))
    assert message.from_.address == "joerg@muster.example"
    assert message.from_.name == "Jörg Groß"
    assert message.subject == "Größe Bcc: x@else.example"
    assert message.text.split() == ["Hallo", "Grüße"]
    assert message.message_id.endswith("@simulator.invalid>")
    assert message.header_values("Bcc") == []
    assert message.problems == ()


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (Settings(), "text"),
        (Settings(number_labels=("Kd.-Nr.",)), "text"),
        (Settings(number_labels=(), number_headers=("X-Kunde",)), "header"),
        (Settings(number_labels=(), number_headers=()), None),
    ],
)
def test_the_kunden_number_stands_where_it_is_looked_for(
    settings: Settings, where: str | None
) -> None:
    trial = TrialMail("a@b.example", "vertrieb@example.org", customer_number="K-1000")
    message = parse(trial.raw(settings))
    claims = find_claims(message, None, settings.number_headers, settings.number_labels)
    assert claims == ((("K-1000", where),) if where else ())


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param(Conditions(), {}, id="none"),
        pytest.param(
            Conditions((Group((SUBJECT, SENDER)), Group((TEXT,)))),
            {
                Field.SUBJECT: "Rechnung",
                Field.FROM: "somebody@muster.example",
                Field.TEXT: "Guten Tag",
            },
            id="all",
        ),
        pytest.param(
            Conditions((Group((SUBJECT, SENDER), Join.ANY), Group((TEXT,)))),
            {Field.SUBJECT: "Rechnung", Field.TEXT: "Guten Tag"},
            id="one of a group",
        ),
        pytest.param(
            Conditions((Group((SUBJECT,)), Group((TEXT,))), Join.ANY),
            {Field.SUBJECT: "Rechnung"},
            id="one of the groups",
        ),
        pytest.param(
            Conditions(
                (
                    Group(
                        (
                            Compared(Field.SUBJECT, Operator.CONTAINS, "Spam", negated=True),
                            Compared(Field.TEXT, Operator.MATCHES, "a+"),
                            Compared(Field.PEER, Operator.WITHIN, "192.0.2.0/24"),
                            Compared(Field.ATTACHMENT, Operator.EXISTS),
                            SUBJECT,
                            Compared(Field.SUBJECT, Operator.ENDS, "2026"),
                        )
                    ),
                )
            ),
            {Field.SUBJECT: "Rechnung"},
            id="what says no value",
        ),
    ],
)
def test_what_fits_a_rule(conditions: Conditions, expected: dict[Field, str]) -> None:
    assert fitting_values(conditions) == expected
