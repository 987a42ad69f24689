"""Customers: firms or persons with their Kunden#, and what all their accounts inherit."""

from collections.abc import Sequence

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from core.accounts.consequences import consequences_of_customer_cells
from core.accounts.copies import fixed_fields, with_fixed
from core.accounts.customers import CustomerValues, customer_values, save_customer
from core.accounts.lists import (
    CustomerFilter,
    CustomerUserFilter,
    count_customer_users,
    count_customers,
    customer_user_counts,
    find_customer_users,
    find_customers,
)
from core.accounts.matrix import all_groups, customer_cells, save_customer_cells
from core.accounts.permissions import is_valid_account
from core.i18n import gettext as _
from core.i18n import lazy_gettext as _l
from core.models import Customer
from core.organisation import load_organisation
from portal.admin.cells import NEW, cell_choices, cell_views, posted_changes
from portal.admin.confirming import ask_first
from portal.admin.copies import has_sources, lock, origin_of, source_choices
from portal.admin.forms import EditForm, LinesField, ValidField, long_text, text
from portal.admin.links import tickets_url
from portal.admin.stored import stored
from portal.areas import Area, Audience
from portal.database import reading, writing
from portal.history import history_page
from portal.parameters import id_of_request, text_of_request
from portal.visitors import organisation, the_viewer

KIND = "customer"
MAX_SUGGESTIONS = 50
MAX_ACCOUNTS = 20  # of a customer, on its page; the list has them all

area = Area("admin_customers", __name__, Audience.ADMIN, "/admin/customers")


class CustomerForm(EditForm):
    """What can be entered for a customer."""

    number = text(_l("Kunden#"), starred=True)
    name = text(_l("Name"), starred=True)
    domains = LinesField(_l("Mail domains"))
    street = text(_l("Street"))
    postcode = text(_l("Postcode"))
    city = text(_l("City"))
    country = text(_l("Country"))
    url = text(_l("Web page"))
    comment = long_text(_l("Comment"))
    valid = ValidField(_l("Valid"))

    def values(self) -> CustomerValues:
        """Return what was entered."""
        return CustomerValues(
            number=self.number.data,
            name=self.name.data,
            street=self.street.data,
            postcode=self.postcode.data,
            city=self.city.data,
            country=self.country.data,
            url=self.url.data,
            comment=self.comment.data,
            valid=self.valid.data,
            domains=self.domains.data or (),
        )


@area.get("")
def index() -> str:
    """List customers: searched, filtered, page by page."""
    session = reading()
    wanted = filter_of_request()
    page = find_customers(
        session,
        wanted,
        cursor=request.args.get("page"),
        limit=the_viewer().account.tickets_per_page,
    )
    return render_template(
        "admin/customers.html",
        accounts=customer_user_counts(session, [customer.id for customer in page.items]),
        count=page.count_or(lambda: count_customers(session, wanted)),
        everybody=count_customers(session, CustomerFilter()),
        group_choices=group_choices(session),
        has_sources=has_sources(page.items) or bool(wanted.source),
        page=page,
        parameters=parameters_of(wanted),
        source_choices=source_choices(wanted.source),
        wanted=wanted,
    )


@area.get("/numbers")
def numbers() -> str:
    """Suggest Kunden# for what somebody has begun to type."""
    found = known_numbers(reading(), text_of_request("q"))
    return render_template("admin/numbers.html", numbers=found)


@area.route("/new", methods=["GET", "POST"])
def new() -> Response:
    """Show the form of a new customer, and create it."""
    form = CustomerForm()
    if form.validate_on_submit():
        done = form.attempt(_create, form)
        if done is not None:
            return done
    cells = customer_cells(reading(), organisation(), None)
    return form.answer(
        "admin/customer.html",
        customer=None,
        origin=None,
        cells=cell_views(organisation(), NEW, cells),
        **_context(reading()),
    )


@area.route("/<int:object_id>", methods=["GET", "POST"])
def edit(object_id: int) -> Response:
    """Show a customer, and change it."""
    customer = stored(reading(), Customer, object_id)
    values = customer_values(customer)
    form = CustomerForm(obj=values)
    lock(form, fixed_fields(customer, values))
    if not form.is_submitted():
        form.read_now(reading(), KIND, customer)
    elif form.validate():
        done = form.attempt(_change, form, object_id)
        if done is not None:
            return done
        if form.is_stale:
            form.show_others(KIND, Customer, object_id, customer_values, form.values())
    session = reading()
    customer = stored(session, Customer, object_id)
    theirs = CustomerUserFilter(customer_id=object_id)
    return form.answer(
        "admin/customer.html",
        customer=customer,
        accounts=find_customer_users(session, theirs, limit=MAX_ACCOUNTS).items,
        accounts_count=count_customer_users(session, theirs),
        cells=cell_views(
            organisation(), object_id, customer_cells(session, organisation(), customer)
        ),
        is_valid=is_valid_account,
        origin=origin_of(customer),
        tickets_url=tickets_url("customer", object_id),
        **_context(session),
    )


@area.get("/<int:object_id>/history")
def history(object_id: int) -> str:
    """Show what was changed of a customer."""
    customer = stored(reading(), Customer, object_id)
    return history_page("admin/customer_history.html", KIND, object_id, customer=customer)


def known_numbers(session: Session, query: str) -> Sequence[Customer]:
    """Return the first customers in whose number or name a text stands, for suggestions."""
    return find_customers(session, CustomerFilter(query=query), limit=MAX_SUGGESTIONS).items


def group_choices(session: Session) -> list[tuple[int, str]]:
    """Return the groups to choose from in a filter."""
    return [(group.id, group.name) for group in all_groups(session)]


def filter_of_request() -> CustomerFilter:
    """Return which customers the address of this page asks for."""
    return CustomerFilter(
        query=text_of_request("q"),
        valid={"valid": True, "invalid": False}.get(request.args.get("valid", "")),
        group_id=id_of_request("group"),
        source=text_of_request("source"),
    )


def parameters_of(wanted: CustomerFilter) -> dict[str, str]:
    """Return the parameters of an address that asks for these customers."""
    valid = {True: "valid", False: "invalid", None: ""}[wanted.valid]
    group = str(wanted.group_id or "")
    parameters = {"q": wanted.query, "valid": valid, "group": group, "source": wanted.source}
    return {name: value for name, value in parameters.items() if value}


def _create(form: CustomerForm) -> Response:
    session, actor = writing(), the_viewer().actor
    customer = save_customer(session, actor, form.values())
    save_customer_cells(session, actor, posted_changes(customer.id))
    flash(_('The customer "%(name)s" is created.', name=customer.name))
    return redirect(url_for(".edit", object_id=customer.id), 303)


def _change(form: CustomerForm, object_id: int) -> Response:
    session, actor = writing(), the_viewer().actor
    customer = stored(session, Customer, object_id)
    changes = posted_changes(object_id)
    hidden = consequences_of_customer_cells(session, load_organisation(session), changes)
    values = with_fixed(customer, customer_values(customer), form.values())
    save_customer(session, actor, values, customer, form.version_read)
    save_customer_cells(session, actor, changes)
    back = url_for(".edit", object_id=object_id)
    if question := ask_first(hidden, back):
        return question
    flash(_("Saved."))
    return redirect(back, 303)


def _context(session: Session) -> dict[str, object]:
    """Return what both forms show besides the customer."""
    return {
        "always_groups": organisation().always_groups,
        "choices": cell_choices(),
        "groups": all_groups(session),
    }
