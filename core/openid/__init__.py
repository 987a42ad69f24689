"""OpenID Connect: an identity provider says who somebody is. Which account that is, is decided in
``core.accounts.single_sign_on``.
"""
