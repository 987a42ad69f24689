"""What a routing rule can look at of a mail, read only as far as a rule asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from core.mail.message import Message
from core.routing.rule import Field
from core.text import fold
from core.words import Evidence

MAX_SEARCHED = 256 * 1024  # characters of one value that are compared
MAX_MATCHED = 32 * 1024  # characters of one value that a regular expression looks at


@dataclass(frozen=True)
class Content:
    """A mail for one recipient.

    ``sender`` is the address of its one From mailbox. ``customer_number`` and ``login`` are those
    of the matched customer and account, "" where nothing but a number speaks for them: an answer
    must not tell whether a guessed number exists.
    """

    message: Message
    recipient: str
    mail_from: str
    peer: str
    size: int
    sender: str
    evidence: Evidence
    customer_number: str = ""
    login: str = ""

    def values(self, field: Field, name: str = "") -> tuple[str, ...]:
        """Return the values of a field, "" left out; ``name`` is that of a header field."""
        if field is Field.HEADER:
            return self._header(name)
        return self._plain[field]

    def folded(self, field: Field, name: str = "") -> tuple[str, ...]:
        """Return the values of a field as they are compared, each folded once for all rules."""
        key = (field, name.lower())
        if key not in self._folded:
            self._folded[key] = tuple(fold(value) for value in self.values(field, name))
        return self._folded[key]

    @cached_property
    def _folded(self) -> dict[tuple[Field, str], tuple[str, ...]]:
        return {}

    @cached_property
    def _plain(self) -> "_Values":
        return _Values(self)

    def _header(self, name: str) -> tuple[str, ...]:
        if not name.isascii():
            return ()
        return tuple(_bounded(self.message.header_values(name)))


class _Values(dict[Field, tuple[str, ...]]):
    """The values by field, each read from the message when it is first asked for."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content

    def __missing__(self, field: Field) -> tuple[str, ...]:
        self[field] = found = tuple(_bounded(self._read(field)))
        return found

    def _read(self, field: Field) -> Iterator[str]:
        content = self._content
        match field:
            case Field.SUBJECT:
                yield content.message.subject
            case Field.TEXT:
                yield content.message.text
            case Field.FROM:
                yield content.sender
            case Field.MAIL_FROM:
                yield content.mail_from
            case Field.RECIPIENT:
                yield content.recipient
            case Field.ATTACHMENT:
                yield from (each.filename for each in content.message.attachments)
            case Field.SIZE:
                yield str(content.size)
            case Field.EVIDENCE:
                yield content.evidence.value
            case Field.CUSTOMER_NUMBER:
                yield content.customer_number
            case Field.CUSTOMER_USER:
                yield content.login
            case Field.PEER:
                yield content.peer
            case Field.HEADER:
                raise AssertionError("a header field is asked for by its name")


def _bounded(values: Iterator[str] | list[str]) -> Iterator[str]:
    """Yield what is not empty, within the cap, and without surrogates, which no engine takes."""
    for value in values:
        if value:
            cut = value[:MAX_SEARCHED]
            yield cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")
