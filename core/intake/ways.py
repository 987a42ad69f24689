"""What would make a mail allowed: the rules are asked again with one fact changed, or two.

Pure: nothing is proposed that the rules do not confirm.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from core.accounts.permissions import Access, Grant, QueueAccess, Through, strongest
from core.i18n import N_, gettext
from core.intake.blocklist import BlockedEntry
from core.intake.decide import decide
from core.intake.decision import AppendArticle, OpenTicket, Outcome
from core.intake.facts import Facts, FollowUpFacts, Relation
from core.intake.identify import AccountFacts, Match, MatchKind
from core.labels import label
from core.mail.addresses import address_key, split_subaddress
from core.organisation import QueueFacts
from core.routing.rule import RoutingRule
from core.words import (
    Evidence,
    EvidenceDemand,
    FollowUp,
    ForbiddenRule,
    Permission,
    SenderPolicy,
    StrangersRule,
)

FALLBACK = "fallback"  # the reason of mail that is filed, but not where it was sent to
MAX_WAYS = 8
MAX_QUEUES = 3  # other queues that are proposed


class TargetKind(StrEnum):
    """What has a page where something can be changed."""

    CUSTOMER_USER = "customer-user"
    CUSTOMER_USERS = "customer-users"  # the list
    CUSTOMER = "customer"
    QUEUE = "queue"
    QUEUES = "queues"  # the list
    RULE = "rule"
    BLOCKLIST = "blocklist"
    SETTINGS = "settings"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Target:
    """Where something can be changed; ``id`` is None for what there is only one of."""

    kind: TargetKind
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """An account that comes into question, and what it may do once it is valid."""

    account: AccountFacts
    access: Access


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that could be different.

    ``what`` is a message id, ``target`` None where only the sender can change it.
    """

    what: str
    values: tuple[tuple[str, str], ...]
    target: Target | None
    apply: Callable[[Facts], Facts] = field(compare=False, repr=False)

    @property
    def sentence(self) -> str:
        """The change in the language of the reader."""
        values = dict(self.values)
        if "policy" in values:
            values["policy"] = label(SenderPolicy(values["policy"]))
        return gettext(self.what, **values)


@dataclass(frozen=True, slots=True)
class Way:
    """Changes that together make a mail allowed, and what would become of it then."""

    changes: tuple[Change, ...]
    outcome: Outcome


def ways(facts: Facts, known: Sequence[Known] = ()) -> tuple[Way, ...]:
    """Return what would make a mail allowed; nothing for one that is filed where it wants to.

    ``known`` are accounts that the mail may be from. Two changes are tried where one is not
    enough.
    """
    outcome = decide(facts).outcome
    if _is_filed(outcome) and outcome.reason != FALLBACK:
        return ()
    tried = [(change, _applied(change, facts)) for change in _changes(facts, known)]
    found = [Way((change,), decide(changed).outcome) for change, changed in tried]
    better = [way for way in found if _is_better(way.outcome, outcome)]
    if better:
        return tuple(better[:MAX_WAYS])
    pairs = _in_two_steps(tried, known)
    return tuple(islice((way for way in pairs if _is_better(way.outcome, outcome)), MAX_WAYS))


def _is_filed(outcome: Outcome) -> bool:
    return isinstance(outcome, OpenTicket | AppendArticle)


def _is_better(outcome: Outcome, now: Outcome) -> bool:
    return _is_filed(outcome) and not (outcome.reason == now.reason == FALLBACK)


def _in_two_steps(tried: Sequence[tuple[Change, Facts]], known: Sequence[Known]) -> Iterator[Way]:
    seen: set[frozenset[Change]] = set()
    for first, changed in tried:
        for second in _changes(changed, known):
            both = frozenset((first, second))
            if both in seen or first.what == second.what:
                continue
            seen.add(both)
            yield Way((first, second), decide(_applied(second, changed)).outcome)


def _applied(change: Change, facts: Facts) -> Facts:
    """Return the facts with a change that routing rules see as well."""
    changed = change.apply(facts)
    if changed.content is None:
        return changed
    content = replace(
        changed.content, recipient=changed.recipient, evidence=changed.sender.evidence
    )
    account = changed.match.account
    if changed.match is not facts.match and account is not None:
        content = replace(content, customer_number=account.customer_number, login=account.login)
    return replace(changed, content=content)


def _changes(facts: Facts, known: Sequence[Known]) -> Iterator[Change]:
    yield from _of_recipient(facts)
    if facts.blocked is not None:
        yield _unblocked(facts.blocked)
    yield from _of_routing(facts)
    yield from _of_sender(facts)
    yield from _of_match(facts, known)
    queue = _wanted_queue(facts)
    if queue is not None:
        yield from _of_permission(facts, queue)
        yield from _of_queue(facts, queue)
    yield from _of_policy(facts)


def _wanted_queue(facts: Facts) -> QueueFacts | None:
    """Return the queue that the rules answer for: the one that the mail wants to get into."""
    outcome = decide(facts).outcome
    if outcome.reason == FALLBACK:
        return facts.queue
    return facts.organisation.queues.get(outcome.queue_id or 0)


def _of_recipient(facts: Facts) -> Iterator[Change]:
    if facts.known_recipient:
        return
    queue = _queue_of(facts)
    if queue is not None:
        yield Change(
            N_("The queue %(queue)s and its group become valid."),
            (("queue", queue.name),),
            Target(TargetKind.QUEUE, queue.id),
            lambda facts: _with_valid_queue(facts, queue),
        )
        return
    writable = _writable(facts)
    if writable:
        yield Change(
            N_("%(recipient)s becomes an address of a queue, for instance of %(queue)s."),
            (("recipient", facts.recipient), ("queue", writable[0].name)),
            Target(TargetKind.QUEUES),
            lambda facts: replace(facts, known_recipient=True, queue=writable[0]),
        )


def _queue_of(facts: Facts) -> QueueFacts | None:
    """Return the invalid queue that the recipient is an address of."""
    addresses = facts.organisation.queue_by_address
    whole = address_key(facts.recipient)
    base, tag = split_subaddress(facts.recipient)
    return addresses.get(whole or "") or (addresses.get(address_key(base) or "") if tag else None)


def _with_valid_queue(facts: Facts, queue: QueueFacts) -> Facts:
    valid = replace(queue, valid=True)
    changed = replace(_with_queue(facts, valid), queue=valid, known_recipient=True)
    granted = facts.access.queues.get(queue.id) if facts.access else None
    if facts.access is None or granted is None:
        return changed
    opened = replace(granted, permission=strongest(granted.grants))
    return replace(changed, access=_with_access(facts.access, opened))


def _unblocked(entry: BlockedEntry) -> Change:
    return Change(
        N_("%(entry)s is taken off the blocklist."),
        (("entry", entry.value),),
        Target(TargetKind.BLOCKLIST),
        lambda facts: replace(facts, blocked=None),
    )


def _of_routing(facts: Facts) -> Iterator[Change]:
    fitted = decide(facts).fitted
    for rule in facts.organisation.routing:
        if rule.id in fitted:
            yield _without(rule)


def _without(rule: RoutingRule) -> Change:
    return Change(
        N_('The routing rule "%(name)s" is switched off.'),
        (("name", rule.name),),
        Target(TargetKind.RULE, rule.id),
        lambda facts: replace(
            facts,
            organisation=replace(
                facts.organisation,
                routing=tuple(each for each in facts.organisation.routing if each.id != rule.id),
            ),
        ),
    )


def _of_sender(facts: Facts) -> Iterator[Change]:
    sender = facts.sender
    if sender.own_address:
        yield Change(
            N_("One of your own servers hands the mail over (smtp.trusted_relays)."),
            (),
            Target(TargetKind.CONFIGURATION),
            lambda facts: replace(
                facts,
                sender=replace(facts.sender, own_address=False, evidence=Evidence.NEUTRAL),
            ),
        )
    elif sender.address and not facts.verified:
        yield Change(
            N_("The sender is verified, for instance by a DKIM signature of %(domain)s."),
            (("domain", sender.address.rpartition("@")[2]),),
            None,
            lambda facts: replace(
                facts,
                sender=replace(facts.sender, evidence=Evidence.VERIFIED, policy=None, doubt=False),
            ),
        )


def _of_match(facts: Facts, known: Sequence[Known]) -> Iterator[Change]:
    match facts.match.kind:
        case MatchKind.INVALID_ACCOUNT:
            yield from (_valid_again(each) for each in known)
        case MatchKind.AMBIGUOUS | MatchKind.CONFLICT:
            yield from _with_number(known)
        case MatchKind.NUMBER_ONLY | MatchKind.KNOWN_DOMAIN:
            yield from (_with_address(facts.sender.address, each) for each in known)
        case MatchKind.UNKNOWN if facts.sender.address and facts.queue is not None:
            yield _with_some_account(facts.sender.address, facts.queue)
        case _:
            return


def _valid_again(known: Known) -> Change:
    return Change(
        N_("The account %(login)s and its customer become valid."),
        (("login", known.account.login),),
        Target(TargetKind.CUSTOMER_USER, known.account.customer_user_id),
        lambda facts: _matched(facts, MatchKind.ADDRESS, known),
    )


def _with_number(known: Sequence[Known]) -> Iterator[Change]:
    numbers = [each.account.customer_number for each in known]
    for each in known:
        number = each.account.customer_number
        if numbers.count(number) == 1:
            yield _naming(each, number)


def _naming(known: Known, number: str) -> Change:
    return Change(
        N_("The mail names the Kunden# %(number)s and no other (account %(login)s)."),
        (("number", number), ("login", known.account.login)),
        None,
        lambda facts: _matched(facts, MatchKind.ADDRESS_AND_NUMBER, known),
    )


def _with_address(address: str, known: Known) -> Change:
    return Change(
        N_("%(address)s is added to the account %(login)s."),
        (("address", address), ("login", known.account.login)),
        Target(TargetKind.CUSTOMER_USER, known.account.customer_user_id),
        lambda facts: _matched(facts, MatchKind.ADDRESS_AND_NUMBER, known),
    )


def _with_some_account(address: str, queue: QueueFacts) -> Change:
    account = AccountFacts(0, "", 0, "", sees_customer_tickets=False, valid=True)
    opened = QueueAccess(queue.id, Permission.RW, (_grant(Through.DIRECT, queue),))
    known = Known(account, Access(0, 0, False, {queue.id: opened}))
    return Change(
        N_("%(address)s is added to an account that may write to %(queue)s."),
        (("address", address), ("queue", queue.name)),
        Target(TargetKind.CUSTOMER_USERS),
        lambda facts: _matched(facts, MatchKind.ADDRESS, known),
    )


def _matched(facts: Facts, kind: MatchKind, known: Known) -> Facts:
    """Return the facts of a mail that is from this account; others still have its address."""
    account = replace(known.account, valid=True)
    others = [each for each in facts.match.candidates if each.valid and each != known.account]
    match = Match(kind, account, candidates=(account, *others), numbers=facts.match.numbers)
    return replace(facts, match=match, access=known.access)


def _of_permission(facts: Facts, queue: QueueFacts) -> Iterator[Change]:
    if facts.access is None or facts.access.may_write(queue.id):
        return
    group = (("group", queue.group_name),)
    account = facts.match.account
    if account is not None:
        yield Change(
            N_("%(login)s gets read and write permission in the group %(group)s."),
            (("login", account.login), *group),
            Target(TargetKind.CUSTOMER_USER, account.customer_user_id),
            lambda facts: _permitted(facts, queue, Through.DIRECT),
        )
    yield Change(
        N_(
            "The customer %(number)s gets read and write permission in the group %(group)s, "
            "for all of its accounts."
        ),
        (("number", facts.match.customer_number or ""), *group),
        Target(TargetKind.CUSTOMER, facts.access.customer_id),
        lambda facts: _permitted(facts, queue, Through.CUSTOMER),
    )
    yield Change(
        N_("Everybody gets the group %(group)s (CustomerGroupAlwaysGroups)."),
        group,
        Target(TargetKind.SETTINGS),
        lambda facts: _permitted(facts, queue, Through.ALWAYS),
    )
    for other in _writable(facts)[:MAX_QUEUES]:
        yield _sent_to(other)


def _sent_to(other: QueueFacts) -> Change:
    return Change(
        N_("The mail is sent to %(address)s (queue %(queue)s)."),
        (("address", other.address), ("queue", other.name)),
        Target(TargetKind.QUEUE, other.id),
        lambda facts: replace(facts, recipient=other.address, queue=other),
    )


def _permitted(facts: Facts, queue: QueueFacts, through: Through) -> Facts:
    assert facts.access is not None
    granted = facts.access.queues.get(queue.id)
    grants = (*(granted.grants if granted else ()), _grant(through, queue))
    opened = QueueAccess(queue.id, Permission.RW, grants)
    changed = replace(facts, access=_with_access(facts.access, opened))
    found = facts.follow_up
    if found is None or found.ticket.queue_id != queue.id:
        return changed
    return replace(changed, follow_up=_reachable(found, changed))


def _reachable(found: FollowUpFacts, facts: Facts) -> FollowUpFacts:
    may_reply = facts.access is not None and facts.access.may_reply(found.ticket)
    return replace(found, allowed=found.relation is not Relation.FOREIGN, may_reply=may_reply)


def _of_queue(facts: Facts, queue: QueueFacts) -> Iterator[Change]:
    if facts.match.kind is MatchKind.UNKNOWN:
        yield _rule(
            N_("The queue %(queue)s accepts mail of unknown senders."),
            replace(queue, strangers=StrangersRule.ACCEPT),
        )
    if _writable(facts):
        yield _rule(
            N_("The queue %(queue)s lets mail that is not permitted fall back to another queue."),
            replace(queue, forbidden=ForbiddenRule.FALLBACK),
        )
    if queue.evidence is not EvidenceDemand.ANY:
        yield _rule(
            N_("The queue %(queue)s demands no verified sender."),
            replace(queue, evidence=EvidenceDemand.ANY),
        )
    if facts.follow_up is not None:
        yield _rule(
            N_("A reply opens a closed ticket of the queue %(queue)s again."),
            replace(queue, follow_up=FollowUp.POSSIBLE),
        )


def _rule(what: str, changed: QueueFacts) -> Change:
    return Change(
        what,
        (("queue", changed.name),),
        Target(TargetKind.QUEUE, changed.id),
        lambda facts: _with_queue(facts, changed),
    )


def _of_policy(facts: Facts) -> Iterator[Change]:
    for policy in SenderPolicy:
        if policy is not facts.policy:
            yield _under(policy)


def _under(policy: SenderPolicy) -> Change:
    return Change(
        N_('Trust in senders is set to "%(policy)s".'),
        (("policy", policy.value),),
        Target(TargetKind.SETTINGS),
        lambda facts: _with_policy(facts, policy),
    )


def _with_policy(facts: Facts, policy: SenderPolicy) -> Facts:
    settings = facts.organisation.settings.model_copy(update={"sender_policy": policy})
    return replace(facts, organisation=replace(facts.organisation, settings=settings))


def _with_queue(facts: Facts, queue: QueueFacts) -> Facts:
    queues = {**facts.organisation.queues, queue.id: queue}
    is_wanted = facts.queue is not None and facts.queue.id == queue.id
    return replace(
        facts,
        organisation=replace(facts.organisation, queues=queues),
        queue=queue if is_wanted else facts.queue,
    )


def _with_access(access: Access, opened: QueueAccess) -> Access:
    return replace(access, queues={**access.queues, opened.queue_id: opened})


def _grant(through: Through, queue: QueueFacts) -> Grant:
    return Grant(Permission.RW, through, queue.group_id)


def _writable(facts: Facts) -> list[QueueFacts]:
    """Return the queues that the sender may write to by mail."""
    writable = facts.access.writable_queues if facts.access else ()
    queues = (facts.organisation.queues[queue_id] for queue_id in writable)
    return [queue for queue in queues if queue.address]
