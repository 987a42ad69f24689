"""Reply templates: texts that staff begin a reply with, for one queue or for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, joinedload

from core.accounts.queues import queue_named
from core.accounts.saving import Problems, check_version, clean_texts, holder_of_name, store
from core.audit import Actor
from core.errors import Duplicate, Invalid, NotFound
from core.i18n import LANGUAGES
from core.i18n import gettext as _
from core.models import Queue, ReplyTemplate
from core.outgoing.placeholders import PLACEHOLDERS, check_placeholders

KIND = "reply-template"  # in the audit log


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateValues:
    """What can be entered for a template; ``queue`` is a name, "" for all of them.

    ``language`` "" fits every customer.
    """

    name: str
    queue: str = ""
    language: str = ""
    text: str
    valid: bool = True


def template_values(template: ReplyTemplate) -> TemplateValues:
    """Return what is stored of a template."""
    return TemplateValues(
        name=template.name,
        queue=template.queue.name if template.queue is not None else "",
        language=template.language,
        text=template.text,
        valid=template.valid,
    )


def save_template(
    session: Session,
    actor: Actor,
    values: TemplateValues,
    current: ReplyTemplate | None = None,
    version: int | None = None,
) -> ReplyTemplate:
    """Create a template, or change ``current`` where it differs.

    Raises ``InvalidFields``, and ``Stale`` when ``version`` is not the stored one.
    """
    check_version(session, current, version)
    problems = Problems()
    values = clean_texts(values, ReplyTemplate, problems, required=("name", "text"), long=("text",))
    with problems.gathered():
        _check_name(session, values.name, current)
    with problems.gathered():
        check_placeholders(values.text, PLACEHOLDERS, "text")
    if values.language and values.language not in LANGUAGES:
        problems.add(Invalid("language", _("There is no such language.")))
    queue: Queue | None = None
    with problems.gathered():
        queue = _queue(session, values.queue)
    problems.raise_any()
    before = template_values(current) if current is not None else None
    template = current if current is not None else ReplyTemplate()
    if values == before:
        return template
    template.name, template.text = values.name, values.text
    template.queue, template.language = queue, values.language
    template.valid = values.valid
    store(session, actor, KIND, template, template.name, before, values)
    return template


def templates_for(session: Session, queue_id: int, language: str) -> Sequence[ReplyTemplate]:
    """Return the valid templates for a reply in a queue, in the order of their names.

    Those in another language than the customer's are left out; ``language`` "" leaves out none.
    """
    statement = (
        select(ReplyTemplate)
        .where(
            ReplyTemplate.valid,
            or_(ReplyTemplate.queue_id.is_(None), ReplyTemplate.queue_id == queue_id),
        )
        .order_by(ReplyTemplate.name, ReplyTemplate.id)
    )
    if language:
        statement = statement.where(ReplyTemplate.language.in_(("", language)))
    return session.scalars(statement).all()


def all_templates(session: Session) -> Sequence[ReplyTemplate]:
    """Return every template with its queue, in the order of their names."""
    statement = select(ReplyTemplate).options(joinedload(ReplyTemplate.queue))
    return session.scalars(statement.order_by(ReplyTemplate.name, ReplyTemplate.id)).all()


def _check_name(session: Session, name: str, current: ReplyTemplate | None) -> None:
    holder = holder_of_name(session, ReplyTemplate, name, current)
    if holder is not None:
        text = _('There is already a template "%(name)s".', name=holder.name)
        raise Duplicate("name", text, holder)


def _queue(session: Session, name: str) -> Queue | None:
    if not name:
        return None
    try:
        return queue_named(session, name)
    except NotFound as missing:
        raise Invalid("queue", str(missing)) from None
