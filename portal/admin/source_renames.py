"""*Match up*: accounts and customers that seem to be called differently in their source now.

Nothing is decided here unseen: every button leads to a page that says what will happen, in
numbers, and what was seen there must still be so when it is agreed to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import abort, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from core.accounts.customers import customer_label
from core.errors import NotFound, Stale
from core.i18n import N_
from core.i18n import gettext as _
from core.models import MAX_ID, Customer, CustomerUser
from core.sources.matching.candidates import (
    candidates,
    count_gone,
    gone_accounts,
    other_accounts,
    reason_text,
)
from core.sources.matching.customer_merges import left_customers, merge_customers
from core.sources.matching.renames import (
    belongings,
    check_pair,
    claims,
    give_login_up,
    match_up,
    take_key,
)
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import finish_writing, reading, writing
from portal.history import FIELDS
from portal.parameters import id_of_request, text_of_request
from portal.visitors import the_viewer

area = Area("admin_source_renames", __name__, Audience.ADMIN, "/admin/source-renames")

_SAME, _OTHER = "same", "other"  # who wants a login: the person that had it, or somebody else


@dataclass(frozen=True, slots=True)
class Line:
    """One field of two accounts side by side."""

    name: str
    old: str
    new: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.old != self.new


@area.get("")
def index() -> str:
    """List who is gone and may be somebody else today; with ``account``, one of them."""
    account_id = id_of_request("account")
    if account_id is not None:
        return _one(stored(reading(), CustomerUser, account_id))
    session, query = reading(), text_of_request("q")
    everybody = request.args.get("show") == "all"
    page = gone_accounts(
        session,
        query=query,
        with_candidates=not everybody,
        cursor=request.args.get("page"),
        limit=the_viewer().account.tickets_per_page,
    )
    shown = {"q": query, "show": "all" if everybody else ""}
    return render_template(
        "admin/source_renames.html",
        candidates=candidates(session, page.items),
        count=count_gone(session, query=query, with_candidates=not everybody),
        counts=(count_gone(session, with_candidates=True), count_gone(session)),
        everybody=everybody,
        left=left_customers(session),
        page=page,
        parameters={name: value for name, value in shown.items() if value},
        query=query,
        reason_text=reason_text,
        wanted=claims(session, page.items),
    )


@area.post("/match")
def match() -> Response:
    """Ask, then make one account of two."""
    old_id, new_id = _id_sent("old"), _id_sent("new")
    if not request.form.get("confirmed"):
        return _ask_match(old_id, new_id)
    versions = _id_sent("old_version"), _id_sent("new_version")
    account = match_up(writing(), the_viewer().actor, old_id, new_id, versions)
    flash(_('The account "%(login)s" is matched up.', login=account.login))
    return redirect(url_for("admin_customer_users.edit", object_id=account.id), 303)


@area.post("/login")
def login() -> Response:
    """Ask, then decide whose the login of an account that is gone is."""
    account_id, key, who = _id_sent("account"), request.form.get("key", ""), request.form.get("who")
    if who not in (_SAME, _OTHER):
        abort(400)
    if not request.form.get("confirmed"):
        return _ask_login(account_id, key, who)
    decide = take_key if who == _SAME else give_login_up
    account = decide(writing(), the_viewer().actor, account_id, key)
    flash(
        _('The account "%(login)s" is matched up.', login=account.login)
        if who == _SAME
        else _('The account "%(login)s" has given up its login.', login=account.login)
    )
    return redirect(url_for(".index"), 303)


@area.post("/customers")
def customers() -> Response:
    """Ask, then give a customer what another one has."""
    left_id, into_id = _id_sent("left"), _id_sent("into")
    if not request.form.get("confirmed"):
        return _ask_customers(left_id, into_id)
    session = writing()
    into = merge_customers(session, the_viewer().actor, left_id, into_id)
    flash(_("%(customer)s has everything now.", customer=customer_label(into)))
    return redirect(url_for("admin_customers.edit", object_id=into.id), 303)


def _one(account: CustomerUser) -> str:
    """Show one account that is gone beside each that it may be, and search for others."""
    session, query = reading(), text_of_request("q")
    if account.source_gone_at is None or account.source_key is None:
        raise NotFound(_("This account is not gone from its source."))
    found = other_accounts(session, account, query)
    likely = candidates(session, [account]).get(account.id, ())
    return render_template(
        "admin/source_rename.html",
        account=account,
        candidates=found if query else likely,
        comparison=compared,
        keep={"account": account.id},
        query=query,
        reason_text=reason_text,
        wanted=claims(session, [account]).get(account.id, ()),
    )


def compared(old: CustomerUser, new: CustomerUser) -> Sequence[Line]:
    """Return what is known of two accounts, field by field."""
    before, after = _shown(old), _shown(new)
    return [Line(_(_NAMES[name]), before[name], after[name]) for name in _NAMES]


_NAMES = {
    "login": FIELDS["login"],
    "key": FIELDS["key"],
    "name": FIELDS["name"],
    "customer_number": FIELDS["customer_number"],
    "addresses": FIELDS["addresses"],
    "phone": FIELDS["phone"],
    "mobile": FIELDS["mobile"],
    "place": N_("Postal address"),
}


def _shown(account: CustomerUser) -> dict[str, str]:
    return {
        "login": account.login,
        "key": account.source_key or "",
        "name": f"{account.title} {account.name}".strip(),
        "customer_number": customer_label(account.customer),
        "addresses": ", ".join(row.address for row in account.addresses),
        "phone": account.phone,
        "mobile": account.mobile,
        "place": ", ".join(
            filter(None, (account.street, f"{account.postcode} {account.city}".strip()))
        ),
    }


def _ask_match(old_id: int, new_id: int) -> Response:
    session = reading()
    old, new = stored(session, CustomerUser, old_id), stored(session, CustomerUser, new_id)
    check_pair(old, new)
    return _question(
        "admin/confirm_match.html",
        url_for(".match"),
        url_for(".index", account=old_id),
        _("Match up"),
        {
            "old": old_id,
            "new": new_id,
            "old_version": old.version,
            "new_version": new.version,
        },
        comparison=compared(old, new),
        kept=belongings(session, old),
        new=new,
        old=old,
        taken=belongings(session, new),
    )


def _ask_login(account_id: int, key: str, who: str) -> Response:
    session = reading()
    account = stored(session, CustomerUser, account_id)
    wanted = claims(session, [account]).get(account_id, ())
    if key not in {each.source_key for each in wanted}:
        raise Stale(_("No record of the source wants the login of this account now."))
    is_same = who == _SAME
    return _question(
        "admin/confirm_login.html",
        url_for(".login"),
        url_for(".index", account=account_id),
        _("It is the same person") if is_same else _("It is somebody else"),
        {"account": account_id, "key": key, "who": who},
        account=account,
        counted=belongings(session, account),
        is_same=is_same,
        key=key,
    )


def _ask_customers(left_id: int, into_id: int) -> Response:
    session = reading()
    into = stored(session, Customer, into_id)
    found = [each for each in left_customers(session) if each.customer.id == left_id]
    moved = {there.id: count for each in found for there, count in each.moved}
    if into_id not in moved:
        raise Stale(_("These accounts have not all moved there any more."))
    return _question(
        "admin/confirm_customers.html",
        url_for(".customers"),
        url_for(".index"),
        _("Merge customers"),
        {"left": left_id, "into": into_id},
        count=moved[into_id],
        into=into,
        left=found[0],
    )


def _question(
    template: str,
    action: str,
    cancel: str,
    confirm: str,
    fields: dict[str, object],
    **context: object,
) -> Response:
    finish_writing(keep=False)
    page = render_template(
        template,
        action=action,
        cancel=cancel,
        confirm=confirm,
        fields=[*fields.items(), ("confirmed", "1")],
        **context,
    )
    return make_response(page)


def _id_sent(name: str) -> int:
    """Return an id of the form; what is none ends the request, for no page of ours sends that."""
    found = request.form.get(name, type=int)
    if found is None or not 0 < found <= MAX_ID:
        abort(400)
    return found
