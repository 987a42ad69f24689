"""The clean form of tags: words that staff and rules put on tickets (German: Schlagwort)."""

from collections.abc import Iterable

from core.errors import Invalid
from core.i18n import gettext as _
from core.mail.text import one_line
from core.routing.rule import MAX_TAG, MAX_TAGS
from core.text import exact


def clean_tags(entered: Iterable[str], field: str = "tags") -> tuple[str, ...]:
    """Return tags as they are stored: one line each, in lower case, each once, in their order.

    What is empty is left out. Raises ``Invalid`` for too many, for one that is too long, and for
    one with a comma, which stands between tags where they are entered.
    """
    tags = tuple(dict.fromkeys(filter(None, (exact(one_line(tag)).lower() for tag in entered))))
    if len(tags) > MAX_TAGS:
        raise Invalid(field, _("At most %(limit)d entries.", limit=MAX_TAGS))
    for tag in tags:
        if len(tag) > MAX_TAG:
            raise Invalid(field, _("At most %(limit)d characters.", limit=MAX_TAG))
        if "," in tag:
            raise Invalid(field, _("A tag has no comma."))
    return tags
