"""Who is looking: the session cookie, the account behind it, and what pages know of both."""

from dataclasses import dataclass
from functools import partial

from flask import current_app, g, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core.accounts.account import Account, actor_of, kind_of
from core.accounts.sessions import Visit, touch, visit_of
from core.audit import Actor
from core.models import CustomerUser, Staff
from core.organisation import Organisation, load_organisation
from core.words import AccountKind, Role
from portal.database import note_down, reading

BACKGROUND_HEADER = "X-Schalter-Background"  # sent by our scripts for what nobody asked for


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who is signed in, as the pages see them.

    ``visit.account`` belongs to the reading session; to change it, use ``account_in``.
    """

    visit: Visit

    @property
    def account(self) -> Account:
        """The account, for reading."""
        return self.visit.account

    @property
    def kind(self) -> AccountKind:
        """Whether this is a customer user or a member of staff."""
        return kind_of(self.visit.account)

    @property
    def is_staff(self) -> bool:
        """Whether this is an agent or an admin."""
        return isinstance(self.visit.account, Staff)

    @property
    def is_admin(self) -> bool:
        """Whether this is an admin."""
        account = self.visit.account
        return isinstance(account, Staff) and account.role is Role.ADMIN

    @property
    def name(self) -> str:
        """The name to greet with."""
        return self.visit.account.name

    @property
    def must_change_password(self) -> bool:
        """Whether a new password comes before anything else."""
        return self.visit.must_change_password

    def account_in(self, session: Session) -> Account:
        """Return the account as an object of another session."""
        if isinstance(self.account, CustomerUser):
            return session.get_one(CustomerUser, self.account.id)
        return session.get_one(Staff, self.account.id)

    def customer_user_in(self, session: Session) -> CustomerUser:
        """Return the account of a customer as an object of this session."""
        account = self.account_in(session)
        assert isinstance(account, CustomerUser)  # the area lets nobody else in
        return account

    def staff_in(self, session: Session) -> Staff:
        """Return the account of a member of staff as an object of this session."""
        account = self.account_in(session)
        assert isinstance(account, Staff)  # the area lets nobody else in
        return account

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit log."""
        return actor_of(self.visit.account, peer())


def load_visitor() -> None:
    """Find out who asks, from the cookie of this request, and what is set up here."""
    session = reading()
    g.organisation = load_organisation(session)
    token = request.cookies.get(cookie_name(), "")
    visit = visit_of(session, g.organisation.settings, token) if token else None
    g.viewer = None if visit is None else Viewer(visit)


def note_visit() -> None:
    """Write down that the session is in use; what a script does by itself is no use."""
    who = viewer()
    if who is None or not who.visit.needs_touch or BACKGROUND_HEADER in request.headers:
        return
    note_down("a visit", partial(touch, visit=who.visit))


def viewer() -> Viewer | None:
    """Return who is signed in, None for nobody."""
    found: Viewer | None = g.get("viewer")
    return found


def the_viewer() -> Viewer:
    """Return who is signed in, in an area where nobody else comes in."""
    found = viewer()
    assert found is not None
    return found


def organisation() -> Organisation:
    """Return settings, groups and queues as they were when this request began."""
    found: Organisation = g.organisation
    return found


def peer() -> str:
    """Return the network address of the browser, as far as our own proxies tell it."""
    return request.remote_addr or ""


def cookie_name() -> str:
    """Return the name of the session cookie; with ``__Host-`` no other host can set it."""
    return "__Host-schalter" if is_secure() else "schalter"


def set_session_cookie(response: Response, token: str) -> None:
    """Hand a session's token to the browser, for as long as the browser runs."""
    response.set_cookie(
        cookie_name(), token, path="/", secure=is_secure(), httponly=True, samesite="Lax"
    )


def remove_session_cookie(response: Response) -> None:
    """Take the token back."""
    response.delete_cookie(
        cookie_name(), path="/", secure=is_secure(), httponly=True, samesite="Lax"
    )


def is_secure() -> bool:
    """Whether browsers reach the pages by https, so that cookies are for https only."""
    return bool(current_app.config["SESSION_COOKIE_SECURE"])
