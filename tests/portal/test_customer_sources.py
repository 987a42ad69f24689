"""Customer users of a customer source in the portal."""

from core.config import Config
from portal.customer_sources import set_customer_sources
from tests.sources.crm import ANNA, PASSWORD, WITH_PASSWORD, Crm, read
from tests.support.portal import RunningPortal, post


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
