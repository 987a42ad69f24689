"""What the domain of a sender publishes about mail that it does not confirm (DMARC, RFC 7489)."""

from core.mail.authentication.findings import Dmarc, DmarcPolicy, Result
from core.mail.authentication.resolver import NoAnswer, Questions
from core.mail.authentication.verdict import organisational_domain

MAX_RECORD = 4096  # bytes
_VERSION = b"v=dmarc1"
_POLICIES = {each.value: each for each in DmarcPolicy if each is not DmarcPolicy.UNKNOWN}


def published_by(domain: str, questions: Questions) -> Dmarc | None:
    """Return what a domain, else its organisation, publishes; None for nothing (section 6.6.3).

    ``pct`` is ignored: a share of mail that is treated differently cannot be explained to anybody.
    """
    try:
        record = _record(domain, questions)
        if record is not None:
            return _read(record, "p")
        organisation = organisational_domain(domain)
        if organisation is None or organisation == domain:
            return None
        record = _record(organisation, questions)
    except NoAnswer:
        return Dmarc(DmarcPolicy.NONE, Result.TEMPERROR)
    return _read(record, "sp") if record is not None else None


def _record(domain: str, questions: Questions) -> dict[str, str] | None:
    """Return the tags of the one record of a domain; several are as good as none."""
    found = [
        text
        for text in questions.texts(f"_dmarc.{domain}")
        if len(text) <= MAX_RECORD
        and text.partition(b";")[0].replace(b" ", b"").replace(b"\t", b"").lower() == _VERSION
    ]
    if len(found) != 1:
        return None
    tags: dict[str, str] = {}
    for tag in found[0].decode("ascii", "replace").split(";"):
        name, equals, value = tag.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip().lower())
    return tags


def _read(tags: dict[str, str], tag: str) -> Dmarc | None:
    """Read a record; ``tag`` is the policy that applies. One without a policy asks for nothing."""
    policy = _POLICIES.get(tags.get(tag, ""), _POLICIES.get(tags.get("p", "")))
    return Dmarc(
        policy or DmarcPolicy.NONE,
        strict_dkim=tags.get("adkim") == "s",
        strict_spf=tags.get("aspf") == "s",
    )
