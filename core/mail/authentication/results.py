"""Authentication-Results (RFC 8601): what a relay of ours found about a sender.

Anybody can write this field. So only those are read that stand where our relay puts its own, under
exactly the name that it has, and a field that is not as the standard says is dropped. Nothing in
here raises, and all of it takes time in proportion to the field.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.i18n import N_
from core.mail.addresses import domain_key
from core.mail.authentication.findings import (
    Dmarc,
    DmarcPolicy,
    Findings,
    Result,
    Signature,
    Source,
    Spf,
)
from core.mail.message import Message
from core.mail.structure import MAX_FIELD

MAX_FIELDS = 10  # of our relay, in one mail
MAX_RESULTS = 50  # in one field
MAX_PROPERTIES = 50  # of one result
MAX_NESTING = 8  # of comments

UNREADABLE = N_("The header could not be read well enough to check the sender.")
_CONTRADICTION = N_("The relay's results contradict each other, so none counts.")


# Fields that a mail server or its filters may put above or between its results.
_BESIDE = re.compile(
    rb"(x-.*|return-path|delivered-to|received-spf|(dkim|dmarc|arc)-filter|arc-.*)"
)
_BLANK = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~\u0080-\U0010ffff]+")  # RFC 2045 5.1, RFC 6532
_KEYWORD = re.compile(r"[A-Za-z0-9_-]+")
_DIGITS = re.compile(r"[0-9]+")
_PLAIN_VALUE = re.compile(r"[^\s;()\"]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_POLICY = re.compile(r"(?:^|[\s;,])(?:p|policy)=(none|quarantine|reject)\b", re.IGNORECASE)
# RFC 5451 had another word for a failure of SPF, which some still write.
_RESULTS = {**{each.value: each for each in Result}, "hardfail": Result.FAIL}
_POLICIES = {each.value: each for each in DmarcPolicy}
_UNTYPED = frozenset({"reason", "action"})  # the latter is Microsoft's: what it did about DMARC


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One result: ``dkim=pass (comment) header.d=example.org``; names are in lower case."""

    method: str
    result: str
    comment: str
    properties: tuple[tuple[str, str], ...]

    def value(self, *names: str) -> str:
        """Return the first property that is there, "" without one."""
        found = dict(self.properties)
        return next((found[name] for name in names if name in found), "")


@dataclass(frozen=True, slots=True)
class ResultsField:
    """A field as it was read; the version is 1."""

    authserv_id: str
    results: tuple[MethodResult, ...]


class _Malformed(Exception):
    """The field is not as the standard says."""


def read_results(message: Message, authserv_id: str, domain: str) -> Findings:
    """Return what the relay that calls itself ``authserv_id`` found about a mail of ``domain``."""
    if message.parse_error is not None or not message.parts:
        return Findings(Source.RELAY, problem=UNREADABLE)
    return found_by(Source.RELAY, fields_of(message.parts[0].fields, authserv_id), domain)


def found_by(source: Source, fields: Iterable[ResultsField], domain: str) -> Findings:
    """Return what somebody's fields say about a mail of ``domain``."""
    results = [result for field in fields for result in field.results]
    verdicts = {
        _dmarc(result)
        for result in results
        if result.method == "dmarc" and _domain(result.value("header.from")) == domain
    }
    senders = {
        Spf(_result(result), _domain(result.value("smtp.mailfrom")))
        for result in results
        if result.method == "spf" and result.value("smtp.mailfrom")
    }
    if len(verdicts) > 1 or len(senders) > 1:
        return Findings(source, problem=_CONTRADICTION)
    signatures = tuple(
        Signature(_result(result), _domain(result.value("header.d", "header.i")))
        for result in results
        if result.method == "dkim" and result.value("header.d", "header.i")
    )
    return Findings(source, next(iter(senders), None), signatures, next(iter(verdicts), None))


def fields_of(fields: Iterable[tuple[bytes, bytes]], authserv_id: str) -> list[ResultsField]:
    """Return the results of our relay among the header fields of a mail.

    They are the topmost block: beside what filters add, and below at most the one Received field
    that the relay wrote as it handed the mail over. Whatever stands further down came with the
    mail.
    """
    found: list[ResultsField] = []
    received = 0
    for name, value in fields:
        if name == b"authentication-results":
            field = parse_field(value) if len(found) < MAX_FIELDS else None
            if field is None or field.authserv_id.lower() != authserv_id.lower():
                break
            found.append(field)
        elif name == b"received":
            received += 1
            if found or received > 1:
                break
        elif not _BESIDE.fullmatch(name):
            break
    return found


def parse_field(value: bytes) -> ResultsField | None:
    """Read the value of a field, strictly; None when it is malformed or of another version.

    The name of the server must be written plainly at the beginning: a relay writes its own so, and
    who strips forged fields may overlook one that is quoted or stands behind a comment.
    """
    if len(value) >= MAX_FIELD:
        return None  # it was cut
    scanner = _Scanner(value.decode("utf-8", "replace"))
    try:
        return _field(scanner)
    except _Malformed:
        return None


def _field(scanner: "_Scanner") -> ResultsField:
    scanner.skip_blanks()
    authserv_id = scanner.take(_TOKEN)
    scanner.comments()
    if (scanner.take_if(_DIGITS) or "1") != "1":
        raise _Malformed
    results: list[MethodResult] = []
    scanner.comments()
    if scanner.at_end():
        raise _Malformed  # without results there is at least "none"
    while not scanner.at_end():
        scanner.expect(";")
        scanner.comments()
        if scanner.at_end():
            break  # some write a semicolon at the end
        result = _method_result(scanner)
        if result is None:
            if results:
                raise _Malformed
            break
        if len(results) == MAX_RESULTS:
            raise _Malformed
        results.append(result)
    return ResultsField(authserv_id, tuple(results))


def _method_result(scanner: "_Scanner") -> MethodResult | None:
    """Read one result; None is ``none``, which says that there is no result at all."""
    method = scanner.take(_KEYWORD).lower()
    scanner.comments()
    if method == "none" and scanner.at_end():
        return None
    if scanner.skip("/"):
        scanner.comments()
        scanner.take(_DIGITS)
        scanner.comments()
    scanner.expect("=")
    scanner.comments()
    result = scanner.take(_KEYWORD).lower()
    comment = scanner.comments()
    properties: list[tuple[str, str]] = []
    while not scanner.at_end() and not scanner.is_at(";"):
        name = scanner.take(_KEYWORD).lower()
        comment += scanner.comments()
        if name not in _UNTYPED or scanner.is_at("."):
            scanner.expect(".")
            scanner.comments()
            name += "." + scanner.take(_KEYWORD).lower()
            scanner.comments()
        scanner.expect("=")
        comment += scanner.comments()
        properties.append((name, scanner.value()))
        comment += scanner.comments()
        if len(properties) > MAX_PROPERTIES:
            raise _Malformed
    if len({name for name, _value in properties}) < len(properties):
        raise _Malformed  # two readers could take different ones
    return MethodResult(method, result, comment, tuple(properties))


class _Scanner:
    """A position in the value of a field."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def is_at(self, char: str) -> bool:
        return self._text.startswith(char, self._at)

    def skip(self, char: str) -> bool:
        found = self.is_at(char)
        self._at += len(char) * found
        return found

    def expect(self, char: str) -> None:
        if not self.skip(char):
            raise _Malformed

    def take_if(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def take(self, pattern: re.Pattern[str]) -> str:
        found = self.take_if(pattern)
        if not found:
            raise _Malformed
        return found

    def skip_blanks(self) -> None:
        self.take_if(_BLANK)

    def value(self) -> str:
        """Read a value: plain, quoted, or a quoted local part with its domain."""
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is None:
            return self.take(_PLAIN_VALUE)
        self._at = quoted.end()
        local = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
        return local + (self.take(_PLAIN_VALUE) if self.is_at("@") else "")

    def comments(self) -> str:
        """Pass over blanks and comments; return what is in the comments, a blank before each."""
        found = []
        self.skip_blanks()
        while self.is_at("("):
            found.append(" " + self._comment())
            self.skip_blanks()
        return "".join(found)

    def _comment(self) -> str:
        """Pass over one comment, which may hold others and quoted characters (RFC 5322 3.2.2)."""
        start, depth = self._at + 1, 0
        while not self.at_end():
            char = self._text[self._at]
            self._at += 2 if char == "\\" else 1
            depth += (char == "(") - (char == ")")
            if depth > MAX_NESTING:
                raise _Malformed
            if depth == 0:
                return self._text[start : self._at - 1]
        raise _Malformed


def _result(found: MethodResult) -> Result:
    """Return a result that we know; RFC 8601 2.7.6: others count as none."""
    return _RESULTS.get(found.result, Result.NONE)


def _dmarc(found: MethodResult) -> Dmarc:
    """Read a result of DMARC. Its policy stands in a property or, usually, in a comment."""
    result = _result(found)
    if result not in {Result.PASS, Result.FAIL, Result.TEMPERROR}:
        return Dmarc(DmarcPolicy.NONE, Result.NONE)
    named = _POLICY.search(found.comment)
    word = found.value("policy.dmarc").lower() or (named[1].lower() if named else "")
    return Dmarc(_POLICIES.get(word, DmarcPolicy.UNKNOWN), result)


def _domain(value: str) -> str:
    """Return the domain of an address or domain as it is compared, "" for what is none."""
    return domain_key(value.rpartition("@")[2]) or ""
