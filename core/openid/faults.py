"""Why nobody was signed in through an identity provider."""

from core.errors import SchalterError


class ProviderFault(SchalterError):
    """What came from a provider, or through the browser in its name, cannot be believed.

    The text is the reason for the log: it holds no secret and nothing that a stranger can write
    at any length.
    """


class ProviderAway(ProviderFault):
    """The provider cannot be reached, or does not answer in time."""


class ProviderDeclined(ProviderFault):
    """The provider has not signed anybody in: it was called off there, or is not allowed."""
