"""``[[single_sign_on]]``: identity providers that people sign in with."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from core.config.sections import Section


class SingleSignOnSection(Section):
    """An OpenID Connect provider; without any, nobody signs in through one.

    ``name`` is part of the address to which the provider returns, ``label`` what the button says.
    ``claim`` of the provider's identity token is compared with the login or the mail address
    (``matches``) of accounts that exist already; none is made. A mail address counts only when
    the provider says that it is verified, or ``trust_unverified`` says that it always is. Without
    ``client_secret_file`` the provider must know us as a public client. ``ca_file`` vouches for
    it instead of the system's certificates.
    """

    name: str
    label: str = Field(min_length=1, max_length=60)
    issuer: str
    client_id: str = Field(min_length=1)
    client_secret_file: str = ""
    accounts: Literal["staff", "customers", "both"]
    claim: str = Field(default="email", min_length=1)
    matches: Literal["login", "email"] = "email"
    trust_unverified: bool = False
    scopes: list[str] = Field(default=["openid", "email", "profile"])
    ca_file: str = ""

    @model_validator(mode="after")
    def _usable(self) -> "SingleSignOnSection":
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", self.name):
            raise ValueError("name must be 1 to 50 of a-z, 0-9, - and _")
        if not self.label.isprintable() or not self.label.strip():
            raise ValueError("label must be one line of text")
        if not self.issuer.isascii() or not self.issuer.isprintable() or " " in self.issuer:
            raise ValueError("issuer must be an address without blanks, in ASCII")
        parts = urlsplit(self.issuer)
        is_here = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if not parts.hostname or parts.scheme not in (("https", "http") if is_here else ("https",)):
            raise ValueError("issuer must start with https://")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("issuer must have neither a query nor a fragment nor a user")
        if any(not scope or " " in scope for scope in self.scopes):
            raise ValueError("scopes must be single words")
        if "openid" not in self.scopes:
            raise ValueError('scopes must contain "openid"')
        return self
