"""Asking the customer sources who a mail is from, between parsing and the transaction.

What they know is in our tables afterwards, where ``gather`` reads it; of those that did not
answer the mail keeps the names.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import Database
from core.intake.gather import claims_of
from core.intake.prepare import Prepared
from core.mail.addresses import with_unicode_domain
from core.models import Customer, CustomerUserAddress
from core.organisation import Organisation, load_organisation
from core.sources.asking.live import LiveSources
from core.sources.source import By, SourceAway

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Named:
    """What a mail says about its sender that a source may know."""

    addresses: tuple[str, ...]  # the key first
    numbers: frozenset[str]


_NOTHING = _Named((), frozenset())


def look_up(
    database: Database, sources: LiveSources, batch: Sequence[Prepared]
) -> list[Prepared | SourceAway]:
    """Return a batch as it can be decided: after the sources were asked about it.

    One question per source and kind, whatever the batch size, and no more than about three
    seconds. In the place of a mail from an unknown address which may be known in a source that is
    away is a ``SourceAway`` where mail shall wait outside meanwhile. Raises what our own database
    raises.
    """
    if not sources.names:
        return list(batch)
    named = _named(database, batch)
    wanted = {
        By.ADDRESS: {address for each in named for address in each.addresses},
        By.NUMBER: {number for each in named for number in each.numbers},
    }
    found = sources.look_up(database, wanted)
    if not found.unanswered:
        return list(batch)
    away = [
        (*found.away(By.ADDRESS, each.addresses), *found.away(By.NUMBER, each.numbers))
        for each in named
    ]
    with database.read() as session:
        known = _known_addresses(session, {each.addresses[0] for each in named if each.addresses})
    return [
        _undecided(sources, prepared, tuple(dict.fromkeys(names)), known)
        for prepared, names in zip(batch, away, strict=True)
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


def _undecided(
    sources: LiveSources, prepared: Prepared, away: tuple[str, ...], known: Collection[str]
) -> Prepared | SourceAway:
    if not away or prepared.from_key in known:
        return prepared
    deferring = sources.defers(away)
    if deferring is not None:
        log.info("mail %s put off: customer source %s is away", prepared.reference, deferring)
        return SourceAway(deferring, "mail from unknown addresses waits until it answers")
    return replace(prepared, away=away)


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
