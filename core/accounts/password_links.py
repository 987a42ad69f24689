"""Links by mail with which people choose a password: on request, or because an admin invites them.

A page only writes down who was asked for (``ask_for_password``): it does the same work for every
login, so that neither its answer nor its time tells which accounts there are. The worker looks the
account up (``answer_requests``) and composes the mail when it is sent (``posting_of``). The secret
stands in that mail and nowhere else; the table keeps its hash. Threat model, W5 and W6.
"""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from core import audit
from core.accounts.account import Account, actor_of, object_kind_of
from core.accounts.copies import check_no_copy, is_copy
from core.accounts.logins import login_key
from core.accounts.passwords import set_password
from core.accounts.signing_in import MAX_NAME, find_account, may_sign_in
from core.accounts.throttle import Wait, count_attempt
from core.audit import SYSTEM, Actor
from core.errors import Invalid
from core.i18n import N_, in_language
from core.i18n import gettext as _
from core.mail.addresses import address_key
from core.mail.text import one_line
from core.models import (
    AccountToken,
    AuditEvent,
    CustomerUser,
    OutgoingMail,
    PasswordRequest,
    Staff,
    now,
)
from core.organisation import Organisation, load_organisation
from core.outgoing.compose import Mailbox, to_ascii_domain
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Posting, Suppressed
from core.words import AccountKind, OutgoingKind, OutgoingState, TokenPurpose

TOKEN_BYTES = 32
TOKEN_LENGTH = 2 * TOKEN_BYTES  # hexadecimal: no program that finds links in text cuts it short
LINK_MINUTES = 30
MAX_LINKS_PER_HOUR = 3  # that strangers can have sent to one account
MAX_WAITING = 1000  # requests that nobody has looked at yet
MAX_AT_ONCE = 100  # requests answered in one transaction
FULL_SECONDS = 60  # how long to wait when there are too many
REQUEST_LIFE = timedelta(hours=1)  # then nobody waits for the mail any more

_PURPOSES = {
    OutgoingKind.PASSWORD_RESET: TokenPurpose.RESET,
    OutgoingKind.INVITATION: TokenPurpose.INVITATION,
}
_ASKED, _INVITED = "password-link-asked", "invited"


def ask_for_password(
    session: Session, login: str, *, staff: bool, language: str, peer: str
) -> Wait | None:
    """Write down that somebody wants a new password, or say how long to wait.

    ``login`` may be a mail address, or nobody's at all: that is found out by the worker.
    """
    entered = one_line(login[:MAX_NAME])[:320]
    kind = AccountKind.STAFF if staff else AccountKind.CUSTOMER
    counted = count_attempt(session, kind, login_key(entered), peer, what="password-link ")
    if isinstance(counted, Wait):
        return counted
    if _count_waiting(session) >= MAX_WAITING:
        return Wait(FULL_SECONDS)
    session.add(PasswordRequest(login=entered, staff=staff, language=language, peer=peer[:64]))
    return None


def answer_requests(session: Session) -> int:
    """Put a mail into the outbox for each request that names a valid account.

    Returns how many; the requests are deleted either way. Ambiguous addresses, requests of an
    hour ago and further ones for an account that got its share are passed over in silence.
    """
    requests = session.scalars(
        select(PasswordRequest)
        .order_by(PasswordRequest.id)
        .limit(MAX_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    answered = [_answer(session, request) for request in requests]
    session.execute(
        delete(PasswordRequest).where(PasswordRequest.id.in_([each.id for each in requests]))
    )
    return sum(answered)


def invite(session: Session, actor: Actor, account: Account) -> None:
    """Let an account choose its password by a link that it gets by mail.

    Raises ``Invalid`` for an account that is not valid: its link would be worth nothing. And for a
    copy: its source has the password.
    """
    check_no_copy(account, "password")
    if not may_sign_in(account):
        raise Invalid("valid", _("Only a valid account can be invited."))
    _put(session, OutgoingKind.INVITATION, account, account.language)
    _record(session, actor, _INVITED, account)


@dataclass(frozen=True, slots=True)
class Invitation:
    """The last invitation of an account; ``good_until`` is None where its link opens nothing."""

    asked_at: datetime
    state: OutgoingState
    good_until: datetime | None


def last_invitation(session: Session, account: Account) -> Invitation | None:
    """Return what became of the last invitation to the address that an account has now."""
    mail = session.scalars(
        select(OutgoingMail)
        .where(*_mails_to(account, OutgoingKind.INVITATION))
        .order_by(OutgoingMail.created_at.desc(), OutgoingMail.id.desc())
        .limit(1)
    ).one_or_none()
    if mail is None:
        return None
    good_until = session.scalars(
        select(AccountToken.expires_at).where(
            _token_of(account),
            AccountToken.purpose == TokenPurpose.INVITATION,
            AccountToken.expires_at > now(),
        )
    ).one_or_none()
    return Invitation(mail.created_at, mail.state, good_until)


def posting_of(session: Session, installation: Installation, mail: OutgoingMail) -> Posting:
    """Compose a mail with a new link, in the writing transaction of whoever sends it.

    Each call makes a new secret, and the links of earlier ones open nothing any more. Raises
    ``Suppressed`` for an account that is no longer valid or has another address now, for a mail
    of an hour ago, and where a newer one is on its way.
    """
    account = _account_to_write_to(session, mail)
    token = _new_token(session, account, _PURPOSES[mail.kind])
    organisation = load_organisation(session)
    link = installation.page(f"password/{token}")
    with in_language(mail.language or organisation.settings.language):
        if mail.kind is OutgoingKind.INVITATION:
            subject = _("Your access to %(name)s", name=organisation.settings.organisation_name)
            parts = _invitation(organisation, installation, account, link)
        else:
            subject = _("New password for %(name)s", name=organisation.settings.organisation_name)
            parts = _reset(organisation, account, link, _asked_from(session, account))
        text = "\n\n".join(parts)
    return Posting(
        kind=mail.kind,
        sender=sender_of(organisation, installation, None),
        to=(Mailbox(mail.recipient, account.name),),
        subject=subject,
        text=text,
        automatic="auto-generated",
        customer_user_id=mail.customer_user_id,
        staff_id=mail.staff_id,
    )


def account_of_token(session: Session, token: str) -> Account | None:
    """Return whose password a link sets; None when it is unknown, used, or too old."""
    row = _row_of(session, token)
    if row is None:
        return None
    account = _account_of(session, row)
    return account if may_sign_in(account) else None


def set_password_with(
    session: Session, token: str, password_hash: str, *, peer: str
) -> Account | None:
    """Give the account of a link a password that was checked and hashed before.

    The link is used up, every other one of the account with it, and all its sessions end. Returns
    the account, None where the link opens nothing (any more): of many at once, one gets through.
    """
    row = _row_of(session, token)
    if row is None:
        return None
    # Locked before its links, here as in posting_of: nobody waits in a circle.
    account = _account_of(session, row, lock=True)
    used = session.execute(
        delete(AccountToken)
        .where(AccountToken.token_hash == hash_of_token(token), AccountToken.expires_at > now())
        .returning(AccountToken.token_hash)
    ).all()
    if not used or not may_sign_in(account):
        return None
    session.execute(delete(AccountToken).where(_token_of(account)))
    set_password(session, actor_of(account, peer), account, password_hash)
    return account


def remove_expired_links(session: Session) -> None:
    """Delete the hashes of links that are too old."""
    session.execute(delete(AccountToken).where(AccountToken.expires_at <= now()))


def _count_waiting(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(PasswordRequest)).one()


def _answer(session: Session, request: PasswordRequest) -> bool:
    if request.created_at <= now() - REQUEST_LIFE:
        return False
    kind = AccountKind.STAFF if request.staff else AccountKind.CUSTOMER
    account = find_account(session, kind, request.login)
    if account is None or not may_sign_in(account) or is_copy(account):
        return False
    if _has_its_share(session, account):
        return False
    _put(session, OutgoingKind.PASSWORD_RESET, account, account.language or request.language)
    _record(session, replace(SYSTEM, peer=request.peer), _ASKED, account)
    return True


def _has_its_share(session: Session, account: Account) -> bool:
    sent = session.scalars(
        select(func.count(OutgoingMail.id)).where(
            *_mails_to(account, OutgoingKind.PASSWORD_RESET),
            OutgoingMail.created_at > now() - timedelta(hours=1),
        )
    ).one()
    return sent >= MAX_LINKS_PER_HOUR


def _put(session: Session, kind: OutgoingKind, account: Account, language: str) -> None:
    session.add(
        OutgoingMail(
            kind=kind,
            customer_user_id=account.id if isinstance(account, CustomerUser) else None,
            staff_id=account.id if isinstance(account, Staff) else None,
            recipient=to_ascii_domain(account.email),
            recipient_key=_key_of(account),
            language=language,
        )
    )


def _mails_to(account: Account, kind: OutgoingKind) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for mails of a kind to an account, the indexed one among them."""
    yield OutgoingMail.recipient_key == _key_of(account)
    yield OutgoingMail.kind == kind
    if isinstance(account, CustomerUser):
        yield OutgoingMail.customer_user_id == account.id
    else:
        yield OutgoingMail.staff_id == account.id


def _key_of(account: Account) -> str:
    return address_key(account.email) or account.email


def _account_to_write_to(session: Session, mail: OutgoingMail) -> Account:
    if mail.created_at <= now() - REQUEST_LIFE:
        raise Suppressed(N_("Nobody waits for this mail any more: it is more than an hour old."))
    account = _account_of(session, mail, lock=True)
    if not may_sign_in(account):
        raise Suppressed(N_("The account is not valid any more."))
    if mail.recipient_key != _key_of(account):
        raise Suppressed(N_("The account has another mail address now."))
    newer = select(OutgoingMail.id).where(*_mails_to(account, mail.kind), OutgoingMail.id > mail.id)
    if session.scalars(newer.limit(1)).one_or_none() is not None:
        raise Suppressed(N_("A newer link has taken the place of this one."))
    return account


def _new_token(session: Session, account: Account, purpose: TokenPurpose) -> str:
    token, moment = secrets.token_hex(TOKEN_BYTES), now()
    session.execute(delete(AccountToken).where(_token_of(account), AccountToken.purpose == purpose))
    session.add(
        AccountToken(
            token_hash=hash_of_token(token),
            purpose=purpose,
            customer_user_id=account.id if isinstance(account, CustomerUser) else None,
            staff_id=account.id if isinstance(account, Staff) else None,
            created_at=moment,
            expires_at=moment + timedelta(minutes=LINK_MINUTES),
        )
    )
    return token


def _reset(organisation: Organisation, account: Account, link: str, peer: str) -> Iterator[str]:
    name = organisation.settings.organisation_name
    yield _("Hello %(name)s,", name=account.name)
    yield _(
        'somebody has asked for a new password for your account "%(login)s" at %(organisation)s.',
        login=account.login,
        organisation=name,
    )
    if peer:
        yield _("The request came from the network address %(peer)s.", peer=peer)
    yield _("With this link you choose a new password:")
    yield link
    yield life_of_link()
    yield _(
        "If it was not you, you need not do anything: your password stays as it is, and nobody "
        "else has got this link."
    )
    yield signature_of(organisation)


def _invitation(
    organisation: Organisation, installation: Installation, account: Account, link: str
) -> Iterator[str]:
    name = organisation.settings.organisation_name
    yield _("Hello %(name)s,", name=account.name)
    if isinstance(account, CustomerUser):
        yield _(
            "you have access to the portal of %(organisation)s. There you write to us, see where "
            "your tickets stand, and find all messages about them.",
            organisation=name,
        )
    else:
        yield _(
            "you have a staff account at %(organisation)s. With it you work on the tickets of "
            "your queues.",
            organisation=name,
        )
    yield _("Your login is: %(login)s", login=account.login)
    yield _("With this link you choose your password:")
    yield link
    yield life_of_link()
    yield _(
        "Should it be too late, you get a new one at any time here: %(page)s",
        page=installation.page(
            "password" if isinstance(account, CustomerUser) else "staff/password"
        ),
    )
    yield signature_of(organisation)


def life_of_link() -> str:
    """Return the sentence that says for how long a link is good."""
    return _("The link is good for %(minutes)d minutes, and once.", minutes=LINK_MINUTES)


def signature_of(organisation: Organisation) -> str:
    """Return what stands at the end of a mail that belongs to no queue."""
    settings = organisation.settings
    return "\n".join(filter(None, (settings.organisation_name, settings.support_contact)))


def _asked_from(session: Session, account: Account) -> str:
    """Return the network address of the last request, which the audit log remembers."""
    return (
        session.scalars(
            select(AuditEvent.peer)
            .where(
                AuditEvent.object_kind == object_kind_of(account),
                AuditEvent.object_id == account.id,
                AuditEvent.action == _ASKED,
            )
            .order_by(AuditEvent.id.desc())
            .limit(1)
        ).one_or_none()
        or ""
    )


def _row_of(session: Session, token: str) -> AccountToken | None:
    """Return what is stored of a link that is still good."""
    if len(token) != TOKEN_LENGTH:
        return None
    row = session.get(AccountToken, hash_of_token(token))
    return row if row is not None and row.expires_at > now() else None


def _account_of(
    session: Session, named_by: AccountToken | OutgoingMail, *, lock: bool = False
) -> Account:
    """Return the account; with ``lock`` nobody else changes it until this transaction ends."""
    if named_by.customer_user_id is not None:
        return session.get_one(CustomerUser, named_by.customer_user_id, with_for_update=lock)
    return session.get_one(Staff, named_by.staff_id, with_for_update=lock)


def _token_of(account: Account) -> ColumnElement[bool]:
    if isinstance(account, CustomerUser):
        return AccountToken.customer_user_id == account.id
    return AccountToken.staff_id == account.id


def _record(session: Session, actor: Actor, action: str, account: Account) -> None:
    audit.record(session, actor, action, object_kind_of(account), account.id, account.login)


def hash_of_token(token: str) -> bytes:
    """Return what is stored of a link's secret, whatever somebody typed for one."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
