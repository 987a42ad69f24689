"""Is everything in order? The checks behind ``schalter check``, each bounded in time."""

import shutil
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.accounts.staff import signs_in_here
from core.accounts.staff_directory import DirectoryAway, staff_directory_of
from core.config import AnySourceSection, Config, RelaySection, StaffDirectorySection
from core.content_checks import ping_clamd, ping_rspamd
from core.db import Database
from core.errors import ConfigError, SchalterError
from core.models import CustomerSource as SourceState
from core.models import Group, Staff, now
from core.openid.faults import ProviderFault
from core.openid.provider import Provider
from core.outgoing.lists import outbox_state
from core.outgoing.relay import Deadlines, RelayFault, relay_session, tls_context
from core.revision import check_revision, newest_revision
from core.secret_key import load_secret_key
from core.sources.mirroring.passes import count_conflicts
from core.sources.overview import is_overdue
from core.sources.source import SourceAway
from core.sources.trying.look import SourceLook, look_at_source
from core.words import Role

SECONDS = 4.0  # that anything outside this machine gets
LEAST_FREE = 200 * 1024 * 1024  # bytes; below this, or 1.5 times the largest mail, the gateway
SIZES_FREE = 1.5  # answers 452
LONGEST_WAIT = timedelta(hours=1)  # of outgoing mail, after which somebody should look
STAFF_DIRECTORY_CHECK = "staff directory"

T = TypeVar("T")


class State(StrEnum):
    """How a check ended; a warning is worth knowing and fails nothing."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, how it ended, and what was found."""

    name: str
    state: State
    text: str


def check_all(config: Config, database: Database) -> Iterator[Check]:
    """Check everything, in the order in which problems follow from each other."""
    yield check_configuration(config)
    answers = check_database(database)
    yield answers
    if answers.state is not State.FAILED:
        migrations = check_migrations(database)
        yield migrations
        if migrations.state is not State.FAILED:
            yield check_outbox(database)
            yield from check_sources(config, database)
            yield from check_staff_directory(config, database)
    yield check_disk(config, database)
    yield check_relay(config)
    yield check_dns(config)
    yield from check_content_checks(config)
    yield from check_single_sign_on(config)


def check_configuration(config: Config) -> Check:
    """The configuration was read: can the files be used that it names?"""
    name = "configuration"
    try:
        load_secret_key(config.secret_key_file)
        if config.smtp.tls_cert:
            ssl.create_default_context().load_cert_chain(config.smtp.tls_cert, config.smtp.tls_key)
    except SchalterError as error:
        return Check(name, State.FAILED, str(error))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = f"smtp.tls_cert {config.smtp.tls_cert}, smtp.tls_key {config.smtp.tls_key}"
        return Check(name, State.FAILED, f"{files}: {error}")
    try:
        tls_context(config.relay)
    except OSError as error:
        return Check(name, State.FAILED, f"relay.ca_file: {config.relay.ca_file}: {error}")
    password_file = config.relay.password_file
    if password_file and not Path(password_file).is_file():
        return Check(name, State.FAILED, f"relay.password_file: {password_file}: no such file")
    return Check(name, State.OK, "complete")


def check_database(database: Database) -> Check:
    """Does it answer, and does it keep what a 250 promises to keep?"""
    try:
        database.check_file()
        database.check_connection()
    except SchalterError as error:
        return Check("database", State.FAILED, str(error))
    if not database.is_sqlite:
        with database.read() as session:
            weak = _weak_settings(session)
        if weak:
            reason = f"{database.address}: {weak}: accepted mail would not survive a power cut"
            return Check("database", State.FAILED, reason)
    return Check("database", State.OK, f"{database.address} answers")


def _weak_settings(session: Session) -> str:
    """Return what PostgreSQL is set to that loses commits (threat S1), "" for nothing."""
    found = {
        name: session.scalars(text(f"SHOW {name}")).one()
        for name in ("fsync", "synchronous_commit")
    }
    return ", ".join(f"{name} is off" for name, value in found.items() if value == "off")


def check_migrations(database: Database) -> Check:
    """Is the database at the revision that this program needs?"""
    try:
        check_revision(database)
    except SchalterError as error:
        return Check("migrations", State.FAILED, str(error))
    return Check("migrations", State.OK, f"at revision {newest_revision()}")


def check_sources(config: Config, database: Database) -> Iterator[Check]:
    """Does each customer source answer, is there what is named, and when was all of it read?"""
    for section in config.customer_sources:
        name = f"source {section.name}"
        try:
            found = look_at_source(section)
        except SourceAway as error:
            yield Check(name, State.FAILED, error.reason)
        except ConfigError as error:
            yield Check(name, State.FAILED, str(error))
        else:
            yield _about_source(name, section, database, found)


def _about_source(
    name: str, section: AnySourceSection, database: Database, found: SourceLook
) -> Check:
    with database.read() as session:
        state = session.get(SourceState, section.name) or SourceState(name=section.name)
        conflicts = count_conflicts(session, section.name)
    told = f"{found.records} records"
    worries = []
    if state.last_pass_at is None:
        worries.append(f"never read: run schalter sources sync {section.name}")
    else:
        told += f", all read {state.last_pass_at:%Y-%m-%d %H:%M} UTC"
        if is_overdue(section, state):
            worries.append("that is too long ago: run schalter worker, or schalter sources sync")
    if found.missing:
        worries.append(
            f"none of {found.looked_at} records has {', '.join(found.missing)}: look at its map"
        )
    if conflicts:
        worries.append(f"conflicts: {conflicts}, see schalter sources conflicts")
    return Check(name, State.WARNING if worries else State.OK, "; ".join([told, *worries]))


def check_staff_directory(config: Config, database: Database) -> Iterator[Check]:
    """Does the directory of staff answer, and are the groups there, and here, that are named?"""
    if config.staff_directory is None:
        return
    try:
        directory = staff_directory_of(config)
    except ConfigError as error:
        yield Check(STAFF_DIRECTORY_CHECK, State.FAILED, str(error))
        return
    assert directory is not None  # as it is configured
    try:
        people = directory.count()
    except DirectoryAway as error:
        yield Check(STAFF_DIRECTORY_CHECK, State.FAILED, error.reason)
        return
    finally:
        directory.close()
    yield _about_staff(config.staff_directory, database, people)


def _about_staff(
    section: StaffDirectorySection, database: Database, people: Mapping[str, int | None]
) -> Check:
    name = STAFF_DIRECTORY_CHECK
    for key, groups in (("roles", section.roles), ("groups", section.groups)):
        gone = [dn for dn in groups if people[dn] is None]
        if gone:
            return Check(name, State.FAILED, f"the group {gone[0]} of {key} is not there")
    with database.read() as session:
        known = set(session.scalars(select(Group.name)))
        has_admin = session.scalars(
            select(Staff.id).where(Staff.role == Role.ADMIN, signs_in_here()).limit(1)
        ).one_or_none()
    unknown = sorted(section.given_groups - known)
    if unknown:
        return Check(name, State.FAILED, f"there is no group {unknown[0]} in Schalter")
    if has_admin is None:
        return Check(name, State.FAILED, "no admin has a password here: run schalter init")
    told = f"{', '.join(section.servers)} answers"
    told += "".join(f"; {dn}: {people[dn]}" for dn in section.roles)
    nobody = any(people[dn] == 0 for dn in section.roles)
    return Check(name, State.WARNING if nobody else State.OK, told)


def check_disk(config: Config, database: Database) -> Check:
    """Is there room where we write: the database's folder, else that of the key?"""
    file = database.file or Path(config.secret_key_file)
    folder = next(parent for parent in file.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    least = max(int(SIZES_FREE * config.smtp.max_message_bytes), LEAST_FREE)
    told = f"{folder}: {free / 1e9:.1f} GB free"
    if free < least:
        return Check("disk", State.FAILED, f"{told}, mail is refused below {least / 1e9:.1f} GB")
    return Check("disk", State.OK, told)


def check_outbox(database: Database) -> Check:
    """Does outgoing mail leave?"""
    with database.read() as session:
        outbox = outbox_state(session)
    told = f"{outbox.waiting} waiting, {outbox.failed} not sent"
    if outbox.oldest_waiting_at is None:
        return Check("outbox", State.OK, told)
    waited = now() - outbox.oldest_waiting_at
    told += f", the oldest waits for {waited.total_seconds() / 3600:.1f} h"
    return Check("outbox", State.WARNING if waited > LONGEST_WAIT else State.OK, told)


def check_relay(config: Config) -> Check:
    """Does the mail server for outgoing mail let us in? Greeting, TLS and sign-in are tried."""
    relay = config.relay
    if not relay.host:
        return Check("relay", State.WARNING, "not configured: outgoing mail waits")
    place = f"{relay.host}:{relay.port}"
    try:
        _in_time(lambda: _visit(relay, config.smtp.hostname))
    except RelayFault as fault:
        return Check("relay", State.FAILED, str(fault))
    except OSError as error:  # a timeout is one, too
        return Check("relay", State.FAILED, f"{place}: {_reason(error)}")
    said = "" if relay.tls == "none" else ", encrypted"
    said += f", signed in as {relay.username}" if relay.username else ""
    return Check("relay", State.OK, f"{place} answers{said}")


def check_dns(config: Config) -> Check:
    """Can the name be found that the gateway greets with?

    A machine's own name often cannot, which matters to nobody behind a relay; one that somebody
    configured should.
    """
    name = config.smtp.hostname
    try:
        found = _in_time(lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
    except OSError as error:
        is_chosen = "hostname" in config.smtp.model_fields_set
        state = State.FAILED if is_chosen else State.WARNING
        return Check("dns", state, f"smtp.hostname {name}: {_reason(error)}")
    addresses = sorted({str(place[4][0]) for place in found})
    return Check("dns", State.OK, f"smtp.hostname {name} is {', '.join(addresses)}")


def check_content_checks(config: Config) -> Iterator[Check]:
    """Does each configured checker of content answer? Without it all mail is held."""
    section = config.content_checks
    for name, place, ping in (
        ("clamd", section.clamd, ping_clamd),
        ("rspamd", section.rspamd, ping_rspamd),
    ):
        if place:
            yield _check_answer(name, place, partial(ping, place, SECONDS))


def _check_answer(name: str, place: str, ping: Callable[[], None]) -> Check:
    try:
        _in_time(ping)
    except OSError as error:
        return Check(name, State.FAILED, f"{place}: {_reason(error)}: all mail is held")
    return Check(name, State.OK, f"{place} answers")


def check_single_sign_on(config: Config) -> Iterator[Check]:
    """Does each identity provider say the same of itself as we do, and which address is ours?"""
    for section in config.single_sign_on:
        name = f"sign-on {section.name}"
        provider = Provider(section, config.public_url)
        try:
            provider.check()
        except ProviderFault as fault:
            yield Check(name, State.FAILED, f"{section.issuer}: {fault}")
        else:
            told = f"{section.issuer} answers; redirect URI: {provider.redirect_uri}"
            yield Check(name, State.OK, told)


def _visit(relay: RelaySection, hostname: str) -> None:
    with relay_session(relay, hostname, Deadlines(SECONDS, SECONDS, SECONDS)):
        pass


def _in_time(ask: Callable[[], T]) -> T:
    """Return what ``ask`` returns; raise ``TimeoutError`` when that takes too long.

    The system's look-up of names cannot be called off, so it is left behind in its thread.
    """
    answers: SimpleQueue[T | OSError | RelayFault] = SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except (OSError, RelayFault) as error:
            answers.put(error)

    Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=SECONDS)
    except Empty:
        raise TimeoutError(f"no answer within {SECONDS:g} s") from None
    if isinstance(answer, OSError | RelayFault):
        raise answer
    return answer


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
