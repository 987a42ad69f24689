"""Customer users of a customer source in the portal."""

from core.config import Config
from portal.customer_sources import set_customer_sources
from tests.sources.crm import ANNA, PASSWORD, WITH_PASSWORD, Crm, account, read
from tests.support.portal import RunningPortal, post


def test_who_is_new_in_the_source_signs_in_at_once(pages: RunningPortal, crm: Crm) -> None:
    set_customer_sources(pages.app, Config(customer_sources=[crm.section(**WITH_PASSWORD)]))
    fields = {"login": "s.neu@muster.example", "password": PASSWORD}
    try:
        assert post(pages.client(), "/sign-in", fields).status_code == 422
        crm.hold(ANNA | {"login": "s.neu", "mail": "s.neu@muster.example"})
        crm.give_passwords()
        assert post(pages.client(), "/sign-in", fields).status_code == 303
    finally:
        set_customer_sources(pages.app, Config())


def test_a_source_that_is_away_is_no_secret(pages: RunningPortal, crm: Crm) -> None:
    """And says nothing about who has an account."""
    crm.execute('DROP TABLE "Kunden Benutzer"')
    set_customer_sources(pages.app, Config(customer_sources=[crm.section(**WITH_PASSWORD)]))
    client = pages.client()
    client.set_cookie("schalter-language", "de")
    fields = {"login": "nobody", "password": PASSWORD}
    try:
        answer = post(client, "/sign-in", fields)
        assert answer.status_code == 422
        assert "Es kann gerade nicht jedes Konto nachgeschlagen werden" in answer.text
    finally:
        set_customer_sources(pages.app, Config())


def test_signing_in_with_the_password_of_the_source(
    pages: RunningPortal,
    crm: Crm,
) -> None:
    crm.hold(ANNA | {"login": "s.anna"})
    crm.give_passwords()
    read(pages.database, crm.section(**WITH_PASSWORD))
    client = pages.client()
    fields = {"login": "s.anna", "password": PASSWORD}
    assert post(client, "/sign-in", fields).status_code == 422
    set_customer_sources(pages.app, Config(customer_sources=[crm.section(**WITH_PASSWORD)]))
    try:
        assert post(client, "/sign-in", fields).status_code == 303
        assert client.get("/tickets").status_code == 200
    finally:
        set_customer_sources(pages.app, Config())


def test_addresses_of_a_source_are_only_shown(pages: RunningPortal, crm: Crm) -> None:
    crm.hold(ANNA | {"login": "s.anna", "mail": "s@crm.example", "mail2": "t@crm.example"})
    crm.give_passwords()
    section = crm.section(**WITH_PASSWORD)
    read(pages.database, section)
    client = pages.client()
    set_customer_sources(pages.app, Config(customer_sources=[section]))
    try:
        post(client, "/sign-in", {"login": "s.anna", "password": PASSWORD})
        page = client.get("/addresses").text
        assert "t@crm.example" in page
        assert "in einem anderen unserer Systeme" in page
        assert 'name="address"' not in page
        further = account(pages.database, "s.anna").addresses[1]
        assert f"/addresses/{further.id}" not in page
        assert post(client, f"/addresses/{further.id}/main", {}).status_code == 303
        assert account(pages.database, "s.anna").addresses[0].address == "s@crm.example"
    finally:
        set_customer_sources(pages.app, Config())
