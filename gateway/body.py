"""The message after DATA, taken apart as it arrives; knows bytes only, no connection.

Only CRLF.CRLF ends a message (RFC 5321 4.1.1.4). Whoever lets a bare LF do it can be made to see
two messages where the sender's server saw one (threat P1).
"""

import re

from core.intake.incoming import Reply
from gateway.limits import Limits
from gateway.replies import BARE_LINE_END, LINE_TOO_LONG, TOO_BIG

_END = b"\r\n.\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")


class Body:
    """A message in the making.

    Feed it until it is ``complete``. ``content`` are the lines received so far, without stuffed
    dots; the caller may move them elsewhere and clear it at any time. With a ``problem`` nothing
    is kept any more, the rest is only read to find its end. ``rest`` are the bytes after the end.

    ``normalise`` turns a bare LF into CRLF where it would else be a problem.
    """

    def __init__(self, max_bytes: int, limits: Limits, *, normalise: bool = False) -> None:
        self._max_bytes = max_bytes
        self._limits = limits
        self._normalise = normalise
        # The line that is not complete yet, with the line end before it. The first line has none:
        # this one stands for the end of the DATA command.
        self._open = b"\r\n"
        self.content = bytearray()
        self.size = 0
        self.received = 0
        self.problem: Reply | None = None
        self.complete = False
        self.rest = b""

    @property
    def overrun(self) -> bool:
        """Whether so much came of a refused message that the connection is to be cut."""
        over = self.received > self._max_bytes + self._limits.overrun_bytes
        return over and self.problem is not None

    def feed(self, chunk: bytes) -> None:
        """Take in what was received next, at most ``line_bytes`` at once."""
        self.received += len(chunk)
        data = self._open + chunk
        end = data.find(_END, max(0, len(self._open) - len(_END) + 1))
        if end >= 0:
            self.complete = True
            self.rest = data[end + len(_END) :]
        if self.problem is None:
            lines_end = end if end >= 0 else data.rfind(b"\r\n")
            self._check_length(data, lines_end)
            self._take(data[:lines_end])
            self._open = data[lines_end:]
        if self.problem is not None:
            self._open = data[1 - len(_END) :]

    def _check_length(self, data: bytes, lines_end: int) -> None:
        """Only the first line can be too long: the others are shorter than a chunk."""
        # While the line is not complete, its last byte may be the CR of its end.
        length = data.find(b"\r\n", 2) - 2 if lines_end > 0 else len(data) - 3
        if length > self._limits.line_bytes:
            self.give_up(LINE_TOO_LONG)

    def _take(self, lines: bytes) -> None:
        """Keep complete lines, each given with the line end before it instead of its own."""
        if self.problem is not None or not lines:
            return
        line_ends = lines.count(b"\r\n")
        bare_lf = lines.count(b"\n") != line_ends
        bare_cr = lines.count(b"\r") != line_ends
        if (bare_lf or bare_cr) and not self._normalise:
            self.give_up(BARE_LINE_END)
            return
        lines = lines.replace(b"\r\n.", b"\r\n")  # RFC 5321 4.5.2
        if bare_lf:
            lines = _BARE_LF.sub(b"\r\n", lines)
        self.size += len(lines)
        if self.size > self._max_bytes:
            self.give_up(TOO_BIG)
            return
        self.content += lines[2:]
        self.content += b"\r\n"

    def give_up(self, problem: Reply) -> None:
        """Keep nothing of this message; ``problem`` is the answer to it."""
        self.problem = problem
        self.content.clear()
