"""A mail made up to be tried out, from the little that matters to a decision."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime

from core.ids import new_public_id
from core.mail.text import one_line
from core.models import now
from core.routing.rule import Conditions, Field, Join, Operator, Test
from core.settings import Settings

SOMEBODY = "somebody"  # whose local part stands before the domain that a rule asks for
DOMAIN = "simulator.invalid"  # of its Message-ID; nobody can have it (RFC 6761)


@dataclass(frozen=True, slots=True)
class TrialMail:
    """What somebody typed; ``from_`` is the From field as it stands there, right or wrong."""

    from_: str
    recipient: str
    subject: str = ""
    text: str = ""
    customer_number: str = ""

    def raw(self, settings: Settings) -> bytes:
        """Return it as a message, in UTF-8 throughout (RFC 6532)."""
        fields = [*self._fields(settings), "Content-Type: text/plain; charset=utf-8"]
        text = "\r\n".join([*self.text.splitlines(), *self._number_in_text(settings)])
        return "".join(f"{field}\r\n" for field in [*fields, "", text]).encode()

    def _fields(self, settings: Settings) -> Iterator[str]:
        yield f"From: {one_line(self.from_)}"
        yield f"To: {one_line(self.recipient)}"
        yield f"Subject: {one_line(self.subject)}"
        yield f"Date: {format_datetime(now())}"
        yield f"Message-ID: <{new_public_id()}@{DOMAIN}>"
        if not settings.number_labels and settings.number_headers and self.customer_number:
            yield f"{settings.number_headers[0]}: {one_line(self.customer_number)}"

    def _number_in_text(self, settings: Settings) -> Iterator[str]:
        """A Kunden# stands where people write it: in the text, behind one of the words for it."""
        if settings.number_labels and self.customer_number:
            yield from ("", f"{settings.number_labels[0]}: {one_line(self.customer_number)}")


def fitting_values(conditions: Conditions) -> Mapping[Field, str]:
    """Return what a mail must have to fit a rule, as far as single texts can say it.

    Where one of several is enough, it is the first. Patterns and what is negated say no value.
    """
    found: dict[Field, str] = {}
    groups = conditions.groups if conditions.join is Join.ALL else conditions.groups[:1]
    for group in groups:
        tests = group.tests if group.join is Join.ALL else group.tests[:1]
        for test in tests:
            if value := _fitting(test):
                found.setdefault(test.field, value)
    return found


def _fitting(test: Test) -> str:
    if test.negated:
        return ""
    match test.operator:
        case Operator.CONTAINS | Operator.EQUALS | Operator.BEGINS | Operator.ENDS:
            return test.value
        case Operator.WITHIN if test.field is not Field.PEER:
            return f"{SOMEBODY}@{test.value}"
        case _:
            return ""
