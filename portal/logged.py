"""How the log names the page of a request."""

from flask import request

SECRET_ARGUMENTS = frozenset({"token"})  # parts of an address that must not stand in a log


def logged_path() -> str:
    """Return the path that was asked for; of one that holds a secret, only its pattern.

    Who reads the log could otherwise use a link for a new password before its owner does.
    """
    rule = request.url_rule
    if rule is not None and SECRET_ARGUMENTS & rule.arguments:
        return rule.rule
    return request.path
