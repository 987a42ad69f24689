"""Which customer account a mail is from: a pure function of what was found for it.

Threat model, table D, "Match". A Kunden# is printed on every invoice: it selects among accounts
and never proves one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.mail.customer_numbers import Claim
from core.words import MatchedBy


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """A customer user as far as a decision and an answer need it.

    ``valid`` includes its customer's. ``address`` is the main one; ``busy`` says that the account
    has so many tickets of the last minutes that they must be counted.
    """

    customer_user_id: int
    login: str
    customer_id: int
    customer_number: str
    sees_customer_tickets: bool
    valid: bool
    address: str = ""
    language: str = ""
    notices: bool = True
    busy: bool = False


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """A customer as far as a decision needs it."""

    customer_id: int
    number: str
    valid: bool
    domains: frozenset[str]


class MatchKind(StrEnum):
    """The rows M1 to M8 of table D."""

    ADDRESS = "address"  # M1
    ADDRESS_AND_NUMBER = "address-and-number"  # M2, and M7 settled by an agreeing number
    KNOWN_DOMAIN = "known-domain"  # M3
    NUMBER_ONLY = "number-only"  # M4
    CONFLICT = "conflict"  # M5
    UNKNOWN = "unknown"  # M6
    AMBIGUOUS = "ambiguous"  # M7
    INVALID_ACCOUNT = "invalid-account"  # M8


@dataclass(frozen=True, slots=True)
class Match:
    """Whom a mail is from; ``account`` or at least ``customer`` where that is known.

    ``candidates`` are the accounts that came into question.
    """

    kind: MatchKind
    account: AccountFacts | None = None
    customer: CustomerFacts | None = None
    candidates: tuple[AccountFacts, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def customer_id(self) -> int | None:
        """The customer: the account's, or the one that is known without an account."""
        known = self.account or self.customer
        return known.customer_id if known else None

    @property
    def customer_number(self) -> str | None:
        """The Kunden# of that customer."""
        if self.account is not None:
            return self.account.customer_number
        return self.customer.number if self.customer else None

    @property
    def matched_by(self) -> MatchedBy:
        """The word of the outside contract for this match."""
        if self.kind is MatchKind.INVALID_ACCOUNT and not self.candidates:
            return MatchedBy.NUMBER  # of a customer that is invalid as a whole
        return _MATCHED_BY[self.kind]


_MATCHED_BY: Mapping[MatchKind, MatchedBy] = {
    MatchKind.ADDRESS: MatchedBy.ADDRESS,
    MatchKind.ADDRESS_AND_NUMBER: MatchedBy.ADDRESS_AND_NUMBER,
    MatchKind.KNOWN_DOMAIN: MatchedBy.DOMAIN,
    MatchKind.NUMBER_ONLY: MatchedBy.NUMBER,
    MatchKind.CONFLICT: MatchedBy.NONE,
    MatchKind.UNKNOWN: MatchedBy.NONE,
    MatchKind.AMBIGUOUS: MatchedBy.NONE,
    MatchKind.INVALID_ACCOUNT: MatchedBy.ADDRESS,
}


def identify(
    accounts: Sequence[AccountFacts],
    claims: Sequence[Claim],
    customers: Mapping[str, CustomerFacts],
    from_domain: str,
) -> Match:
    """Return whom a mail is from.

    ``accounts`` hold the From address, ``customers`` are those whose Kunden# is claimed. A number
    in subject, text or sub-address that is no customer's is ignored, for texts are full of
    numbers; in a header field that exists for it, it is a contradiction.
    """
    numbers = tuple(dict.fromkeys(claim.number for claim in claims))
    claimed = {number: customers[number] for number in numbers if number in customers}
    unknown_in_header = any(
        claim.where == "header" and claim.number not in customers for claim in claims
    )
    valid = tuple(account for account in accounts if account.valid)
    if valid:
        return _match_address(valid, claimed, numbers, unknown_in_header)
    if accounts:
        invalid = accounts[0] if len(accounts) == 1 else None
        return Match(
            MatchKind.INVALID_ACCOUNT, invalid, candidates=tuple(accounts), numbers=numbers
        )
    return _match_number(claimed, numbers, from_domain)


def _match_address(
    valid: tuple[AccountFacts, ...],
    claimed: Mapping[str, CustomerFacts],
    numbers: tuple[str, ...],
    unknown_in_header: bool,
) -> Match:
    if not claimed and not unknown_in_header:
        if len(valid) == 1:
            return Match(MatchKind.ADDRESS, valid[0], candidates=valid, numbers=numbers)
        return Match(MatchKind.AMBIGUOUS, candidates=valid, numbers=numbers)
    agreeing = [account for account in valid if set(claimed) == {account.customer_number}]
    if unknown_in_header or not agreeing:
        return Match(MatchKind.CONFLICT, candidates=valid, numbers=numbers)
    if len(agreeing) > 1:
        return Match(MatchKind.AMBIGUOUS, candidates=tuple(agreeing), numbers=numbers)
    return Match(MatchKind.ADDRESS_AND_NUMBER, agreeing[0], candidates=valid, numbers=numbers)


def _match_number(
    claimed: Mapping[str, CustomerFacts], numbers: tuple[str, ...], from_domain: str
) -> Match:
    if not claimed:
        return Match(MatchKind.UNKNOWN, numbers=numbers)
    if len(claimed) > 1:
        return Match(MatchKind.CONFLICT, numbers=numbers)
    customer = next(iter(claimed.values()))
    if not customer.valid:
        return Match(MatchKind.INVALID_ACCOUNT, customer=customer, numbers=numbers)
    if from_domain and from_domain in customer.domains:
        return Match(MatchKind.KNOWN_DOMAIN, customer=customer, numbers=numbers)
    return Match(MatchKind.NUMBER_ONLY, customer=customer, numbers=numbers)
