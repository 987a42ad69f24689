"""Getting things by the ids in addresses and forms, which anybody can type."""

from typing import TypeVar

from sqlalchemy.orm import Session

from core.errors import NotFound
from core.i18n import gettext as _
from core.models import MAX_ID, Base

Model = TypeVar("Model", bound=Base)


def stored(session: Session, model: type[Model], object_id: int) -> Model:
    """Return a row by its id. Raises ``NotFound``."""
    found = session.get(model, object_id) if object_id <= MAX_ID else None
    if found is None:
        raise NotFound(_("There is no such thing."))
    return found
