"""*Kunden Benutzer*: the accounts of customers. Never deleted, only set invalid."""

from collections.abc import Collection, Iterable, Mapping

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, DateField, SelectField
from wtforms.validators import Optional

from core.accounts import password_links
from core.accounts.consequences import consequences_of_customer_user_cells
from core.accounts.copies import fixed_fields, with_fixed
from core.accounts.customer_users import (
    CustomerUserValues,
    customer_user_values,
    save_customer_user,
)
from core.accounts.lists import CustomerUserFilter, count_customer_users, find_customer_users
from core.accounts.matrix import all_groups, customer_user_cells, save_customer_user_cells
from core.accounts.passwords import MIN_CHARACTERS, set_password
from core.accounts.permissions import access_of, is_valid_account, subject_of
from core.accounts.preferences import MAX_TICKETS_PER_PAGE, MIN_TICKETS_PER_PAGE, Preferences
from core.accounts.rights import QueueRight, queue_rights, through_text
from core.errors import Invalid, NotFound
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.labels import label
from core.models import BouncingAddress, Customer, CustomerUser
from core.organisation import load_organisation
from core.outgoing.bounces import bouncing, clear_bounces
from core.sources.source import SourceAway
from core.sources.writing import Written, refusal, save_written, write_to_source
from core.words import Validity
from portal.account import PreferencesForm
from portal.admin.cells import NEW, cell_choices, cell_views, posted_changes
from portal.admin.confirming import ask_first
from portal.admin.copies import has_sources, lock, origin_of, source_choices
from portal.admin.customers import group_choices, known_numbers
from portal.admin.forms import EditForm, LinesField, long_text, text
from portal.admin.links import tickets_url
from portal.admin.passwords import (
    BY_MAIL,
    FirstPasswordForm,
    PasswordForm,
    about_invitation,
    invited,
    new_password,
    say_invited,
    shown_once,
)
from portal.admin.sources import sections
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import database, end_reading, reading, writing
from portal.forms import choices
from portal.history import history_page
from portal.parameters import id_of_request, text_of_request, word_of_request
from portal.visitors import organisation, the_viewer

KIND = "customer-user"

area = Area("admin_customer_users", __name__, Audience.ADMIN, "/admin/customer-users")


class CustomerUserForm(EditForm, PreferencesForm):
    """What can be entered for a customer user; the stars are those of the handbook."""

    first_name = text(_l("First name"), starred=True)
    last_name = text(_l("Last name"), starred=True)
    title = text(_l("Title"))
    login = text(_l("Login"), starred=True)
    email = text(_l("E-mail"), starred=True)
    more_addresses = LinesField(_l("More mail addresses"))
    share_address = BooleanField(_l("Share addresses"))
    customer_number = text(_l("Kunden#"), starred=True)
    create_customer = BooleanField(_l("Create the customer if there is none with this Kunden#"))
    sees_customer_tickets = BooleanField(_l("Sees all tickets of the customer"))
    phone = text(_l("Phone"))
    mobile = text(_l("Mobile"))
    street = text(_l("Street"))
    postcode = text(_l("Postcode"))
    city = text(_l("City"))
    country = text(_l("Country"))
    comment = long_text(_l("Comment"))
    valid = SelectField(_l("Valid"), default=Validity.VALID)
    invalid_until = DateField(_l("Invalid until"), [Optional()])
    invalid_reason = text(_l("Reason"))
    notices = BooleanField(_l("Mail about new answers"))

    def offer(self) -> None:
        """Fill in what can be chosen here and now."""
        super().offer()
        self.valid.choices = choices((word.value, label(word)) for word in Validity)

    def values(self) -> CustomerUserValues:
        """Return what was entered."""
        wanted = self.preferences()
        return CustomerUserValues(
            login=self.login.data,
            customer_number=self.customer_number.data,
            email=self.email.data,
            first_name=self.first_name.data,
            last_name=self.last_name.data,
            more_addresses=self.more_addresses.data or (),
            share_address=self.share_address.data,
            title=self.title.data,
            phone=self.phone.data,
            mobile=self.mobile.data,
            street=self.street.data,
            postcode=self.postcode.data,
            city=self.city.data,
            country=self.country.data,
            comment=self.comment.data,
            valid=Validity(self.valid.data),
            invalid_until=self.invalid_until.data,
            invalid_reason=self.invalid_reason.data,
            sees_customer_tickets=self.sees_customer_tickets.data,
            language=wanted.language,
            theme=wanted.theme,
            time_zone=wanted.time_zone,
            tickets_per_page=wanted.tickets_per_page,
            notices=wanted.notices,
        )


class NewCustomerUserForm(CustomerUserForm, FirstPasswordForm):
    """The same with a password."""


@area.get("")
def index() -> str:
    """List customer users: searched, filtered, page by page."""
    session = reading()
    wanted = filter_of_request()
    page = find_customer_users(
        session,
        wanted,
        cursor=request.args.get("page"),
        limit=the_viewer().account.tickets_per_page,
    )
    return render_template(
        "admin/customer_users.html",
        bouncing=_bouncing(session, page.items),
        count=page.count_or(lambda: count_customer_users(session, wanted)),
        customer=_customer(session, wanted),
        everybody=count_customer_users(session, CustomerUserFilter()),
        has_sources=has_sources(page.items) or bool(wanted.source),
        group_choices=group_choices(session),
        is_valid=is_valid_account,
        page=page,
        parameters=parameters_of(wanted),
        source_choices=source_choices(wanted.source),
        validities=[(word.value, label(word)) for word in Validity],
        wanted=wanted,
    )


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new customer user, and create it."""
    form = NewCustomerUserForm(obj=Preferences())
    form.offer()
    if not form.is_submitted():
        form.customer_number.data = request.args.get("number", "")
    elif form.validate():
        done = form.attempt(_create, form)
        if done is not None:
            return done
    return form.answer(
        "admin/customer_user.html",
        account=None,
        bouncing={},
        origin=None,
        cells=cell_views(organisation(), NEW, customer_user_cells(reading(), organisation(), None)),
        rights=[],
        **_context(),
    )


@area.route("/<int:object_id>", methods=["GET", "POST"])
def edit(object_id: int) -> Response:
    """Show a customer user, and change it."""
    account = stored(reading(), CustomerUser, object_id)
    values = customer_user_values(account)
    form = CustomerUserForm(obj=values)
    form.offer()
    lock(form, fixed_fields(account, values, _writable(account)))
    if not form.is_submitted():
        form.read_now(reading(), KIND, account)
    elif form.validate():
        done = form.attempt(_change, form, object_id)
        if done is not None:
            return done
        if form.is_stale:
            form.show_others(KIND, CustomerUser, object_id, customer_user_values, form.values())
    session = reading()
    account = stored(session, CustomerUser, object_id)
    cells = customer_user_cells(session, organisation(), account)
    return form.answer(
        "admin/customer_user.html",
        account=account,
        bouncing=_bouncing(session, [account]),
        cells=cell_views(organisation(), object_id, cells),
        is_valid=is_valid_account,
        origin=origin_of(account),
        rights=_rights(session, account),
        tickets_url=tickets_url("customer_user", object_id),
        **_context(),
    )


@area.route("/<int:object_id>/password", methods=["GET", "POST"])
def password(object_id: int) -> Response:
    """Give a customer user a new password."""
    account = stored(reading(), CustomerUser, object_id)
    form = PasswordForm()
    if form.validate_on_submit():
        with form.errors_of_core():
            made = new_password(form, account.login)
            assert made is not None  # the form has no way without
            session = writing()
            account = session.get_one(CustomerUser, object_id, with_for_update=True)
            set_password(session, the_viewer().actor, account, made.hashed, one_time=True)
            back = url_for(".edit", object_id=object_id)
            if made.shown:
                return shown_once(account, made.shown, back, is_new=False)
            flash(_('The password of "%(login)s" is set.', login=account.login))
            return redirect(back, 303)
    return form.answer(
        "admin/customer_user_password.html",
        account=account,
        min_characters=MIN_CHARACTERS,
        **about_invitation(account),
    )


@area.post("/<int:object_id>/invite")
def invite(object_id: int) -> Response:
    """Send a customer user a link for a password."""
    return invited(CustomerUser, object_id)


@area.get("/<int:object_id>/history")
def history(object_id: int) -> str:
    """Show what was changed of a customer user."""
    account = stored(reading(), CustomerUser, object_id)
    return history_page("admin/customer_user_history.html", KIND, object_id, account=account)


@area.post("/<int:object_id>/address-is-good")
def address_is_good(object_id: int) -> Response:
    """Send mail to an address of a customer user again, although it came back before."""
    session = writing()
    account = stored(session, CustomerUser, object_id)
    key = request.form.get("address", "")
    address = next((row.address for row in account.addresses if row.address_key == key), None)
    if address is None:
        raise NotFound(_("There is no such thing."))
    clear_bounces(session, the_viewer().actor, key)
    flash(_("Mail is sent to %(address)s again.", address=address))
    return redirect(url_for(".edit", object_id=object_id), 303)


def filter_of_request() -> CustomerUserFilter:
    """Return which customer users the address of this page asks for."""
    return CustomerUserFilter(
        query=text_of_request("q"),
        valid=word_of_request("valid", Validity),
        group_id=id_of_request("group"),
        customer_id=id_of_request("customer"),
        source=text_of_request("source"),
    )


def parameters_of(wanted: CustomerUserFilter) -> dict[str, str]:
    """Return the parameters of an address that asks for these customer users."""
    parameters = {
        "q": wanted.query,
        "valid": wanted.valid or "",
        "group": str(wanted.group_id or ""),
        "customer": str(wanted.customer_id or ""),
        "source": wanted.source,
    }
    return {name: value for name, value in parameters.items() if value}


def _create(form: NewCustomerUserForm) -> Response:
    made = new_password(form, form.login.data)
    session, actor = writing(), the_viewer().actor
    account = save_customer_user(
        session, actor, form.values(), create_customer=form.create_customer.data
    )
    save_customer_user_cells(session, actor, posted_changes(account.id))
    back = url_for(".edit", object_id=account.id)
    if made is not None:
        set_password(session, actor, account, made.hashed, one_time=True)
        if made.shown:
            return shown_once(account, made.shown, back, is_new=True)
    is_invited = form.password_way.data == BY_MAIL
    if is_invited:
        password_links.invite(session, actor, account)
    flash(_('The account "%(login)s" is created.', login=account.login))
    if is_invited:
        say_invited(account)
    return redirect(back, 303)


def _change(form: CustomerUserForm, object_id: int) -> Response:
    changes = posted_changes(object_id)
    back = url_for(".edit", object_id=object_id)
    account = stored(reading(), CustomerUser, object_id)
    written = None
    if account.source is not None:
        # Before anything is written to the source, for that is not undone when somebody is asked.
        hidden = consequences_of_customer_user_cells(reading(), organisation(), changes)
        if question := ask_first(hidden, back):
            return question
        written = _write_to_source(account, form)
    session, actor = writing(), the_viewer().actor
    account = stored(session, CustomerUser, object_id)
    hidden = consequences_of_customer_user_cells(session, load_organisation(session), changes)
    values = _values(account, form)
    if written is not None:
        save_written(session, actor, sections(), account, values, form.version_read, written)
    else:
        save_customer_user(
            session,
            actor,
            values,
            account,
            form.version_read,
            create_customer=form.create_customer.data,
        )
    save_customer_user_cells(session, actor, changes)
    if written is None and (question := ask_first(hidden, back)):
        return question
    flash(_("Saved."))
    return redirect(back, 303)


def _write_to_source(account: CustomerUser, form: CustomerUserForm) -> Written | None:
    """Let the source of a copy have what was changed of it. Raises like ``write_to_source``."""
    values, object_id = _values(account, form), account.id
    end_reading()
    try:
        return write_to_source(database(), sections(), object_id, values, form.version_read)
    except SourceAway as error:
        raise Invalid("", refusal(error.source, error.reason)) from None


def _values(account: CustomerUser, form: CustomerUserForm) -> CustomerUserValues:
    """Return what was entered; of a copy only what may be changed here."""
    before = customer_user_values(account)
    return with_fixed(account, before, form.values(), _writable(account))


def _writable(account: CustomerUser) -> Collection[str]:
    """Return which fields of a copy are changed in its source from here."""
    origin = origin_of(account)
    return origin.writable if origin is not None else ()


def _context() -> dict[str, object]:
    """Return what both forms show besides the account."""
    session = reading()
    return {
        "always_groups": organisation().always_groups,
        "choices": cell_choices(),
        "groups": all_groups(session),
        "least": MIN_TICKETS_PER_PAGE,
        "min_characters": MIN_CHARACTERS,
        "most": MAX_TICKETS_PER_PAGE,
        "numbers": known_numbers(session, ""),
        "through_text": through_text,
    }


def _rights(session: Session, account: CustomerUser) -> list[QueueRight]:
    """Return what the account may do, or could as soon as it is valid."""
    subject = subject_of(account)
    here = organisation()
    return list(queue_rights(here, access_of(session, here, [subject])[subject]))


def _bouncing(session: Session, accounts: Iterable[CustomerUser]) -> Mapping[str, BouncingAddress]:
    """Return, of the addresses of these accounts, those from which mail keeps coming back."""
    return bouncing(session, [row.address_key for each in accounts for row in each.addresses])


def _customer(session: Session, wanted: CustomerUserFilter) -> Customer | None:
    return session.get(Customer, wanted.customer_id) if wanted.customer_id is not None else None
