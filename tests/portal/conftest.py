"""What every test of pages may use: ``tests/support/portal.py`` says what each gives.

Not a plug-in of all tests: those of core shall run without Flask.
"""

from tests.support.portal import pages, pages_everywhere, portal, shared_app, sign_in
from tests.support.single_sign_on import configure, provider

__all__ = [
    "configure",
    "pages",
    "pages_everywhere",
    "portal",
    "provider",
    "shared_app",
    "sign_in",
]
