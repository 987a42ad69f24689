"""Whether a client may send for the domain of the reverse-path (SPF, RFC 7208), by pyspf."""

import spf

from core.mail.addresses import domain_key
from core.mail.authentication.findings import Result, Spf
from core.mail.authentication.resolver import NoAnswer, Questions

MAX_RECORD = 4096  # bytes; pyspf's regular expressions take their time on longer ones
_RESULTS = {each.value: each for each in Result}


def check_client(peer: str, helo: str, mail_from: str, questions: Questions) -> Spf | None:
    """Return the result for a client's address; None for the null reverse-path.

    What a client says in HELO proves nothing about the sender, so it is not asked for.
    """
    local, _at, domain = mail_from.rpartition("@")
    key = domain_key(domain)
    if not key:
        return None
    try:
        result = _Query(peer, f"{local}@{key}", helo, questions).check()[0]
    except Exception:  # noqa: BLE001 - records of strangers: whatever goes wrong is their error
        result = Result.PERMERROR.value
    return Spf(_RESULTS.get(result, Result.PERMERROR), key)


class _Query(spf.query):  # type: ignore[misc] # pyspf has no types
    """pyspf's evaluation over our look-ups: it counts mechanisms, we keep the time."""

    def __init__(self, peer: str, mail_from: str, helo: str, questions: Questions) -> None:
        super().__init__(i=peer, s=mail_from, h=helo)
        self._questions = questions

    def dns(
        self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False
    ) -> list[object]:
        """Return records in pyspf's forms. Raises its errors."""
        key = str(name).rstrip(".").lower()
        try:
            records = self._questions.ask(key, qtype)
        except NoAnswer:
            raise spf.TempError("name servers did not answer") from None
        if not records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError("too many look-ups without an answer")
        match qtype:
            case "TXT":
                return [list(each) for each in records if sum(map(len, each)) <= MAX_RECORD]
            case "MX":
                return [(int(preference), host.decode()) for preference, host in records]
            case _:
                return [value.decode() for (value,) in records]

    def get_explanation(self, spec: str) -> str:
        """Look nothing up for a text that nobody is shown."""
        return ""
