"""Whose account it is that an identity provider has named, and the session that follows.

No account is made here: the provider says who somebody is, this installation whether they may in.
Local passwords, their rules and a first change of them do not matter to such a session.
"""

import unicodedata
from typing import Final

from sqlalchemy.orm import Session

from core.accounts.account import Account
from core.accounts.logins import login_key
from core.accounts.sessions import start_session
from core.accounts.signing_in import (
    MAX_NAME,
    find_by_keys,
    look_up,
    may_sign_in,
    record_signed_in,
    reread,
)
from core.config import SingleSignOnSection
from core.db import Database
from core.errors import SchalterError
from core.mail.addresses import address_key
from core.openid.tokens import Claims
from core.sources.asking.live import LiveSources
from core.words import AccountKind

ADDRESS: Final = "email"  # the claim of which a provider says whether it has verified it
VERIFIED: Final = "email_verified"


class NotNamed(SchalterError):
    """A provider did not name anybody as agreed; the text is the reason for the log."""


class NobodyNamed(SchalterError):
    """No account that may sign in is the named one; the text is the reason for the log.

    People are told the same whether there is none, or one that is not valid. ``is_certain`` is
    false while a customer source that might know one does not answer.
    """

    is_certain = True


def serves(section: SingleSignOnSection, kind: AccountKind) -> bool:
    """Whether this kind of account may sign in through a provider."""
    wanted = "staff" if kind is AccountKind.STAFF else "customers"
    return section.accounts in (wanted, "both")


def sign_in_with_claims(
    database: Database,
    kind: AccountKind,
    section: SingleSignOnSection,
    claims: Claims,
    *,
    peer: str,
    agent: str,
    sources: LiveSources | None = None,
) -> str:
    """Begin a session of the account that verified claims are about; return its token.

    ``peer`` is the browser's network address, ``agent`` what it calls itself. Customer users are
    looked up in the ``sources`` before, so that who has left one does not get in. Raises
    ``NotNamed`` and ``NobodyNamed``.
    """
    named = _named(section, claims)
    is_certain = kind is AccountKind.STAFF or look_up(database, sources, named)
    with database.write() as session:
        try:
            account = _account(session, kind, section, named)
        except NobodyNamed as nobody:
            nobody.is_certain = is_certain
            raise
        token = start_session(session, account, peer=peer, agent=agent, vouched_for=True)
        record_signed_in(session, account, peer, {"provider": section.label})
        return token


def _named(section: SingleSignOnSection, claims: Claims) -> str:
    """Return the login or address that the claim holds.

    An address must be verified: whoever may write one into their own profile at the provider could
    otherwise choose whose account they get.
    """
    value = claims.get(section.claim)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME:
        raise NotNamed(f"the token holds no text as {section.claim}")
    if not value.isprintable():
        raise NotNamed(f"the claim {section.claim} holds characters that cannot be seen")
    is_address = section.matches == "email" or section.claim == ADDRESS
    is_verified = claims.get(ADDRESS) == value and claims.get(VERIFIED) is True
    if is_address and not is_verified and not section.trust_unverified:
        raise NotNamed(f"the provider has not verified {section.claim} as a mail address")
    return value.strip()


def _account(
    session: Session, kind: AccountKind, section: SingleSignOnSection, named: str
) -> Account:
    by_login = section.matches == "login"
    account = find_by_keys(
        session,
        kind,
        login_key(named) if by_login else "",
        None if by_login else address_key(named),
    )
    if account is None or (by_login and not _is_same(named, account.login)):
        raise NobodyNamed(f"no {kind} has this {section.matches}, or several have it")
    account = reread(session, account, lock=True)  # or it could become invalid meanwhile
    if not may_sign_in(account):
        raise NobodyNamed(f"the {kind} with this {section.matches} is not valid")
    return account


def _is_same(named: str, login: str) -> bool:
    """Whether two logins differ by case at most.

    Accounts are told apart by less (``login_key`` folds accents), which no provider promises:
    its *müller* and *muller* are two people.
    """
    return _without_case(named) == _without_case(login)


def _without_case(text: str) -> str:
    """Return text by which only case is lost; a look-alike such as the Kelvin sign stays one."""
    lowered = unicodedata.normalize("NFC", text).lower()
    return lowered if lowered.isascii() == text.isascii() else text
