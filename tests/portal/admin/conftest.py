"""What tests of the admin pages start from."""

from collections.abc import Callable, Iterator

import pytest

from core.config import AnySourceSection
from portal.admin.fixed import CONFIG
from portal.app import Portal
from portal.customer_sources import live_sources, set_customer_sources
from tests.portal.admin.browsing import Admin, admin_of
from tests.portal.admin.firm import add_firm, make_findable
from tests.support.portal import RunningPortal


@pytest.fixture
def pages(pages: RunningPortal) -> RunningPortal:
    """The small organisation, its accounts ready for lists and searches."""
    with pages.database.write() as session:
        make_findable(session)
    return pages


@pytest.fixture
def ada(pages: RunningPortal) -> Admin:
    """An admin of the small organisation."""
    return admin_of(pages)


@pytest.fixture
def firm(pages: RunningPortal) -> RunningPortal:
    """The pages with an organisation as big as a real one."""
    with pages.database.write() as session:
        add_firm(session)
    return pages


@pytest.fixture
def busy_portal(portal: RunningPortal) -> RunningPortal:
    """The same served to a browser."""
    with portal.database.write() as session:
        make_findable(session)
        add_firm(session)
    return portal


@pytest.fixture
def configure(shared_app: Portal) -> Iterator[Callable[..., None]]:
    """Give the pages customer sources: ``configure(section, …)``."""
    before = dict(shared_app.extensions)

    def configure(*sections: AnySourceSection) -> None:
        config = before[CONFIG].model_copy(update={"customer_sources": list(sections)})
        shared_app.extensions[CONFIG] = config
        set_customer_sources(shared_app, config)

    yield configure
    with shared_app.app_context():
        live_sources().close()
    shared_app.extensions.update(before)
