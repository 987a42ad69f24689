"""The mail addresses of a customer user, as they change them themselves.

A further address is proven by a link in a mail to it, which is opened by who is signed in to the
account that asked for it: so nobody can add an address that they cannot read, nor be talked into
adding theirs to somebody else's account. Whether an address belongs to another account is looked
up by the worker, and told to nobody. Threat model, I9, I11, L3 and W5.
"""

import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core import audit
from core.accounts.addresses import MAX_ADDRESSES, WantedAddress, address_holders, set_addresses
from core.accounts.copies import check_no_copy
from core.accounts.customer_users import customer_user_values
from core.accounts.customers import customer_user_search_text
from core.accounts.password_links import (
    LINK_MINUTES,
    REQUEST_LIFE,
    TOKEN_BYTES,
    TOKEN_LENGTH,
    hash_of_token,
    life_of_link,
    signature_of,
)
from core.accounts.saving import store
from core.accounts.signing_in import may_sign_in
from core.audit import Actor
from core.errors import Invalid, NotFound
from core.i18n import N_, in_language
from core.i18n import gettext as _
from core.mail.addresses import address_key, check_new_address
from core.models import (
    AccountToken,
    AddressLink,
    CustomerUser,
    CustomerUserAddress,
    OutgoingMail,
    now,
)
from core.organisation import Organisation, load_organisation
from core.outgoing.caps import DAY, check_recipient
from core.outgoing.compose import Mailbox, to_ascii_domain
from core.outgoing.installation import Installation, sender_of
from core.outgoing.outbox import Posting, Suppressed
from core.words import OutgoingKind, OutgoingState

MAX_ASKED_A_DAY = 10  # links that one account can ask for
MAX_MAILS_A_DAY = 3  # of one kind to one address, whoever asks for them


def ask_for_address(
    session: Session, actor: Actor, account: CustomerUser, entered: str, language: str
) -> str:
    """Put a mail with a link into the outbox, to an address that is to be proven; return it.

    Raises ``Invalid`` for what is no address, is the account's or ours, and for too many.
    """
    address = check_new_address(entered, "address")
    key = _key(address)
    _lock(session, account)
    if any(row.address_key == key for row in account.addresses):
        raise Invalid("address", _("This is one of your addresses already."))
    if key in load_organisation(session).queue_by_address:
        raise Invalid("address", _("This is an address of ours."))
    _check_room(account)
    if _asked_today(session, account) >= MAX_ASKED_A_DAY:
        raise Invalid("address", _("You have asked for many links today. Please try tomorrow."))
    moment = now()
    session.add(
        AddressLink(
            customer_user_id=account.id,
            address=address,
            address_key=key,
            created_at=moment,
            expires_at=moment + REQUEST_LIFE,
        )
    )
    _put(session, OutgoingKind.ADDRESS_LINK, account, address, account.language or language)
    audit.record(
        session,
        actor,
        "address-link-asked",
        "customer-user",
        account.id,
        account.login,
        None,
        {"email": address},
    )
    return address


def waiting_addresses(session: Session, account: CustomerUser) -> Sequence[str]:
    """Return the addresses whose links may still come, or be used, each once."""
    rows = session.execute(
        select(AddressLink.address_key, AddressLink.address)
        .where(AddressLink.customer_user_id == account.id, AddressLink.expires_at > now())
        .order_by(AddressLink.id)
    )
    own = {row.address_key for row in account.addresses}
    return [address for key, address in dict(rows.all()).items() if key not in own]


def address_of_link(session: Session, account: CustomerUser, token: str) -> str | None:
    """Return the address that a link proves for this account, None where it opens nothing."""
    link = _link_of(session, account, token)
    return link.address if link is not None else None


def prove_address(session: Session, actor: Actor, account: CustomerUser, token: str) -> str | None:
    """Give an account the address of a link, which is used up; return the address.

    None where the link opens nothing (any more), also because another account has the address by
    now. Raises ``Invalid`` for an account with too many, ``Stale`` when it was changed meanwhile.
    """
    _lock(session, account)
    link = _link_of(session, account, token)
    if link is None:
        return None
    address, key = link.address, link.address_key
    session.execute(
        update(AddressLink)
        .where(AddressLink.customer_user_id == account.id, AddressLink.address_key == key)
        .values(token_hash=None, expires_at=now())
    )
    if address_holders(session, [key], besides=account):
        return None
    own = _own(account)
    if all(each.key != key for each in own):
        _check_room(account)
        _change(session, actor, account, [*own, WantedAddress(address, key, False, "address")])
    return address


def make_main(session: Session, actor: Actor, account: CustomerUser, address_id: int) -> str:
    """Make one of an account's addresses the main one; return it.

    The one that was it before is told by mail, and links for a new password that went to it open
    nothing any more. Raises ``NotFound`` for an address that is not the account's.
    """
    _lock(session, account)
    chosen = own_address(account, address_id)
    before = account.addresses[0]
    if chosen is before:
        return chosen.address
    own = _own(account)
    first = [each for each in own if each.key == chosen.address_key]
    _change(session, actor, account, [*first, *(each for each in own if each not in first)])
    session.execute(delete(AccountToken).where(AccountToken.customer_user_id == account.id))
    _put(session, OutgoingKind.ADDRESS_CHANGED, account, before.address, account.language)
    return chosen.address


def remove_address(session: Session, actor: Actor, account: CustomerUser, address_id: int) -> str:
    """Take an address from an account, which may not be its main one; return it.

    Raises ``Invalid`` for the main address, ``NotFound`` for one that is not the account's.
    """
    _lock(session, account)
    chosen = own_address(account, address_id)
    if chosen is account.addresses[0]:
        raise Invalid("address", _("The main address cannot be removed: choose another one first."))
    address, key = chosen.address, chosen.address_key
    _change(session, actor, account, [each for each in _own(account) if each.key != key])
    return address


def own_address(account: CustomerUser, address_id: int) -> CustomerUserAddress:
    """Return one of an account's addresses. Raises ``NotFound``, whoever's it is otherwise."""
    found = next((row for row in account.addresses if row.id == address_id), None)
    if found is None:
        raise NotFound(_("This is none of your addresses."))
    return found


def link_posting_of(session: Session, installation: Installation, mail: OutgoingMail) -> Posting:
    """Compose the mail with a new link, in the writing transaction of whoever sends it.

    Links for the same address that were sent before open nothing any more. Raises ``Suppressed``
    where the address is not to be proven (any more), or gets too much of such mail.
    """
    if mail.created_at <= now() - REQUEST_LIFE:
        raise Suppressed(N_("Nobody waits for this mail any more: it is more than an hour old."))
    account = _recipient(session, mail)
    organisation = load_organisation(session)
    check_recipient(session, organisation, installation, mail)
    if address_holders(session, [mail.recipient_key]):
        raise Suppressed(N_("The address belongs to an account already."))
    _check_cap(session, mail)
    token = _new_token(session, account, mail.recipient_key)
    with in_language(mail.language or organisation.settings.language):
        name = organisation.settings.organisation_name
        subject = _("Confirm your mail address for %(name)s", name=name)
        text = "\n\n".join(_asking(organisation, installation.page(f"addresses/confirm/{token}")))
    return _posting(organisation, installation, mail, subject, text)


def notice_posting_of(session: Session, installation: Installation, mail: OutgoingMail) -> Posting:
    """Compose the mail that tells an address that it is not the main one any more."""
    account = _recipient(session, mail)
    organisation = load_organisation(session)
    check_recipient(session, organisation, installation, mail)
    _check_cap(session, mail)
    with in_language(mail.language or organisation.settings.language):
        name = organisation.settings.organisation_name
        subject = _("Another main address for your account at %(name)s", name=name)
        text = "\n\n".join(_telling(organisation, account))
    return _posting(organisation, installation, mail, subject, text)


def remove_old_links(session: Session) -> None:
    """Delete the links of more than a day ago, which no cap counts any more."""
    session.execute(delete(AddressLink).where(AddressLink.created_at <= now() - DAY))


def _lock(session: Session, account: CustomerUser) -> None:
    """Let nobody else change the account until this transaction ends, and read it anew.

    Raises ``Invalid`` for a copy of a record: its source has the addresses.
    """
    check_no_copy(account, "address")
    session.refresh(account, with_for_update=True)
    session.expire(account, ["addresses"])


def _key(address: str) -> str:
    key = address_key(address)
    assert key is not None  # check_new_address has made sure
    return key


def _own(account: CustomerUser) -> list[WantedAddress]:
    """Return the addresses of an account as they are to stay."""
    return [
        WantedAddress(row.address, row.address_key, row.shared, "address")
        for row in account.addresses
    ]


def _check_room(account: CustomerUser) -> None:
    if len(account.addresses) >= MAX_ADDRESSES:
        raise Invalid("address", _("At most %(limit)d addresses.", limit=MAX_ADDRESSES))


def _change(
    session: Session, actor: Actor, account: CustomerUser, wanted: Sequence[WantedAddress]
) -> None:
    """Store other addresses. An index keeps two accounts from one address at the same moment."""
    before = customer_user_values(account)
    set_addresses(account, wanted, account.valid)
    account.changed_at = now()
    account.search_text = customer_user_search_text(account, account.customer)
    after = customer_user_values(account)
    store(session, actor, "customer-user", account, account.login, before, after)


def _asked_today(session: Session, account: CustomerUser) -> int:
    return session.scalars(
        select(func.count(AddressLink.id)).where(
            AddressLink.customer_user_id == account.id,
            AddressLink.created_at > now() - DAY,
        )
    ).one()


def _put(
    session: Session, kind: OutgoingKind, account: CustomerUser, address: str, language: str
) -> None:
    session.add(
        OutgoingMail(
            kind=kind,
            customer_user_id=account.id,
            recipient=to_ascii_domain(address),
            recipient_key=_key(address),
            language=language,
        )
    )


def _link_of(session: Session, account: CustomerUser, token: str) -> AddressLink | None:
    """Return what is stored of a link of this account that is still good."""
    if len(token) != TOKEN_LENGTH:
        return None
    return session.scalars(
        select(AddressLink).where(
            AddressLink.token_hash == hash_of_token(token),
            AddressLink.customer_user_id == account.id,
            AddressLink.expires_at > now(),
        )
    ).one_or_none()


def _new_token(session: Session, account: CustomerUser, key: str) -> str:
    """Make the secret of the newest wish for an address; it takes the place of earlier ones."""
    wishes = AddressLink.customer_user_id == account.id, AddressLink.address_key == key
    newest = session.scalars(
        select(AddressLink.id)
        .where(*wishes, AddressLink.expires_at > now())
        .order_by(AddressLink.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None:
        raise Suppressed(N_("The address is not to be confirmed any more."))
    token = secrets.token_hex(TOKEN_BYTES)
    session.execute(update(AddressLink).where(*wishes).values(token_hash=None))
    session.execute(
        update(AddressLink)
        .where(AddressLink.id == newest)
        .values(token_hash=hash_of_token(token), expires_at=now() + timedelta(minutes=LINK_MINUTES))
    )
    return token


def _recipient(session: Session, mail: OutgoingMail) -> CustomerUser:
    """Return the account that a mail is about, locked before its links as everywhere."""
    account = session.get_one(CustomerUser, mail.customer_user_id, with_for_update=True)
    if not may_sign_in(account):
        raise Suppressed(N_("The account is not valid any more."))
    return account


def _check_cap(session: Session, mail: OutgoingMail) -> None:
    """Count what was asked for before, so that the first ones are those that are sent."""
    before = session.scalars(
        select(func.count(OutgoingMail.id)).where(
            OutgoingMail.recipient_key == mail.recipient_key,
            OutgoingMail.created_at > mail.created_at - DAY,
            OutgoingMail.kind == mail.kind,
            OutgoingMail.id < mail.id,
            OutgoingMail.state != OutgoingState.SUPPRESSED,
        )
    ).one()
    if before >= MAX_MAILS_A_DAY:
        raise Suppressed(N_("The address had enough mail of this kind in 24 hours."))


def _posting(
    organisation: Organisation,
    installation: Installation,
    mail: OutgoingMail,
    subject: str,
    text: str,
) -> Posting:
    return Posting(
        kind=mail.kind,
        sender=sender_of(organisation, installation, None),
        to=(Mailbox(mail.recipient),),
        subject=subject,
        text=text,
        automatic="auto-generated",
        customer_user_id=mail.customer_user_id,
    )


def _asking(organisation: Organisation, link: str) -> Iterator[str]:
    """Give the paragraphs for an address that may be anybody's: no name, no login."""
    yield _(
        "somebody with an account at %(organisation)s has entered this mail address as theirs. If "
        "it was you, confirm it with this link:",
        organisation=organisation.settings.organisation_name,
    )
    yield link
    yield life_of_link()
    yield _(
        "If it was not you, you need not do anything: without a confirmation the address is not "
        "used."
    )
    yield signature_of(organisation)


def _telling(organisation: Organisation, account: CustomerUser) -> Iterator[str]:
    yield _("Hello %(name)s,", name=account.name)
    yield _(
        'your account "%(login)s" at %(organisation)s has another main address now. Links for a '
        "new password go there, no longer to this address.",
        login=account.login,
        organisation=organisation.settings.organisation_name,
    )
    yield _("If you did not change this, please tell us at once.")
    yield signature_of(organisation)
