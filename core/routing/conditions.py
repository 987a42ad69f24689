"""Whether a mail fits the conditions of a routing rule: pure, total, and in linear time.

A test holds if it holds for any value of its field; what is missing has no value. Text is compared
folded, so without regard to case and accents. Regular expressions are RE2's, which has no pattern
that takes exponential time; how much they look at is capped as well.
"""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, assert_never

import re2

from core.mail.addresses import domain_key
from core.routing.content import MAX_MATCHED, Content
from core.routing.rule import Conditions, Field, Group, Join, Operator, Test
from core.text import fold

_MEMORY = 128 * 1024  # bytes of a compiled pattern: so many steps for each character
_TEXT = (
    Operator.CONTAINS,
    Operator.EQUALS,
    Operator.BEGINS,
    Operator.ENDS,
    Operator.MATCHES,
    Operator.EXISTS,
)
_ADDRESS = (*_TEXT, Operator.WITHIN)
OPERATORS: Mapping[Field, tuple[Operator, ...]] = {
    Field.SUBJECT: _TEXT,
    Field.TEXT: _TEXT,
    Field.FROM: _ADDRESS,
    Field.MAIL_FROM: _ADDRESS,
    Field.RECIPIENT: _ADDRESS,
    Field.HEADER: _TEXT,
    Field.ATTACHMENT: _TEXT,
    Field.SIZE: (Operator.MORE,),
    Field.EVIDENCE: (Operator.EQUALS,),
    Field.CUSTOMER_NUMBER: _TEXT,
    Field.CUSTOMER_USER: _TEXT,
    Field.PEER: (Operator.WITHIN, Operator.EQUALS, Operator.EXISTS),
}


def fits(conditions: Conditions, content: Content) -> bool:
    """Whether a mail fits; it looks at no more than it needs to know that."""
    if not conditions.groups:
        return True
    join = all if conditions.join is Join.ALL else any
    return join(_group_fits(group, content) for group in conditions.groups)


def tested(conditions: Conditions, content: Content) -> tuple[tuple[bool, ...], ...]:
    """Return which test of which group holds, its negation included: for people who try a rule."""
    return tuple(tuple(holds(test, content) for test in group.tests) for group in conditions.groups)


def holds(test: Test, content: Content) -> bool:
    """Whether one test holds; one that cannot be asked never does, not even negated."""
    if test.operator not in OPERATORS[test.field]:
        return False
    try:
        return _compares(test, content) is not test.negated
    except (re2.error, ValueError):
        return False


def _group_fits(group: Group, content: Content) -> bool:
    if not group.tests:
        return True
    join = all if group.join is Join.ALL else any
    return join(holds(test, content) for test in group.tests)


def _compares(test: Test, content: Content) -> bool:
    wanted, operator = test.value, test.operator
    match operator:
        case Operator.EXISTS:
            return bool(content.values(test.field, test.name))
        case Operator.MATCHES:
            pattern = compiled(wanted)
            values = content.values(test.field, test.name)
            return any(pattern.search(value[:MAX_MATCHED]) is not None for value in values)
        case Operator.MORE:
            return content.size > int(wanted)
        case Operator.WITHIN if test.field is Field.PEER:
            return _is_in_network(content.peer, wanted)
        case Operator.WITHIN:
            values = content.values(test.field)
            return any(_is_in_domain(value, wanted) for value in values)
        case Operator.EQUALS if test.field is Field.PEER:
            return _is_in_network(content.peer, wanted)
    folded, values = fold(wanted), content.folded(test.field, test.name)
    match operator:
        case Operator.CONTAINS:
            return any(folded in value for value in values)
        case Operator.EQUALS:
            return folded in values
        case Operator.BEGINS:
            return any(value.startswith(folded) for value in values)
        case Operator.ENDS:
            return any(value.endswith(folded) for value in values)
        case _:
            assert_never(operator)


def _is_in_domain(address: str, wanted: str) -> bool:
    domain, outer = domain_key(address.rpartition("@")[2]), domain_key(wanted)
    if domain is None or outer is None:
        return False
    return domain == outer or domain.endswith(f".{outer}")


def _is_in_network(peer: str, wanted: str) -> bool:
    network = ip_network(wanted, strict=False)
    try:
        address = ip_address(peer)
    except ValueError:  # a local pipe has none
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address) in network


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """Return a regular expression ready for use. Raises ``re2.error`` for one that is none."""
    options = re2.Options()
    options.case_sensitive = False
    options.never_nl = False
    options.never_capture = True
    options.log_errors = False
    options.max_mem = _MEMORY
    return re2.compile(pattern, options)
