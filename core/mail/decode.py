"""From bytes to text: transfer encodings, charsets, encoded words, names of files."""

import base64
import binascii
import codecs
import quopri
import re
from email.header import decode_header
from email.message import Message as EmailMessage

from core.mail.structure import Part
from core.mail.text import one_line

MAX_FILENAME = 200
_WHITE_SPACE = re.compile(rb"[\r\n \t]+")

# Charsets that real mail uses. Python knows more "text" codecs, some of which execute escapes or
# take seconds for a line; none of those is ever asked.
_CHARSETS = frozenset(
    codecs.lookup(name).name
    for name in (
        *("ascii", "utf-8", "utf-16", "utf-32", "koi8-r", "koi8-u", "mac-roman", "cp437", "cp850"),
        *(f"iso8859-{n}" for n in range(1, 17) if n != 12),
        *(f"cp125{n}" for n in range(9)),
        *("iso2022-jp", "shift-jis", "euc-jp", "cp932", "euc-kr", "cp949", "iso2022-kr"),
        *("gb2312", "gbk", "gb18030", "big5", "cp950", "tis-620", "cp874"),
    )
)


def decode_text(content: bytes, charset: str) -> str:
    """Return bytes as text; an unknown charset and wrong bytes never raise.

    Without a usable charset UTF-8 is tried, then every byte is a character (ISO 8859-1).
    """
    name = known_charset(charset)
    if name is not None and name != "ascii":
        try:
            return content.decode(name)
        except UnicodeDecodeError:
            if name != "utf-8":
                return content.decode(name, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1") if name is None else content.decode("utf-8", "replace")


def known_charset(charset: str) -> str | None:
    """Return the codec for a charset that real mail uses, None for every other."""
    if not charset.isascii() or len(charset) > 40 or "\0" in charset:
        return None
    try:
        name = codecs.lookup(charset.strip().strip("'\"")).name
    except LookupError:
        return None
    return name if name in _CHARSETS else None


def decode_body(part: Part, raw: bytes, limit: int | None = None) -> bytes:
    """Return a part's body without its transfer encoding, from at most ``limit`` encoded bytes."""
    end = part.end if limit is None else min(part.end, part.start + limit)
    content = raw[part.start : end]
    encoding = part.first(b"content-transfer-encoding").strip().lower()
    if encoding == b"base64":
        return _decode_base64(content)
    if encoding == b"quoted-printable":
        return quopri.decodestring(content)
    return content


def _decode_base64(content: bytes) -> bytes:
    try:
        return binascii.a2b_base64(content)
    except binascii.Error:  # cut off, or with rubbish: what is whole is decoded
        clean = re.sub(rb"[^A-Za-z0-9+/]", b"", content)
        clean = clean[: len(clean) - (1 if len(clean) % 4 == 1 else 0)]
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))


def decoded_size(part: Part, raw: bytes) -> int:
    """Return the size of a part's decoded body, in bytes; exact for well-formed encodings."""
    encoding = part.first(b"content-transfer-encoding").strip().lower()
    if encoding == b"base64":
        length = part.end - part.start
        for blank in (b"\n", b"\r", b" "):
            length -= raw.count(blank, part.start, part.end)
        tail = raw[max(part.start, part.end - 8) : part.end]
        return max(0, length // 4 * 3 - tail.count(b"="))
    if encoding == b"quoted-printable":
        return len(decode_body(part, raw))
    return part.end - part.start


def header_text(value: bytes) -> str:
    """Return a header field as text: UTF-8 (RFC 6532), else ISO 8859-1; words not decoded."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def decode_words(text: str) -> str:
    """Return a header text with its encoded words (RFC 2047) decoded, as one clean line."""
    if "=?" in text:
        try:
            pieces = decode_header(text)
        except ValueError:  # damaged base64: shown as it is
            return one_line(text)
        text = "".join(
            piece if isinstance(piece, str) else decode_text(piece, charset or "us-ascii")
            for piece, charset in pieces
        )
    return one_line(text)


def parameter(part: Part, header: bytes, name: str) -> str:
    """Return a parameter of a structured field, RFC 2231 and RFC 2047 decoded, "" for none."""
    value = part.first(header)
    if name.encode() not in value.lower():
        return ""
    holder = EmailMessage()
    holder[header.decode("ascii")] = header_text(value)
    try:
        found = holder.get_param(name, "", header.decode("ascii"))
    except (ValueError, LookupError):
        return ""
    if isinstance(found, tuple):  # charset, language, value with one character for each byte
        charset, _language, text = found
        try:
            octets = text.encode("latin-1")
        except UnicodeEncodeError:  # it was text already, beside RFC 2231
            octets = text.encode("utf-8", "replace")
        return one_line(decode_text(octets, charset or "utf-8"))
    return decode_words(str(found))


def filename(part: Part) -> str:
    """Return the name of a part's file: data, not a path; "" when it has none."""
    name = parameter(part, b"content-disposition", "filename") or parameter(
        part, b"content-type", "name"
    )
    name = name.replace("\\", "/").rpartition("/")[2].strip(". ") or ("" if not name else "file")
    if len(name) <= MAX_FILENAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    if dot and len(suffix) <= 10:
        return f"{stem[: MAX_FILENAME - len(suffix) - 1]}.{suffix}"
    return name[:MAX_FILENAME]
