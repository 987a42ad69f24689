"""What a mail says about the ticket that it belongs to.

A token of ours in it is proof: nobody else can make one (``core.mail.tokens``). A ticket number
in the subject is a hint, for anybody can write one. What either is worth is decided by the rules
of intake.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from core.mail.addresses import split_subaddress
from core.mail.message import Message
from core.mail.tokens import Token, TokenKind, read_token, token_in_message_id

MAX_IDS = 50  # of In-Reply-To and References that are looked at
MAX_NUMBERS = 3  # of a subject

# As our own subjects have it, and as people type it. Longer numbers are those of other systems.
_NUMBER = re.compile(r"\bTicket[ \t\u00a0]?#[ \t\u00a0]?(\d{6,10})(?!\d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Thread:
    """The tokens and ticket numbers of a mail.

    ``tokens`` are those of In-Reply-To, then of References from the newest. ``tags`` are tokens in
    sub-addresses, by envelope recipient. ``is_ours`` says that the mail carries a Message-ID that
    we gave out: it is a mail of ours that has come back.
    """

    tokens: tuple[Token, ...] = ()
    tags: Mapping[str, Token] = field(default_factory=dict)
    numbers: tuple[int, ...] = ()
    is_ours: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether there is a token of ours at all."""
        return bool(self.tokens or self.tags)

    def tokens_for(self, recipient: str, tag: str | None) -> tuple[Token, ...]:
        """Return the tokens that count for a recipient, the most telling first.

        ``tag`` is its sub-address as routing sees it, None for an address without one. What a mail
        answers comes first: people's address books keep addresses with the token of an old ticket.
        A bounce address is made for one report only, and whatever comes there is about its mail.
        """
        found = self.tags.get(recipient) if tag is not None else None
        if found is None:
            return self.tokens
        is_bounce = found.kind is TokenKind.BOUNCE
        return (found, *self.tokens) if is_bounce else (*self.tokens, found)


NO_THREAD = Thread()


def read_thread(message: Message, recipients: Sequence[str], keys: Sequence[bytes]) -> Thread:
    """Return what a message and its envelope recipients say, as far as these keys prove it."""
    numbers = _numbers(message.subject)
    if not keys:
        return Thread(numbers=numbers) if numbers else NO_THREAD
    tokens = [token_in_message_id(keys, each) for each in _answered(message)]
    return Thread(
        tokens=tuple(dict.fromkeys(token for token in tokens if token is not None)),
        tags=_tags(recipients, keys),
        numbers=numbers,
        is_ours=token_in_message_id(keys, message.message_id) is not None,
    )


def _answered(message: Message) -> Sequence[str]:
    """Return the ids of the mails that this one answers, the nearest first."""
    ids = dict.fromkeys((*message.in_reply_to, *reversed(message.references)))
    return tuple(islice(ids, MAX_IDS))


def _tags(recipients: Sequence[str], keys: Sequence[bytes]) -> dict[str, Token]:
    found = {}
    for recipient in recipients:
        _address, tag = split_subaddress(recipient)
        token = read_token(keys, tag) if tag else None
        if token is not None and token.kind in (TokenKind.THREAD, TokenKind.BOUNCE):
            found[recipient] = token
    return found


def _numbers(subject: str) -> tuple[int, ...]:
    if "#" not in subject:
        return ()
    found = (int(each[1]) for each in _NUMBER.finditer(subject))
    return tuple(islice(dict.fromkeys(found), MAX_NUMBERS))
