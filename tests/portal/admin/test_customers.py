"""Customers: their number, what all their accounts inherit, and their history."""

import re

import pytest
from sqlalchemy import select

from core.accounts.customers import CustomerValues, customer_values, save_customer
from core.models import AuditEvent, Customer, CustomerGroup
from tests.portal.admin.browsing import Admin, admin_of, form_of
from tests.portal.admin.firm import SETUP, customer_named, group_id
from tests.support.portal import RunningPortal

LIST, NEW = "/admin/customers", "/admin/customers/new"


def path_of(pages: RunningPortal, name: str) -> str:
    with pages.database.read() as session:
        return f"{LIST}/{customer_named(session, name).id}"


def test_a_customer_is_created_with_its_permissions(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        technik = group_id(session, "technik")
    answer = ada.fill(
        NEW,
        number=" K-77 ",
        name="Neu & Co",
        domains="neu.example\r\n@mail.neu.example",
        **{f"cell.0.{technik}.off": "rw"},
    )
    assert answer.status_code == 303
    with pages.database.read() as session:
        customer = customer_named(session, "Neu & Co")
        assert customer.number == "K-77"
        assert [row.domain for row in customer.domains] == ["mail.neu.example", "neu.example"]
        assert session.get(CustomerGroup, (customer.id, technik)) is not None
        actions = session.scalars(
            select(AuditEvent.action).where(AuditEvent.object_id == customer.id)
        ).all()
    assert {"created", "permissions-changed"} <= set(actions)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", ""),
        ("number", "K-2000"),
        ("name", " "),
        ("domains", "keine domain"),
        ("url", "javascript:alert(1)"),
    ],
)
def test_a_problem_stands_at_its_field(
    pages: RunningPortal, ada: Admin, field: str, value: str
) -> None:
    answer = ada.fill(path_of(pages, "Muster GmbH"), **{field: value, "city": "Ulm"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert f'<a href="#{field}">' in page
    assert form_of(answer).value("city") == "Ulm"


def test_a_number_that_is_taken_names_its_customer(pages: RunningPortal, ada: Admin) -> None:
    page = ada.fill(NEW, number="K-2000", name="X").get_data(as_text=True)
    assert f'<a href="{path_of(pages, "Acme Ltd")}">Open &#34;Acme Ltd&#34;</a>' in page


def test_whoever_is_slower_is_told(pages: RunningPortal, ada: Admin) -> None:
    path = path_of(pages, "Acme Ltd")
    shown = ada.form(path)
    with pages.database.write() as session:
        acme = customer_named(session, "Acme Ltd")
        values = customer_values(acme)
        other = CustomerValues(number=values.number, name=values.name, domains=("acme.example",))
        save_customer(session, SETUP, other, acme)
    answer = ada.send(path, shown, city="Leeds")
    assert answer.status_code == 409
    assert "<ins>acme.example</ins>" in answer.get_data(as_text=True)
    assert form_of(answer).value("domains") == "acme.example"
    assert form_of(answer).value("city") == "Leeds"


def test_taking_a_permission_away_is_asked_about(pages: RunningPortal, ada: Admin) -> None:
    pages.add_ticket("anna", "Vertrieb", "Angebot")
    pages.add_ticket("bert", "Vertrieb", "Lieferung")
    path = path_of(pages, "Muster GmbH")
    with pages.database.read() as session:
        muster, vertrieb = customer_named(session, "Muster GmbH").id, group_id(session, "vertrieb")
    question = ada.fill(path, city="Ulm", **{f"cell.{muster}.{vertrieb}.rw": "off"})
    assert "2 open tickets would no longer be visible" in question.get_data(as_text=True)
    with pages.database.read() as session:
        assert customer_named(session, "Muster GmbH").city == ""
    assert ada.send(path, form_of(question)).status_code == 303
    with pages.database.read() as session:
        assert customer_named(session, "Muster GmbH").city == "Ulm"
        assert session.get(CustomerGroup, (muster, vertrieb)) is None


def test_the_list_counts_accounts_and_searches(firm: RunningPortal) -> None:
    ada = admin_of(firm)
    page = ada.get(f"{LIST}?q=musterhausen")
    assert "1 customer found" in page
    assert re.search(r'data-label="Customer users">12<', page)
    assert "1 customer found" in ada.get(f"{LIST}?valid=invalid")
    assert "No customer matches." in ada.get(f"{LIST}?q=%25")


def test_a_customer_shows_its_accounts(firm: RunningPortal) -> None:
    page = admin_of(firm).get(path_of(firm, "Großmann & Söhne KG"))
    assert "Customer users (3)" in page
    assert "Heinz-Peter Schäfer" in page
    assert 'href="/admin/customer-users/new?number=K-1020"' in page


def test_a_new_account_of_a_customer_begins_with_its_number(
    pages: RunningPortal, ada: Admin
) -> None:
    assert ada.form("/admin/customer-users/new?number=K-2000").value("customer_number") == "K-2000"


def test_an_empty_installation_says_what_to_do(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.read() as session:
        assert session.scalars(select(Customer)).first() is not None
    assert "A customer is never deleted" in ada.get(NEW)
