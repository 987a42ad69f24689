"""Which held mail is looked at, as the address of a page says it."""

from dataclasses import dataclass
from urllib.parse import urlencode

from core.words import HeldState
from portal.parameters import id_of_request, text_of_request, word_of_request


@dataclass(frozen=True, slots=True)
class HeldFilter:
    """Which held mail a list shows; the pages of single mails hand it on to the next one."""

    state: HeldState
    reason: str
    queue_id: int | None
    query: str

    @property
    def parameters(self) -> dict[str, str]:
        """What stands in the address of a page for it."""
        parameters = {
            "state": "" if self.state is HeldState.WAITING else self.state.value,
            "reason": self.reason,
            "queue": str(self.queue_id or ""),
            "q": self.query,
        }
        return {name: value for name, value in parameters.items() if value}

    def at(self, page: str, **more: str) -> str:
        """Return the address of a page that hands this filter on."""
        return f"{page}?{urlencode({**self.parameters, **more})}".rstrip("?")


def filter_of_request() -> HeldFilter:
    """Return which held mail the address of this page asks for."""
    return HeldFilter(
        state=word_of_request("state", HeldState) or HeldState.WAITING,
        reason=text_of_request("reason"),
        queue_id=id_of_request("queue"),
        query=text_of_request("q"),
    )
