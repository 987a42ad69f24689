"""Getting things by the ids in addresses and forms, which anybody can type."""

from typing import TypeVar

from flask import request
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.i18n import gettext as _
from core.models import Base

Model = TypeVar("Model", bound=Base)

MAX_ID = 2**31 - 1  # what the narrowest id column of both databases can hold


def stored(session: Session, model: type[Model], object_id: int) -> Model:
    """Return a row by its id. Raises ``NotFound``."""
    found = session.get(model, object_id) if object_id <= MAX_ID else None
    if found is None:
        raise NotFound(_("There is no such thing."))
    return found


def id_of_request(name: str) -> int | None:
    """Return an id from the address of the page; what can be none is as if it were not there."""
    found = request.args.get(name, type=int)
    return found if found is not None and 0 < found <= MAX_ID else None
