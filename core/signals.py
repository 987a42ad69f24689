"""Being told to stop: what every program of ours that waits for something waits with."""

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Self

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """Turns the signals that ask a process to stop, and the ends of children, into a wake-up.

    To be used as a context manager in the main thread. A signal handler may do almost nothing
    safely, so all it does is to wake ``wait`` up through a socket.
    """

    def __init__(self) -> None:
        self.count = 0
        self._reading, self._writing = socket.socketpair()
        self._handlers = {
            **dict.fromkeys(STOPPING, self._asked_to_stop),
            signal.SIGCHLD: lambda _signal, _frame: None,
        }

    @property
    def stopping(self) -> bool:
        """Whether the process was asked to stop."""
        return self.count > 0

    def wait(self, seconds: float) -> bool:
        """Wait for a signal, at most so long; return whether the process was asked to stop."""
        if not self.stopping:
            self.wait_for_any(seconds)
        return self.stopping

    def wait_for_any(self, seconds: float) -> None:
        """Wait for a signal, at most so long, also after the process was asked to stop."""
        ready, _writable, _failed = select.select([self._reading], [], [], max(seconds, 0))
        if ready:
            self._reading.recv(4096)

    def __enter__(self) -> Self:
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, handler) for number, handler in self._handlers.items()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._reading.close()
        self._writing.close()

    def _asked_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1
