"""The organisation as intake sees it: settings, groups, queues and rules as one immutable value.

It is small (tens of rows) and asked for by every mail, so each process keeps the last one. It is
never stale: the transaction that uses it first compares the version that triggers renew.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import URL, select
from sqlalchemy.orm import Session

from core.intake.blocklist import NOBODY, BlockedEntry, Blocklist
from core.mail.addresses import address_key, split_subaddress
from core.models import BlockedSender, Group, OrganisationVersion, Queue, QueueAddress
from core.routing.rule import RoutingRule
from core.routing.rules import all_rules, rule_facts
from core.settings import Settings, load_settings
from core.words import EvidenceDemand, FollowUp, ForbiddenRule, StrangersRule

log = logging.getLogger(__name__)

POSTMASTER = "postmaster"


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What is decided with of a queue. ``valid`` is false also when its group is invalid."""

    id: int
    name: str
    group_id: int
    group_name: str
    purpose: str
    follow_up: FollowUp
    forbidden: ForbiddenRule
    fallback_queue_id: int | None
    strangers: StrangersRule
    valid: bool
    address: str = ""  # the main one, which mail of this queue is sent from; "" without any
    signature: str = ""
    evidence: EvidenceDemand = EvidenceDemand.ANY


@dataclass(frozen=True, slots=True)
class Organisation:
    """One state of settings, groups, queues and routing rules."""

    version: int
    settings: Settings
    queues: dict[int, QueueFacts]
    queue_by_address: dict[str, QueueFacts]  # by address key
    groups: dict[int, str]  # valid groups by id
    always_groups: frozenset[int]
    own_domains: frozenset[str]
    blocklist: Blocklist = NOBODY
    routing: tuple[RoutingRule, ...] = ()  # the valid ones, in their order

    def route(self, recipient: str) -> "Route | None":
        """Return where mail to ``recipient`` goes, None for an unknown recipient.

        ``support+tag@`` reaches ``support@`` and hands the tag over, unless an address with the
        tag is itself a queue's. ``postmaster`` is always known (RFC 5321 4.5.1); without a queue
        of its own its mail is held.
        """
        key = address_key(recipient)
        if key is not None:
            if queue := self.queue_by_address.get(key):
                return Route(queue, None) if queue.valid else None
            base, tag = split_subaddress(recipient)
            base_key = address_key(base) if tag is not None else None
            if base_key and (queue := self.queue_by_address.get(base_key)):
                return Route(queue, tag) if queue.valid else None
        local, _at, domain = (key or recipient.lower()).rpartition("@")
        is_ours = domain in self.own_domains and local == POSTMASTER
        return Route(None, None) if is_ours or recipient.lower() == POSTMASTER else None


@dataclass(frozen=True, slots=True)
class Route:
    """The queue that a recipient address names (None: postmaster) and its sub-address tag."""

    queue: QueueFacts | None
    tag: str | None


_kept: dict[URL, Organisation] = {}
_lock = Lock()

_VERSION = select(OrganisationVersion.version)
_LOCKED_VERSION = _VERSION.with_for_update(read=True)


def load_organisation(session: Session, *, lock: bool = False) -> Organisation:
    """Return the organisation as this transaction sees it.

    With ``lock`` nobody can change groups, queues or settings until this transaction ends (a
    share lock on PostgreSQL; SQLite's writers exclude each other anyway).
    """
    connection = session.connection()
    version = connection.execute(_LOCKED_VERSION if lock else _VERSION).scalar_one()
    place = connection.engine.url
    kept = _kept.get(place)
    if kept is None or kept.version != version:
        kept = _load(session, version)
        with _lock:
            _kept[place] = kept
    return kept


def always_groups(settings: Settings, groups: Mapping[int, str]) -> frozenset[int]:
    """Return which of the valid groups, names by id, every customer user has."""
    names = set(settings.customer_group_always_groups)
    return frozenset(group_id for group_id, name in groups.items() if name in names)


def domains_of(address_keys: Iterable[str]) -> frozenset[str]:
    """Return the domains of the addresses of queues: those are ours."""
    return frozenset(key.rpartition("@")[2] for key in address_keys)


def _load(session: Session, version: int) -> Organisation:
    settings = load_settings(session)
    groups = {group.id: group for group in session.scalars(select(Group))}
    valid_groups = {group.id: group.name for group in groups.values() if group.valid}
    addresses: dict[int, str] = {}
    for row in session.scalars(select(QueueAddress).order_by(QueueAddress.id)):
        addresses.setdefault(row.queue_id, row.address)
    queues = {
        queue.id: QueueFacts(
            id=queue.id,
            name=queue.name,
            group_id=queue.group_id,
            group_name=groups[queue.group_id].name,
            purpose=queue.purpose,
            follow_up=queue.follow_up,
            forbidden=queue.forbidden,
            fallback_queue_id=queue.fallback_queue_id,
            strangers=queue.strangers,
            valid=queue.valid and groups[queue.group_id].valid,
            address=addresses.get(queue.id, ""),
            signature=queue.signature,
            evidence=queue.evidence,
        )
        for queue in session.scalars(select(Queue).order_by(Queue.name))
    }
    by_address = {
        key: queues[queue_id]
        for key, queue_id in session.execute(
            select(QueueAddress.address_key, QueueAddress.queue_id)
        )
    }
    return Organisation(
        version=version,
        settings=settings,
        queues=queues,
        queue_by_address=by_address,
        groups=valid_groups,
        always_groups=always_groups(settings, valid_groups),
        own_domains=domains_of(by_address),
        blocklist=_blocklist(session),
        routing=_routing(session),
    )


def _routing(session: Session) -> tuple[RoutingRule, ...]:
    """Return the valid rules; one of another version that cannot be read must not stop mail."""
    found = []
    for row in all_rules(session):
        if row.valid:
            try:
                found.append(rule_facts(row))
            except (KeyError, TypeError, ValueError):
                log.error("routing rule %d cannot be read: it is left out", row.id)
    return tuple(found)


def _blocklist(session: Session) -> Blocklist:
    rows = session.execute(select(BlockedSender.id, BlockedSender.kind, BlockedSender.value))
    return Blocklist.of(BlockedEntry(*row) for row in rows)
