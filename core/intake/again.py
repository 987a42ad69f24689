"""Mail decided again, today: as it came in, under the rules as they are or might be.

Nothing is recorded. What an edit of settings or rules would change is seen by deciding the last
mails under both organisations; whatever else has changed since then is the same on both sides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from core.accounts.queues import QueueValues
from core.errors import NotFound
from core.i18n import gettext as _
from core.intake.decide import decide
from core.intake.decision import AppendArticle, Decision, OpenTicket, Step
from core.intake.facts import Facts
from core.intake.gather import gather
from core.intake.incoming import Envelope, Incoming
from core.intake.prepare import Prepared, prepare
from core.mail.addresses import address_key
from core.mail.authentication.findings import Findings
from core.models import Mail, ticket_number
from core.organisation import Organisation, always_groups, domains_of
from core.portions import in_portions
from core.routing.rule import RuleValues
from core.routing.rules import all_rules, facts_of
from core.settings import Settings
from core.words import DecisionKind, Flag, ForbiddenRule, Priority, Protocol, TicketState

LAST = 100  # mails that are tried
LOOKED_AT = 10  # times as many are looked at to find them
MAX_SIZE = 1024 * 1024  # bytes of a mail that is tried
_PORTION = 10  # mails in memory at once


@dataclass(frozen=True, slots=True)
class Summary:
    """What is decided for one recipient, with the names of what it names.

    ``ticket`` is a number. ``priority`` and ``state`` are None for what is usual. ``because`` is
    the step that made it so.
    """

    kind: DecisionKind
    reason: str
    queue: str
    ticket: int | None
    flag: Flag | None
    priority: Priority | None
    state: TicketState | None
    tags: tuple[str, ...]
    because: Step


@dataclass(frozen=True, slots=True)
class Difference:
    """One recipient of a mail for whom the two sides decide differently."""

    reference: str
    recipient: str
    subject: str
    from_: str
    received_at: datetime
    before: Summary
    after: Summary


@dataclass(frozen=True, slots=True)
class Comparison:
    """The last mails decided twice.

    ``tried`` counts mails. Left out are newer or as new ones without bytes, because they were
    ``refused``, and those that are ``too_big``.
    """

    tried: int
    refused: int
    too_big: int
    differences: tuple[Difference, ...]

    @property
    def different(self) -> int:
        """How many mails are decided differently; one may have several recipients."""
        return len({each.reference for each in self.differences})

    @property
    def left_out(self) -> int:
        """How many mails could not be tried."""
        return self.refused + self.too_big


def as_it_came(mail: Mail, recipients: Sequence[str]) -> Incoming:
    """Return a mail as it came in, for these recipients. Raises ``NotFound`` without bytes."""
    if mail.raw is None:
        raise NotFound(_("The bytes of this mail are gone."))
    envelope = Envelope(
        mail_from=mail.mail_from,
        recipients=tuple(recipients),
        protocol=mail.protocol,
        peer=mail.peer,
        helo=mail.helo,
        tls=mail.tls,
        trusted=mail.trusted,
    )
    findings = Findings.from_json(mail.authentication) if mail.authentication else None
    return Incoming(envelope, mail.raw.content, mail.received_at, findings=findings)


def with_settings(organisation: Organisation, settings: Settings) -> Organisation:
    """Return the organisation under other settings, without storing them."""
    return replace(
        organisation,
        settings=settings,
        always_groups=always_groups(settings, organisation.groups),
    )


def with_queue(organisation: Organisation, queue_id: int, values: QueueValues) -> Organisation:
    """Return the organisation with a queue as it would be, without storing it.

    An address of another queue stays there; without a valid group the queue is not valid.
    """
    group_id = _id_of(values.group, organisation.groups)
    names = {queue.id: queue.name for queue in organisation.queues.values()}
    falls_back = values.forbidden is ForbiddenRule.FALLBACK
    now = organisation.queues[queue_id]
    queue = replace(
        now,
        name=values.name,
        group_id=now.group_id if group_id is None else group_id,
        group_name=values.group,
        follow_up=values.follow_up,
        forbidden=values.forbidden,
        fallback_queue_id=_id_of(values.fallback_queue, names) if falls_back else None,
        strangers=values.strangers,
        evidence=values.evidence,
        valid=values.valid and group_id is not None,
    )
    mine = {key: queue for address in values.addresses if (key := address_key(address))}
    others = {
        key: each for key, each in organisation.queue_by_address.items() if each.id != queue_id
    }
    by_address = {**mine, **others}
    return replace(
        organisation,
        queues={**organisation.queues, queue_id: queue},
        queue_by_address=by_address,
        own_domains=domains_of(by_address),
    )


def with_rule(
    session: Session, organisation: Organisation, rule_id: int | None, values: RuleValues
) -> Organisation:
    """Return the organisation with a routing rule as it would be; with None it is a new one.

    ``values`` are those that ``check_values`` returns. A new rule is asked last.
    """
    asked = {rule.id: rule for rule in organisation.routing}
    edited = facts_of(rule_id or 0, values) if values.valid else None
    order = [*(row.id for row in all_rules(session)), *([0] if rule_id is None else [])]
    routing = (edited if each == (rule_id or 0) else asked.get(each) for each in order)
    return replace(organisation, routing=tuple(each for each in routing if each is not None))


def _id_of(name: str, names: Mapping[int, str]) -> int | None:
    return next((row_id for row_id, known in names.items() if known == name), None)


def compare(
    session: Session,
    before: Organisation,
    after: Organisation,
    keys: Sequence[bytes],
    limit: int = LAST,
) -> Comparison:
    """Decide the last ``limit`` mails under both organisations, and return where they differ.

    ``keys`` are those whose tokens are believed. What was written in the portal is no mail. It
    takes about a second; ``session`` should be a reading one.

    Customer sources are not asked: who a mail is from is the same on both sides, whatever they
    would say, and so many questions at once would keep them from answering for the mail that
    comes in.
    """
    tried, refused, too_big = _last_mails(session, limit)
    differences: list[Difference] = []
    for some in in_portions(tried, _PORTION):
        mails = list(_read(session, some, keys))
        batch = [prepared for _mail, prepared in mails]
        sides = (gather(session, before, batch), gather(session, after, batch))
        for (mail, _prepared), one, other in zip(mails, *sides, strict=True):
            differences.extend(_differences(mail, one, other))
    return Comparison(len(tried), refused, too_big, tuple(differences))


def summary_of(organisation: Organisation, decision: Decision) -> Summary:
    """Return a decision with the names of what it names."""
    outcome = decision.outcome
    queue = organisation.queues.get(outcome.queue_id or 0)
    opens = outcome if isinstance(outcome, OpenTicket) else None
    return Summary(
        kind=outcome.kind,
        reason=outcome.reason,
        queue=queue.name if queue else "",
        ticket=ticket_number(outcome.ticket_id) if isinstance(outcome, AppendArticle) else None,
        flag=outcome.flag if isinstance(outcome, OpenTicket | AppendArticle) else None,
        priority=opens.priority if opens and opens.priority is not Priority.NORMAL else None,
        state=opens.state if opens and opens.state is not TicketState.NEW else None,
        tags=outcome.tags if isinstance(outcome, OpenTicket | AppendArticle) else (),
        because=_deciding_step(decision),
    )


def _deciding_step(decision: Decision) -> Step:
    """Return the last step that answered what is done; others may only add to it."""
    kind = decision.outcome.kind.value
    return next((s for s in reversed(decision.steps) if s.answer == kind), decision.steps[-1])


def _last_mails(session: Session, limit: int) -> tuple[list[int], int, int]:
    """Return the ids of the mails to try, the newest first, and how many are left out.

    Behind a flood of refused mail nothing older is searched for.
    """
    rows = session.execute(
        select(Mail.id, Mail.raw_id, Mail.size)
        .where(Mail.protocol != Protocol.PORTAL)
        .order_by(Mail.id.desc())
        .limit(limit * LOOKED_AT)
    )
    tried: list[int] = []
    refused = too_big = 0
    for mail_id, raw_id, size in rows:
        if len(tried) == limit:
            break
        if raw_id is None:
            refused += 1
        elif size > MAX_SIZE:
            too_big += 1
        else:
            tried.append(mail_id)
    return tried, refused, too_big


def _read(
    session: Session, ids: Sequence[int], keys: Sequence[bytes]
) -> Iterator[tuple[Mail, Prepared]]:
    mails = session.scalars(
        select(Mail)
        .where(Mail.id.in_(ids))
        .order_by(Mail.id.desc())
        .options(joinedload(Mail.raw), selectinload(Mail.deliveries))
    )
    for mail in mails:
        recipients = tuple(dict.fromkeys(each.recipient for each in mail.deliveries))
        incoming = as_it_came(mail, recipients)
        yield mail, prepare(incoming, keys, reference=mail.reference)


def _differences(mail: Mail, one: Sequence[Facts], other: Sequence[Facts]) -> Iterator[Difference]:
    for before, after in zip(one, other, strict=True):
        sides = _decided(before), _decided(after)
        if sides[0].outcome != sides[1].outcome:
            yield Difference(
                reference=mail.reference,
                recipient=before.recipient,
                subject=mail.subject,
                from_=mail.from_display or mail.from_address or mail.mail_from,
                received_at=mail.received_at,
                before=summary_of(before.organisation, sides[0]),
                after=summary_of(after.organisation, sides[1]),
            )


def _decided(facts: Facts) -> Decision:
    """Decide as for a mail that comes in alone: the mails that are tried are no storm."""
    return decide(replace(facts, recent={}))
