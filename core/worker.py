"""The worker as a program: ``python -m core.worker``, what is to be done from time to time.

Each task is one small transaction, so that a writer never waits long for it. Several workers may
run on PostgreSQL: each task takes only rows that nobody else has, or deletes what is due anyway.
While the database is away the worker keeps trying. The courier has a thread of its own, and so
have the review of staff from a directory, each customer source that is read, and the mail that
waits for sources to answer: a relay, a directory or a database that stalls stops nothing else.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.accounts import own_addresses, password_links, sessions, throttle
from core.accounts.customer_users import return_to_valid
from core.accounts.directory_staff import review
from core.accounts.staff_directory import DirectoryAway, StaffDirectory, staff_directory_of
from core.config import load_config
from core.db import Database
from core.errors import SchalterError
from core.intake.expire import expire_held
from core.intake.held_again import decide_again
from core.intake.number_claims.asking import ask_contacts
from core.logs import set_up_logging
from core.models import now
from core.outgoing.courier import Courier
from core.outgoing.digests import put_digests
from core.outgoing.installation import installation_of
from core.revision import check_revision
from core.secret_key import Keys
from core.settings import load_settings
from core.signals import StopSignals
from core.sources.asking.live import LiveSources, make_live_sources
from core.sources.mirroring.schedule import reading

RETRY_SECONDS = 10.0  # after a task failed
AGAIN_SECONDS = 20.0  # after which customer sources are asked again about mail held for them
REVIEW_SECONDS = 300.0  # after which who has left the directory of staff has no access any more
GRACE_SECONDS = 3.0  # that the mail at hand gets when the worker is to stop
CUT_SECONDS = 2.0  # for the courier to note that it was cut off

log = logging.getLogger("worker")


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do every so many seconds; ``run`` returns what is worth a line in the log."""

    name: str
    every: float
    run: Callable[[Session], str]


def _return_to_valid(session: Session) -> str:
    logins = [account.login for account in return_to_valid(session)]
    return f"valid again: {', '.join(logins)}" if logins else ""


def _remove_expired_sessions(session: Session) -> str:
    removed = sessions.remove_expired(session, load_settings(session))
    return f"{removed} web sessions have ended" if removed else ""


def _forget_failed_sign_ins(session: Session) -> str:
    throttle.remove_forgotten(session)
    return ""


def _answer_password_requests(session: Session) -> str:
    answered = password_links.answer_requests(session)
    return f"{answered} links for new passwords" if answered else ""


def _remove_expired_links(session: Session) -> str:
    password_links.remove_expired_links(session)
    own_addresses.remove_old_links(session)
    return ""


def _expire_held_mail(session: Session) -> str:
    expired = expire_held(session)
    return f"{expired} held mails were put aside: nobody has decided in time" if expired else ""


def _ask_about_numbers(session: Session) -> str:
    asked = ask_contacts(session)
    return f"contacts are asked about {asked} held mails that name a Kunden#" if asked else ""


def _put_digests(session: Session) -> str:
    put = put_digests(session)
    return f"{put} members of staff are told of held mail" if put else ""


TASKS = (
    Task("answer-password-requests", 5.0, _answer_password_requests),
    Task("ask-about-numbers", 30.0, _ask_about_numbers),
    Task("return-to-valid", 60.0, _return_to_valid),
    Task("remove-expired-sessions", 300.0, _remove_expired_sessions),
    Task("forget-failed-sign-ins", 300.0, _forget_failed_sign_ins),
    Task("remove-expired-links", 3600.0, _remove_expired_links),
    Task("expire-held-mail", 600.0, _expire_held_mail),
    Task("put-digests", 300.0, _put_digests),
)


class Worker:
    """Runs tasks when they are due; ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        database: Database,
        tasks: Iterable[Task] = TASKS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._due = {task: clock() for task in tasks}
        self._failing: set[Task] = set()

    def run_due(self) -> float:
        """Run every task that is due; return the seconds until the next one is."""
        for task, due in self._due.items():
            if due <= self._clock():
                succeeded = self._run(task)
                self._due[task] = self._clock() + (task.every if succeeded else RETRY_SECONDS)
        return max(min(self._due.values()) - self._clock(), 0.0)

    def _run(self, task: Task) -> bool:
        """Run a task in a transaction of its own; say once when it begins to fail, and ends to."""
        try:
            with self._database.write() as session:
                done = task.run(session)
        except DBAPIError as error:
            if task not in self._failing:
                self._failing.add(task)
                log.warning("%s: the database fails: %s", task.name, type(error.orig).__name__)
            return False
        except Exception:  # a defect in one task must not keep the others from running
            log.exception("%s failed", task.name)
            return False
        if task in self._failing:
            self._failing.discard(task)
            log.info("%s: the database answers again", task.name)
        if done:
            log.info("%s: %s", task.name, done)
        return True


@contextmanager
def sending(courier: Courier) -> Iterator[None]:
    """Let the courier work in a thread of its own while the block lasts.

    At the end the mail at hand gets a moment, then its connection is cut: it counts as not sent.
    Whatever holds the courier even then is left behind; the lease of its mail runs out.
    """
    thread = Thread(target=_send_until_stopped, args=(courier,), name="courier", daemon=True)
    thread.start()
    try:
        yield
    finally:
        courier.stop()
        thread.join(GRACE_SECONDS)
        if thread.is_alive():
            courier.abandon()
            thread.join(CUT_SECONDS)


def _send_until_stopped(courier: Courier) -> None:
    """Send what is due, again and again. A database that is away is told of once."""
    is_failing = False
    while True:
        try:
            pause = courier.run_due()
            if is_failing:
                log.info("courier: the database answers again")
            is_failing = False
        except DBAPIError as error:
            if not is_failing:
                log.warning("courier: the database fails: %s", type(error.orig).__name__)
            is_failing, pause = True, RETRY_SECONDS
        except Exception:  # a defect must not end all sending
            log.exception("courier failed")
            pause = RETRY_SECONDS
        if courier.wait(pause):
            return


@contextmanager
def _beside(name: str, work: Callable[[Event], None]) -> Iterator[None]:
    """Let a thread work while the block lasts; it is told to end by the event, and left if not."""
    stopped = Event()
    thread = Thread(target=work, args=(stopped,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(GRACE_SECONDS)


@contextmanager
def reviewing(database: Database, directory: StaffDirectory | None) -> Iterator[None]:
    """Let staff from the directory be reviewed in a thread of its own while the block lasts."""
    try:
        with _beside("staff-directory", partial(_review_until_stopped, database, directory)):
            yield
    finally:
        if directory is not None:
            directory.close()


def _review_until_stopped(
    database: Database, directory: StaffDirectory | None, stopped: Event
) -> None:
    """Review staff, again and again. A directory or database that is away is told of once."""
    failure = ""
    while True:
        reason = _review(database, directory)
        if reason and not failure:
            log.warning("staff from the directory are not reviewed: %s", reason)
        elif failure and not reason:
            log.info("staff from the directory are reviewed again")
        failure = reason
        if stopped.wait(RETRY_SECONDS if reason else REVIEW_SECONDS):
            return


def _review(database: Database, directory: StaffDirectory | None) -> str:
    """Review staff once; return why that was not possible, "" where it was."""
    try:
        left = review(database, directory)
    except DirectoryAway as error:
        return error.reason
    except DBAPIError as error:
        return f"the database fails: {type(error.orig).__name__}"
    except Exception:  # a defect must not end all reviews
        log.exception("the review of staff from the directory failed")
        return "failed"
    if left:
        log.info("no longer staff, as the directory says: %s", ", ".join(left))
    return ""


@contextmanager
def deciding_again(database: Database, sources: LiveSources, keys: Keys) -> Iterator[None]:
    """Let mail be decided again that was held because customer sources did not answer.

    In a thread of its own while the block lasts.
    """
    try:
        with _beside("held-again", partial(_decide_again_until_stopped, database, sources, keys)):
            yield
    finally:
        sources.close()


def _decide_again_until_stopped(
    database: Database, sources: LiveSources, keys: Keys, stopped: Event
) -> None:
    while not stopped.wait(AGAIN_SECONDS):
        try:
            decided = decide_again(database, sources, keys.ring.believed(now().date()))
        except DBAPIError as error:
            log.warning("held mail is not decided again: %s", type(error.orig).__name__)
        except Exception:  # a defect, or one bad mail, must not end all of this
            log.exception("held mail is not decided again")
        else:
            if decided:
                log.info("%d held mails are decided again: customer sources answer", decided)


def main() -> int:
    """Work until told to stop; return the exit status: 0 stopped, 1 could not start."""
    set_up_logging("worker")
    with StopSignals() as signals:
        try:
            config = load_config()
            installation = installation_of(config)
            directory = staff_directory_of(config)
            sources = make_live_sources(config)
            database = Database(config.database.url, managed_groups=config.managed_groups)
            check_revision(database)
        except SchalterError as error:
            print(f"schalter worker: {error}", file=sys.stderr)  # noqa: T201 - why it ends
            return 1
        log.info("started")
        if not config.relay.host:
            log.info("relay.host is not set: outgoing mail waits")
        worker = Worker(database)
        courier = Courier(database, installation, config.relay)
        with (
            sending(courier),
            reviewing(database, directory),
            reading(database, config),
            deciding_again(database, sources, Keys(config.secret_key_file)),
        ):
            while not signals.wait(worker.run_due()):
                pass
        database.dispose()
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
