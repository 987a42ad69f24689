"""Asking the customer sources who a mail is from, between parsing and the transaction.

What they know is in our tables afterwards, where ``gather`` reads it; of those that did not
answer the mail keeps the names.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import Database
from core.intake.gather import claims_of
from core.intake.prepare import Prepared
from core.intake.sources_asked import NOBODY_ASKED, SourcesAsked
from core.mail.addresses import with_unicode_domain
from core.models import Customer, CustomerUserAddress
from core.organisation import Organisation, load_organisation
from core.sources.asking.live import LiveSources, LookedUp
from core.sources.source import By, SourceAway

# Gives the first of some sources for which mail shall wait outside while it is away.
Defers = Callable[[Collection[str]], str | None]


@dataclass(frozen=True, slots=True)
class PutOff:
    """A mail that waits outside: who it is from may be known in a source that is away.

    It must not be taken in. ``prepared`` tells what it is, for who asks only what would become of
    it.
    """

    prepared: Prepared
    away: SourceAway


@dataclass(frozen=True, slots=True)
class _Named:
    """What a mail says about its sender that a source may know."""

    addresses: tuple[str, ...]  # the key first
    numbers: frozenset[str]


_NOTHING = _Named((), frozenset())


def look_up(
    database: Database,
    sources: LiveSources,
    batch: Sequence[Prepared],
    *,
    fresh: bool = False,
) -> list[Prepared | PutOff]:
    """Return a batch as it can be decided: after the sources were asked about it.

    One question per source and kind, whatever the batch size, and no more than about three
    seconds; what was answered a moment ago is not asked again, unless it must be ``fresh``.
    ``PutOff`` is a mail from an unknown address which may be known in a source that is away, where
    mail shall wait outside meanwhile. Raises what our own database raises.
    """
    if not sources.names:
        return list(batch)
    named = _named(database, batch)
    wanted = {
        By.ADDRESS: {address for each in named for address in each.addresses},
        By.NUMBER: {number for each in named for number in each.numbers},
    }
    found = sources.look_up(database, wanted, fresh=fresh)
    asked = [
        replace(prepared, asked=_asked(sources.names, found, each))
        for prepared, each in zip(batch, named, strict=True)
    ]
    if not found.unanswered:
        return list(asked)
    with database.read() as session:
        return left_open(session, asked, sources.defers)


def left_open(
    session: Session,
    batch: Sequence[Prepared],
    defers: Defers,
) -> list[Prepared | PutOff]:
    """Return mails whose sources did not all answer as they can be decided.

    Who is known here, if only from the last good copy, is decided as always.
    """
    keys = {prepared.from_key for prepared in batch if prepared.asked.silent}
    known = _known_addresses(session, keys)
    return [
        _undecided(prepared, defers(prepared.asked.silent))
        if prepared.asked.silent and prepared.from_key not in known
        else prepared
        for prepared in batch
    ]


def _named(database: Database, batch: Sequence[Prepared]) -> list[_Named]:
    with database.read() as session:
        organisation = load_organisation(session)
        named = [_named_by(organisation, prepared) for prepared in batch]
        numbers = {number for each in named for number in each.numbers}
        known = _known_numbers(session, numbers)
    return [replace(each, numbers=each.numbers - known) for each in named]


def _named_by(organisation: Organisation, prepared: Prepared) -> _Named:
    """Return what a mail names; nothing where that would not matter to any rule."""
    if prepared.incoming.portal is not None or not prepared.from_key:
        return _NOTHING
    routes = [organisation.route(each) for each in prepared.incoming.envelope.recipients]
    reached = [route for route in routes if route is not None]
    if not reached:
        return _NOTHING
    claims = {
        claim.number for route in reached for claim in claims_of(organisation, prepared, route)
    }
    # A source may hold a domain with umlauts in either form.
    forms = (prepared.from_key, with_unicode_domain(prepared.from_key))
    return _Named(tuple(dict.fromkeys(forms)), frozenset(claims))


def _asked(names: Sequence[str], found: LookedUp, named: _Named) -> SourcesAsked:
    if named == _NOTHING:
        return NOBODY_ASKED
    silent = (*found.away(By.ADDRESS, named.addresses), *found.away(By.NUMBER, named.numbers))
    return SourcesAsked(tuple(names), tuple(dict.fromkeys(silent)))


def _undecided(prepared: Prepared, deferring: str | None) -> Prepared | PutOff:
    undecided = replace(prepared, away=prepared.asked.silent)
    if deferring is None:
        return undecided
    away = SourceAway(deferring, "mail from unknown addresses waits until it answers")
    return PutOff(undecided, away)


def _known_addresses(session: Session, keys: Collection[str]) -> set[str]:
    return set(
        session.scalars(
            select(CustomerUserAddress.address_key).where(CustomerUserAddress.address_key.in_(keys))
        )
    )


def _known_numbers(session: Session, numbers: Collection[str]) -> frozenset[str]:
    """Return which customers are here: of these a source has nothing new to say by number."""
    if not numbers:
        return frozenset()
    return frozenset(session.scalars(select(Customer.number).where(Customer.number.in_(numbers))))
