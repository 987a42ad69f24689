"""The courier: takes mail that is due out of the outbox and hands it to the relay.

A mail is claimed by a lease, handed over outside any transaction, and settled in another one. The
lease is longer than a message may take; while it runs no other courier takes the mail, and whoever
has lost it settles nothing. A courier that dies leaves its mail claimed until the lease runs out.
So each mail is sent once, but for the moment between the relay's 250 and our commit, which no
program can close: the second copy has the same Message-ID.

What is refused for now waits for itself, longer each time. A relay that cannot be used at all is
asked again after a pause, for all mail together, so no storm of retries can arise (threat L8).
"""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from threading import Event

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core import audit
from core.audit import SYSTEM
from core.config import RelaySection
from core.db import Database
from core.i18n import N_
from core.models import OutgoingMail, RawMail, now
from core.outgoing.backoff import GIVE_UP_AFTER, LEAST_TRIES, next_try, pause_after
from core.outgoing.bounces import note_refusal
from core.outgoing.compose import to_ascii_domain
from core.outgoing.installation import Installation
from core.outgoing.late import Ready, compose_late
from core.outgoing.outbox import Suppressed
from core.outgoing.relay import DEADLINES, Deadlines, RelayFault, RelaySession, relay_session
from core.outgoing.wire import MAX_REPLY, ConnectionFault, Reply
from core.words import OutgoingKind, OutgoingState

POLL_SECONDS = 2.0  # between looks for what is due
LEASE_MARGIN = timedelta(seconds=60)  # beyond what a message may take
LONGEST_OUTAGE_PAUSE = timedelta(minutes=10)  # one connection asks for all mail: it may be often
PATIENCE = 5  # refusals for now, one after the other, after which the relay counts as away
MAX_PER_SESSION = 100  # messages, after which a relay may like a new connection
GIVEN_UP_AT_ONCE = 500

NOT_MADE = N_("Schalter could not make this message; the worker's log says why.")

log = logging.getLogger("courier")


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail that is this courier's until ``leased_until``, which no other lease of it equals."""

    id: int
    kind: OutgoingKind
    mail_from: str
    recipient: str
    raw_id: int | None
    created_at: datetime
    attempts: int  # with this one
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try. ``refused`` is the relay's final no, ``next_try_at`` is for waiting."""

    state: OutgoingState
    why: str
    next_try_at: datetime | None = None
    refused: bool = False


class Courier:
    """Sends what is due. Several may run at once, each in a thread of its own.

    ``random`` spreads retries, ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        database: Database,
        installation: Installation,
        relay: RelaySection,
        *,
        deadlines: Deadlines = DEADLINES,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._installation = installation
        self._relay = relay
        self._deadlines = deadlines
        self._lease = timedelta(seconds=deadlines.message) + LEASE_MARGIN
        self._random = random or Random()  # noqa: S311 - spreads retries, protects nothing
        self._clock = clock
        self._stopping = Event()
        self._socket: socket.socket | None = None
        self._outages = 0  # in a row
        self._resume_at = 0.0
        self._said = ""  # the fault that the log knows of
        self._refusals = 0  # in a row, since somebody looked for what is due
        self._last_refusal = ""

    def run_due(self) -> float:
        """Send everything that is due; return the seconds after which to look again.

        Without a relay nothing is touched. Raises ``DBAPIError`` when the database is away.
        """
        if not self._relay.host:
            return POLL_SECONDS
        pause = self._resume_at - self._clock()
        if pause > 0:
            return min(pause, POLL_SECONDS)
        self._refusals = 0
        try:
            while not self._stopping.is_set() and self._has_due():
                with relay_session(
                    self._relay, self._installation.hostname, self._deadlines, self._watch
                ) as session:
                    self._send_through(session)
        except RelayFault as fault:
            if not self._stopping.is_set():
                self._begin_outage(str(fault))
        return POLL_SECONDS

    def stop(self) -> None:
        """Let ``run_due`` return after the mail at hand; for another thread."""
        self._stopping.set()

    def abandon(self) -> None:
        """Cut the connection: the mail at hand counts as not sent; for another thread."""
        self._stopping.set()
        if self._socket is not None:
            with suppress(OSError):
                # Not the method of an encrypted socket, which would take its state away.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until told to stop; return whether that was said."""
        return self._stopping.wait(seconds)

    def _watch(self, connection: socket.socket) -> None:
        self._socket = connection

    def _send_through(self, session: RelaySession) -> None:
        """Send until nothing is due, or until the session should be used no more."""
        for _number in range(MAX_PER_SESSION):
            claim = None if self._stopping.is_set() else self._claim()
            if claim is None:
                return
            self._send(session, claim)
            if self._refusals >= PATIENCE:
                raise RelayFault(f"{self._relay.host}:{self._relay.port}: {self._last_refusal}")
            if not session.is_usable:
                return

    def _send(self, session: RelaySession, claim: Claim) -> None:
        """Send one mail and settle it; what is wrong with it stops no other."""
        try:
            ready = self._ready(claim)
        except Suppressed as reason:
            self._settle(claim, Outcome(OutgoingState.SUPPRESSED, str(reason)))
            return
        except DBAPIError:
            raise
        except Exception:  # a defect, or a message that nobody can compose
            log.exception("%s %d cannot be made", claim.kind, claim.id)
            self._wait(claim, NOT_MADE)
            return
        if ready is None:
            return
        try:
            recipient = to_ascii_domain(claim.recipient)
            reply = session.send(ready.mail_from, recipient, ready.content)
        except ConnectionFault as fault:
            self._refused_for_now(claim, str(fault))
        except RelayFault as fault:
            self._refused_for_now(claim, str(fault))
            raise
        else:
            self._take(claim, reply)

    def _take(self, claim: Claim, reply: Reply) -> None:
        if not reply.is_positive and not reply.is_final:
            self._refused_for_now(claim, reply.line)
            return
        self._refusals = 0
        self._end_outage()
        state = OutgoingState.FAILED if reply.is_final else OutgoingState.SENT
        self._settle(claim, Outcome(state, reply.line, refused=reply.is_final))

    def _refused_for_now(self, claim: Claim, why: str) -> None:
        if self._stopping.is_set():  # perhaps by ourselves: then it is nobody's fault
            self._settle(claim, Outcome(OutgoingState.WAITING, why, now()))
            return
        self._refusals += 1
        self._last_refusal = why
        self._wait(claim, why)

    def _wait(self, claim: Claim, why: str) -> None:
        """Let a mail wait for its next try, or give it up."""
        at = next_try(claim.created_at, claim.attempts, now(), self._random)
        state = OutgoingState.FAILED if at is None else OutgoingState.WAITING
        self._settle(claim, Outcome(state, why, at))

    def _has_due(self) -> bool:
        """Look before a relay is asked, without keeping anybody else from writing."""
        with self._database.read() as session:
            due = select(OutgoingMail.id).where(_due(session, now())).limit(1)
            return session.scalars(due).first() is not None

    def _claim(self) -> Claim | None:
        """Take the mail that has been due longest; None where nobody left any."""
        at = now()
        with self._database.write() as session:
            mail = session.scalars(
                select(OutgoingMail)
                .where(_due(session, at))
                .order_by(OutgoingMail.next_try_at, OutgoingMail.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if mail is None:
                return None
            lease = at + self._lease
            mail.leased_until = lease
            mail.attempts += 1
            return Claim(
                id=mail.id,
                kind=mail.kind,
                mail_from=mail.mail_from,
                recipient=mail.recipient,
                raw_id=mail.raw_id,
                created_at=mail.created_at,
                attempts=mail.attempts,
                leased_until=lease,
            )

    def _ready(self, claim: Claim) -> Ready | None:
        """Return what to send; None when the mail is ours no longer."""
        if claim.raw_id is not None:
            with self._database.read() as session:
                return Ready(
                    claim.mail_from,
                    session.scalars(select(RawMail.content).filter_by(id=claim.raw_id)).one(),
                )
        with self._database.write() as session:
            mail = _still_ours(session, claim)
            return compose_late(session, self._installation, mail) if mail is not None else None

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Write down what became of a mail, unless somebody else has it by now.

        What the relay has taken must not be sent again because the database is away for a moment,
        so this is tried for as long as the lease keeps others away.
        """
        while True:
            try:
                with self._database.write() as session:
                    settled = _settle(session, claim, outcome)
                break
            except DBAPIError:
                if now() >= claim.leased_until or self._stopping.wait(1.0):
                    raise
        if not settled:
            log.warning("%s %d: the lease was lost", claim.kind, claim.id)
            return
        level = logging.WARNING if outcome.state is OutgoingState.FAILED else logging.INFO
        log.log(level, "%s %d %s: %s", claim.kind, claim.id, outcome.state, outcome.why)

    def _begin_outage(self, why: str) -> None:
        """Let all mail wait, and say why, once."""
        self._outages += 1
        pause = pause_after(self._outages, self._random, LONGEST_OUTAGE_PAUSE)
        self._resume_at = self._clock() + pause.total_seconds()
        if why != self._said:
            self._said = why
            log.warning("relay: %s: all mail waits", why)
        at = now()
        with self._database.write() as session:
            if self._outages >= LEAST_TRIES:
                _give_up(session, at, why)
            session.execute(
                update(OutgoingMail)
                .where(_due(session, at))
                .values(next_try_at=at + pause, reply=why[:MAX_REPLY], leased_until=None)
                .execution_options(synchronize_session=False)
            )

    def _end_outage(self) -> None:
        self._outages = 0
        if self._said:
            self._said = ""
            log.info("relay: it takes mail again")


def _due(session: Session, at: datetime) -> ColumnElement[bool]:
    """Return the condition that a mail waits for its courier."""
    # Written into the statement, and called likely: only then does SQLite read what is due in
    # order from its index, and does not sort all that waits for every single mail.
    waits: ColumnElement[bool] = OutgoingMail.state == bindparam(
        "waiting", OutgoingState.WAITING, type_=OutgoingMail.state.type, literal_execute=True
    )
    if session.get_bind().dialect.name == "sqlite":
        waits = func.likely(waits)
    return and_(
        waits,
        OutgoingMail.next_try_at <= at,
        or_(OutgoingMail.leased_until.is_(None), OutgoingMail.leased_until < at),
    )


def _still_ours(session: Session, claim: Claim) -> OutgoingMail | None:
    """Return a claimed mail, locked, if it waits and the lease is the one that was given."""
    return session.scalars(
        select(OutgoingMail)
        .where(
            OutgoingMail.id == claim.id,
            OutgoingMail.state == OutgoingState.WAITING,
            OutgoingMail.leased_until == claim.leased_until,
        )
        .with_for_update()
    ).one_or_none()


def _settle(session: Session, claim: Claim, outcome: Outcome) -> bool:
    mail = _still_ours(session, claim)
    if mail is None:
        return False
    mail.leased_until = None
    mail.reply = outcome.why[:MAX_REPLY]
    if outcome.next_try_at is not None:
        mail.next_try_at = outcome.next_try_at
        return True
    mail.state, mail.settled_at = outcome.state, now()
    if outcome.refused:
        note_refusal(session, mail, mail.reply)
    if outcome.state is OutgoingState.FAILED:
        _tell_history(session, mail)
    return True


def _give_up(session: Session, at: datetime, why: str) -> None:
    """Fail the mail that a relay, which cannot be used for long, has kept waiting too long."""
    statement = (
        select(OutgoingMail)
        .where(_due(session, at), OutgoingMail.created_at <= at - GIVE_UP_AFTER)
        .order_by(OutgoingMail.id)
        .limit(GIVEN_UP_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    for mail in session.scalars(statement).all():
        mail.state, mail.settled_at = OutgoingState.FAILED, at
        mail.leased_until, mail.reply = None, why[:MAX_REPLY]
        _tell_history(session, mail)


def _tell_history(session: Session, mail: OutgoingMail) -> None:
    """Write into the ticket's history that a mail did not go out."""
    if mail.ticket_id is None:
        return
    after = {"recipient": mail.recipient, "why": mail.reply}
    audit.record(session, SYSTEM, "not-sent", "ticket", mail.ticket_id, mail.subject, None, after)
