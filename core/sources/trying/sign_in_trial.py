"""A sign-in tried by an admin: which source knows the login, and what signing in would say.

Attempts are counted as those of signing in are, and written down without the password.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sqlalchemy.orm import Session

from core import audit
from core.accounts.copies import is_copy
from core.accounts.logins import login_key
from core.accounts.passwords import verify_password
from core.accounts.signing_in import (
    MAX_NAME,
    SignInFailed,
    account_with_password,
    find_account,
    look_up,
    may_sign_in,
    refusal,
    too_many_attempts,
)
from core.accounts.throttle import Wait, count_attempt, forget_attempt
from core.audit import Actor
from core.db import Database
from core.mail.addresses import address_key
from core.mail.text import one_line
from core.models import CustomerUser
from core.sources.asking.live import LiveSources
from core.sources.asking.live_source import SECONDS
from core.sources.records import SourceRecord
from core.sources.source import By, CustomerSource, SourceAway
from core.words import AccountKind

MAX_FOUND = 3  # records of one source that are asked for their password
_SECONDS = 2 * SECONDS  # to be found, and to have the password checked, as when signing in
_TRIAL = "trial "  # what its attempts are called: they delay nobody's sign-in


class Verdict(StrEnum):
    """What signing in would come to, and why."""

    SIGNS_IN = "signs-in"
    NO_ACCOUNT = "no-account"  # nobody here has the login or, alone, the address
    INVALID = "invalid"  # the account or its customer
    NOT_CONFIGURED = "not-configured"  # the source of the account is configured no longer
    REFUSED = "refused"  # the password is not that of the account
    AWAY = "away"  # its source does not answer


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record, or the account kept here, that the login may mean.

    ``is_right`` is None where nobody was asked: what is not valid cannot sign in.
    """

    login: str
    is_valid: bool
    is_right: bool | None


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """What one source says; ``source`` is "" for what is kept here, ``away`` why it does not."""

    source: str
    candidates: tuple[Candidate, ...] = ()
    away: str = ""


@dataclass(frozen=True, slots=True)
class SignInTrial:
    """The answers in the order of the sources, and the account that the login means here.

    ``refusal`` is what somebody would be told who cannot sign in.
    """

    answers: tuple[SourceAnswer, ...]
    verdict: Verdict
    refusal: str
    account_id: int | None
    account_login: str


def try_sign_in(
    database: Database,
    actor: Actor,
    sources: LiveSources,
    login: str,
    password: str,
) -> SignInTrial:
    """Return what each source says about a login and password, and what signing in would say.

    Nobody is signed in; a record is brought in as by any look-up. Raises ``SignInFailed`` for too
    many attempts of this actor's peer.
    """
    entered = one_line(login[:MAX_NAME])
    kind = AccountKind.CUSTOMER
    with database.write() as session:
        attempt = count_attempt(session, kind, login_key(entered), actor.peer, what=_TRIAL)
    if isinstance(attempt, Wait):
        raise SignInFailed(too_many_attempts(attempt), attempt.seconds)
    is_known = look_up(database, sources, entered)
    with database.read() as session:
        account = _account(session, entered)
        may = account is not None and may_sign_in(account)
    answers = (_kept_here(account, password), *_asked(sources, entered, password))
    verdict = _verdict(account, may, answers)
    if verdict is Verdict.REFUSED and account_with_password(
        database, kind, entered, password, sources
    ):
        verdict = Verdict.SIGNS_IN
    with database.write() as session:
        if any(each.is_right for answer in answers for each in answer.candidates):
            forget_attempt(session, attempt)
        _record(session, actor, account, answers, verdict)
    return SignInTrial(
        answers,
        verdict,
        refusal(is_known=is_known),
        account.id if account else None,
        account.login if account else "",
    )


def _verdict(
    account: CustomerUser | None, may_sign_in: bool, answers: Sequence[SourceAnswer]
) -> Verdict:
    """Return why an account cannot sign in, unless its password turns out to be right."""
    if account is None:
        return Verdict.NO_ACCOUNT
    if not may_sign_in:
        return Verdict.INVALID
    mine = next((each for each in answers if each.source == (account.source or "")), None)
    if mine is None:
        return Verdict.NOT_CONFIGURED
    return Verdict.AWAY if mine.away else Verdict.REFUSED


def _account(session: Session, entered: str) -> CustomerUser | None:
    found = find_account(session, AccountKind.CUSTOMER, entered)
    assert found is None or isinstance(found, CustomerUser)  # the kind that was asked for
    return found


def _kept_here(account: CustomerUser | None, password: str) -> SourceAnswer:
    if account is None or is_copy(account):
        return SourceAnswer("")
    is_right = verify_password(password, account.password_hash)
    return SourceAnswer("", (Candidate(account.login, may_sign_in(account), is_right),))


def _asked(sources: LiveSources, entered: str, password: str) -> Sequence[SourceAnswer]:
    """Ask all sources at the same time; return their answers in their order."""
    work = partial(_ask, entered=entered, password=password)
    answers = sources.try_all(dict.fromkeys(sources.names, work), _SECONDS)
    return [
        SourceAnswer(name, away=answer.reason) if isinstance(answer, SourceAway) else answer
        for name, answer in answers.items()
    ]


def _ask(source: CustomerSource, entered: str, password: str) -> SourceAnswer:
    records = source.find(By.LOGIN, [entered], MAX_FOUND)
    if not records and address_key(entered):
        records = source.find(By.ADDRESS, [entered], MAX_FOUND)
    return SourceAnswer(
        source.name, tuple(_candidate(source, record, password) for record in records)
    )


def _candidate(source: CustomerSource, record: SourceRecord, password: str) -> Candidate:
    is_right = source.check_password(record.key, password) if record.valid else None
    return Candidate(one_line(record.login), record.valid, is_right)


def _record(
    session: Session,
    actor: Actor,
    account: CustomerUser | None,
    answers: Sequence[SourceAnswer],
    verdict: Verdict,
) -> None:
    """Write it down; a login that nobody has may be a mistyped password, so it is left out."""
    logins = [account.login] if account else []
    logins += [each.login for answer in answers for each in answer.candidates]
    name = logins[0] if logins else ""
    account_id = account.id if account else None
    after = {"signs_in": verdict is Verdict.SIGNS_IN}
    audit.record(session, actor, "sign-in-tested", "customer-user", account_id, name, None, after)
