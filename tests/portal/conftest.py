"""What every test of pages may use: ``tests/support/portal.py`` says what each gives.

Not a plug-in of all tests: those of core shall run without Flask.
"""

from tests.support.portal import pages, pages_everywhere, portal, shared_app, sign_in

__all__ = ["pages", "pages_everywhere", "portal", "shared_app", "sign_in"]
