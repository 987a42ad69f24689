"""How values stand in filters, and when two DNs are one."""

import re
import unicodedata

DnKey = tuple[tuple[str, ...], ...]

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-")
_RDNS = re.compile(r"(?:\\.|[^\\,])+", re.DOTALL)
_PARTS = re.compile(r"(?:\\.|[^\\+])+", re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)


def escape(value: str | bytes) -> str:
    """Return a value as it stands in a filter (RFC 4515), where it is nothing but a value.

    Every octet that is not harmless is escaped, as any may be: ldap3 would strip spaces.
    """
    octets = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:02x}" for octet in octets)


def dn_key(dn: str) -> DnKey:
    """Return what is equal for two spellings of a DN (RFC 4514).

    Case, spaces around and within, the way of escaping and the order of a name's parts do not
    matter; ldap3's own ``parse_dn`` refuses names which that allows, such as ``cn=a#b``.
    """
    return tuple(
        tuple(sorted(_part_key(part) for part in _PARTS.findall(rdn))) for rdn in _RDNS.findall(dn)
    )


def _part_key(part: str) -> str:
    kind, _equals, value = part.partition("=")
    octets = _ESCAPED.sub(_unescaped, value.encode("utf-8", "surrogatepass"))
    words = unicodedata.normalize("NFKC", octets.decode("utf-8", "replace")).casefold().split()
    return f"{kind.strip().lower()}={' '.join(words)}"


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes.fromhex(code.decode("ascii")) if len(code) == 2 else code
