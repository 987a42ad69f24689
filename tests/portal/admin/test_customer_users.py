"""*Kunden Benutzer*: found, created, changed, never deleted."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from core.accounts.customer_users import customer_user_values, save_customer_user
from core.accounts.preferences import change_preferences, preferences_of
from core.models import AuditEvent, Customer, CustomerUser, CustomerUserGroup, WebSession, now
from core.words import Validity
from tests.portal.admin.browsing import Admin, admin_of, form_of, signs_in
from tests.portal.admin.firm import SETUP, account_named, group_id, let_mail_come_back
from tests.support.portal import RunningPortal

LIST, NEW = "/admin/customer-users", "/admin/customer-users/new"
INGA = {
    "first_name": "Inga",
    "last_name": "Straß",
    "login": "inga",
    "email": "inga@muster.example",
    "customer_number": "K-1000",
}


def path_of(pages: RunningPortal, login: str) -> str:
    with pages.database.read() as session:
        return f"{LIST}/{account_named(session, login).id}"


def events(pages: RunningPortal, action: str) -> list[AuditEvent]:
    with pages.database.read() as session:
        statement = select(AuditEvent).where(AuditEvent.action == action)
        return list(session.scalars(statement.order_by(AuditEvent.id)))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("öztürk", {"cigdem.oeztuerk", "mehmet.oeztuerk", "sabine.krause"}),  # firm's name, too
        ("OZTURK cigdem", {"cigdem.oeztuerk"}),
        ("grossmann jörg", {"joerg.grossmann"}),
        ("gross ute", {"ute.grossmann"}),
        ("heinz-peter.schaefer@k-1020", {"heinz-peter.schaefer"}),
        ("K-1040", {"franz.uebelhoer", "katharina.weiss"}),
        ("uebelhoer franz", {"franz.uebelhoer"}),
        ("praxis@lehmann", {"maren.lehmann", "nadine.thiessen"}),
        ("%", set()),
        ("_", set()),
    ],
)
def test_search_looks_at_everything_and_folds_umlauts(
    firm: RunningPortal, query: str, found: set[str]
) -> None:
    page = admin_of(firm).client.get(LIST, query_string={"q": query}).get_data(as_text=True)
    assert set(re.findall(r'<span class="cell-note">([a-z.-]+)</span>', page)) == found


def test_filters_and_pages_keep_their_words(firm: RunningPortal) -> None:
    ada = admin_of(firm)
    with firm.database.read() as session:
        customer = session.scalars(select(Customer).where(Customer.number == "K-1050")).one()
        group = group_id(session, "buchhaltung")
    assert "12 customer users found" in ada.get(f"{LIST}?customer={customer.id}")
    assert "1 customer user found" in ada.get(f"{LIST}?valid=invalid-temporarily")
    assert "13 customer users found" in ada.get(f"{LIST}?group={group}")
    assert "30 customer users<" in ada.get(f"{LIST}?valid=nonsense&group=99999999999999&page=!!")
    first = ada.get(f"{LIST}?valid=valid")
    (further,) = re.findall(r'rel="next" href="([^"]+)"', first)
    assert "valid=valid" in further
    second = ada.get(further.replace("&amp;", "&"))
    assert "29 customer users found" in second
    assert 'rel="prev"' in second


def test_an_empty_list_is_told_from_no_match(pages: RunningPortal, ada: Admin) -> None:
    assert "No customer user matches." in ada.get(f"{LIST}?q=zzz")


def test_a_new_account_gets_a_password_that_is_shown_once(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(NEW, **INGA)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    (password,) = re.findall(r'id="once" value="([^"]+)"', page)
    assert answer.headers["Cache-Control"] == "no-store"
    assert all(password not in cookie for cookie in answer.headers.getlist("Set-Cookie"))
    assert signs_in(pages, "/sign-in", "inga", password)
    path = path_of(pages, "inga")
    for later in (path, f"{path}/password", f"{path}/history", "/admin/audit", LIST):
        assert password not in ada.get(later)
    (created,) = [e for e in events(pages, "created") if e.object_name == "inga"]
    (given,) = [e for e in events(pages, "password-set") if e.object_name == "inga"]
    assert created.actor_name == given.actor_name == "ada"
    assert created.after is not None
    assert created.after["email"] == "inga@muster.example"
    assert password not in str((created.after, given.before, given.after))


def test_a_chosen_password_is_not_shown(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(NEW, **INGA, password_way="chosen", password="Zwölf Boxkämpfer jagen")
    assert answer.status_code == 303
    assert signs_in(pages, "/sign-in", "inga", "Zwölf Boxkämpfer jagen")


def test_an_account_can_do_without_a_password(pages: RunningPortal, ada: Admin) -> None:
    assert ada.fill(NEW, **INGA, password_way="later").status_code == 303
    with pages.database.read() as session:
        assert account_named(session, "inga").password_hash is None


@pytest.mark.parametrize("password", ["kurz", "x" * 1025, ""])
def test_a_bad_password_creates_nothing(pages: RunningPortal, ada: Admin, password: str) -> None:
    answer = ada.fill(NEW, **INGA, password_way="chosen", password=password)
    assert answer.status_code == 422
    assert 'id="password-error"' in answer.get_data(as_text=True)
    with pages.database.read() as session:
        assert not session.scalars(select(CustomerUser).where(CustomerUser.login == "inga")).all()


def test_every_problem_is_told_at_its_field_and_nothing_typed_is_lost(
    pages: RunningPortal, ada: Admin
) -> None:
    typed = {
        **INGA,
        "last_name": " ",
        "login": "ANNA",
        "email": "bert@muster.example",
        "more_addresses": "privat@inga.example\r\nkeine Adresse",
        "customer_number": "K-1",
        "comment": "Bitte <nicht> verlieren",
        "tickets_per_page": "4",
    }
    answer = ada.fill(NEW, **typed)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    for name in ("last_name", "login", "email", "more_addresses", "customer_number"):
        assert f'<a href="#{name}">' in page, name
        assert f'id="{name}-error"' in page
        assert re.search(rf'aria-describedby="[^"]*{name}-error[^"]*"[^>]*id="{name}"', page)
    shown = form_of(answer)
    for name, value in typed.items():
        assert shown.value(name).strip() == value.strip(), name
    with pages.database.read() as session:
        anna, bert = account_named(session, "anna"), account_named(session, "bert")
    assert f'<a href="{LIST}/{anna.id}">Open &#34;anna&#34;</a>' in page
    assert f'<a href="{LIST}/{bert.id}">Open &#34;bert&#34;</a>' in page


def test_an_unknown_number_makes_a_customer_only_when_asked_to(
    pages: RunningPortal, ada: Admin
) -> None:
    private = {**INGA, "customer_number": "inga@home.example", "password_way": "later"}
    assert ada.fill(NEW, **private).status_code == 422
    assert ada.fill(NEW, **private, create_customer="y").status_code == 303
    with pages.database.read() as session:
        assert account_named(session, "inga").customer.name == "Inga Straß"


def test_numbers_are_suggested(firm: RunningPortal) -> None:
    page = admin_of(firm).get("/admin/customers/numbers?q=gross")
    assert re.findall(r'<option value="([^"]*)">', page) == ["K-1020"]


def test_fields_that_are_none_of_the_form_change_nothing(pages: RunningPortal, ada: Admin) -> None:
    path = path_of(pages, "bert")
    with pages.database.read() as session:
        before = account_named(session, "bert")
    answer = ada.fill(
        path, phone="1", id="999", password_hash="x", customer_id="2", login_key="y", notices=""
    )
    assert answer.status_code == 303
    with pages.database.read() as session:
        after = account_named(session, "bert")
    assert after.phone == "1"
    assert (after.id, after.password_hash, after.customer_id, after.login_key) == (
        before.id,
        before.password_hash,
        before.customer_id,
        before.login_key,
    )


def test_permissions_are_given_in_the_same_form(pages: RunningPortal, ada: Admin) -> None:
    path = path_of(pages, "nora")
    with pages.database.read() as session:
        technik = group_id(session, "technik")
        nora = account_named(session, "nora").id
    answer = ada.fill(path, **{f"cell.{nora}.{technik}.off": "ro"})
    assert answer.status_code == 303
    page = ada.get(path)
    assert "may read Technik" in page
    assert "through technik, given directly" in page
    (event,) = events(pages, "permissions-changed")
    assert (event.before, event.after) == (
        {"groups": {"technik": None}},
        {"groups": {"technik": "ro"}},
    )


def test_a_form_changes_the_permissions_of_its_own_account_only(
    pages: RunningPortal, ada: Admin
) -> None:
    with pages.database.read() as session:
        technik = group_id(session, "technik")
        carol = account_named(session, "carol").id
    answer = ada.fill(path_of(pages, "nora"), **{f"cell.{carol}.{technik}.rw": "off"})
    assert answer.status_code == 400
    with pages.database.read() as session:
        assert session.get(CustomerUserGroup, (carol, technik)) is not None


def test_the_page_explains_each_permission(pages: RunningPortal, ada: Admin) -> None:
    page = ada.get(path_of(pages, "anna"))
    assert "may write to Technik" in page
    assert "through technik, given directly" in page
    assert "may write to Vertrieb" in page
    assert "through vertrieb, through the customer" in page
    assert "may write to Rechnung" not in page
    pages.change_settings(customer_group_always_groups=["rechnung"])
    assert "through rechnung, given to everybody" in ada.get(path_of(pages, "anna"))
    pages.change_settings(customer_group_support=False)
    assert "customer groups are not in use" in ada.get(path_of(pages, "anna"))


def test_an_invalid_account_loses_its_sessions_and_stays(pages: RunningPortal, ada: Admin) -> None:
    bert = pages.client("bert")
    assert bert.get("/tickets").status_code == 200
    until = (now() + timedelta(days=3)).date().isoformat()
    path = path_of(pages, "bert")
    answer = ada.fill(
        path, valid="invalid-temporarily", invalid_until=until, invalid_reason="Urlaub"
    )
    assert answer.status_code == 303
    assert bert.get("/tickets").status_code == 303
    with pages.database.read() as session:
        account = account_named(session, "bert")
        assert account.valid is Validity.INVALID_TEMPORARILY
        assert not session.scalars(
            select(WebSession).where(WebSession.customer_user_id.is_not(None))
        ).all()
    page = ada.get(path)
    assert "An account is never deleted" in page
    assert "The account is not valid now" in page
    assert form_of(ada.client.get(path)).value("invalid_until") == until
    assert ada.client.delete(path).status_code == 400  # refused before anything is looked at


def test_a_day_that_has_passed_is_refused(pages: RunningPortal, ada: Admin) -> None:
    answer = ada.fill(
        path_of(pages, "bert"), valid="invalid-temporarily", invalid_until="2020-01-01"
    )
    assert answer.status_code == 422
    assert 'id="invalid_until-error"' in answer.get_data(as_text=True)


def test_whoever_is_slower_sees_what_was_changed_and_keeps_what_they_typed(
    pages: RunningPortal, ada: Admin
) -> None:
    path = path_of(pages, "bert")
    shown = ada.form(path)
    with pages.database.write() as session:
        bert = account_named(session, "bert")
        values = customer_user_values(bert)
        changed = {"phone": "+49 30 1", "city": "Berlin"}
        save_customer_user(session, SETUP, type(values)(**{**_as_dict(values), **changed}), bert)
    answer = ada.send(path, shown, mobile="+49 170 2", city="Bonn")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "What has changed meanwhile" in page
    assert "<del>–</del>" in page
    assert "<ins>Berlin</ins>" in page
    again = form_of(answer)
    assert (again.value("phone"), again.value("city"), again.value("mobile")) == (
        "+49 30 1",  # left alone: taken over
        "Bonn",  # typed: kept
        "+49 170 2",
    )
    with pages.database.read() as session:
        assert account_named(session, "bert").city == "Berlin"
    assert ada.send(path, again).status_code == 303
    with pages.database.read() as session:
        bert = account_named(session, "bert")
        assert (bert.phone, bert.city, bert.mobile) == ("+49 30 1", "Bonn", "+49 170 2")


def test_the_customer_s_own_change_is_not_saved_over_either(
    pages: RunningPortal, ada: Admin
) -> None:
    path = path_of(pages, "bert")
    shown = ada.form(path)
    with pages.database.write() as session:
        bert = account_named(session, "bert")
        wanted = preferences_of(bert)
        change_preferences(session, SETUP, bert, type(wanted)(language="en", tickets_per_page=50))
    answer = ada.send(path, shown, phone="1")
    assert answer.status_code == 409
    assert form_of(answer).value("language") == "en"
    assert form_of(answer).value("tickets_per_page") == "50"


@pytest.mark.parametrize("version", ["", "0", "x", "99"])
def test_a_form_without_its_version_saves_nothing(
    pages: RunningPortal, ada: Admin, version: str
) -> None:
    answer = ada.fill(path_of(pages, "bert"), version=version, phone="1")
    assert answer.status_code in (409, 422)
    with pages.database.read() as session:
        assert account_named(session, "bert").phone == ""


def test_a_new_password_ends_the_sessions(pages: RunningPortal, ada: Admin) -> None:
    bert = pages.client("bert")
    answer = ada.fill(f"{path_of(pages, 'bert')}/password")
    (password,) = re.findall(r'id="once" value="([^"]+)"', answer.get_data(as_text=True))
    assert bert.get("/tickets").status_code == 303
    assert signs_in(pages, "/sign-in", "bert", password)
    assert not signs_in(pages, "/sign-in", "bert")


def test_names_are_text_wherever_they_stand(pages: RunningPortal, ada: Admin) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    ada.fill(
        NEW,
        **{**INGA, "first_name": evil, "last_name": evil, "comment": evil},
        password_way="later",
    )
    path = path_of(pages, "inga")
    for place in (LIST, path, f"{path}/history", "/admin/audit", "/admin/permissions"):
        page = ada.get(place)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;" in page, place


def test_history_tells_what_was_before(pages: RunningPortal, ada: Admin) -> None:
    path = path_of(pages, "bert")
    ada.fill(path, phone="0301", sees_customer_tickets="y", valid="invalid")
    page = ada.get(f"{path}/history")
    for text in ("<ins>0301</ins>", "<del>no</del>", "<ins>yes</ins>", "<ins>invalid</ins>", "ada"):
        assert text in page


def _as_dict(values: object) -> dict[str, object]:
    return {name: getattr(values, name) for name in values.__slots__}


def test_an_address_from_which_mail_comes_back_is_flagged_until_it_is_good(
    pages: RunningPortal, ada: Admin
) -> None:
    mark, button = "comes back", "The address is good again"
    path = path_of(pages, "anna")
    assert mark not in ada.get(LIST)
    assert button not in ada.get(path)
    with pages.database.write() as session:
        address = let_mail_come_back(session, "anna")
    assert ada.get(LIST).count(mark) == 1
    page = ada.get(path)
    assert f"Mail to {address} came back 3 times." in page
    assert "550 5.1.1" in page
    assert "today" in page
    answer = ada.send(f"{path}/address-is-good", ada.form(path), address=address)
    assert answer.status_code == 303
    page = ada.get(path)
    assert f"Mail is sent to {address} again." in page
    assert button not in page
    assert "returned mails cleared" in ada.get("/admin/audit")


def test_only_the_account_s_own_addresses_become_good(pages: RunningPortal, ada: Admin) -> None:
    with pages.database.write() as session:
        address = let_mail_come_back(session, "anna")
    path = path_of(pages, "bert")
    for typed in (address, "", "x" * 1000):
        answer = ada.send(f"{path}/address-is-good", ada.form(path), address=typed)
        assert answer.status_code == 404
    assert "comes back" in ada.get(LIST)
