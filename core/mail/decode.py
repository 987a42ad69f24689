"""From bytes to text: transfer encodings, charsets, encoded words, names of files."""

import binascii
import codecs
import quopri
import re
from encodings.aliases import aliases

from core.mail.parameters import read_parameter
from core.mail.structure import Part
from core.mail.text import one_line

MAX_FILENAME = 200
_TOKEN = re.compile(rb"[\w-]+")

# Charsets that real mail uses. Python knows more "text" codecs, some of which execute escapes or
# take seconds for a line; none of those is ever asked. ASCII is missing: mail that says so and has
# other bytes is read like mail that says nothing.
_CHARSETS = (
    *("utf_8", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "latin_1"),
    *(f"iso8859_{n}" for n in range(2, 17) if n != 12),
    *(f"cp125{n}" for n in range(9)),
    *("cp437", "cp850", "cp852", "cp858", "cp866", "cp874", "koi8_r", "koi8_u", "mac_roman"),
    *("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_3", "iso2022_jp_ext"),
    *("shift_jis", "cp932", "euc_jp", "iso2022_kr", "euc_kr", "cp949", "johab"),
    *("gb2312", "gbk", "gb18030", "hz", "big5", "big5hkscs", "cp950", "tis_620"),
)
# What a charset is read as: the larger one that mailers mean by the name, as browsers do it (WHATWG
# Encoding Standard), so that a quotation mark or a rarer ideograph is not lost.
_READ_AS = {
    "utf_8_sig": "utf_8",
    "latin_1": "cp1252",
    "iso2022_jp": "iso2022_jp_ext",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
_MORE_NAMES = {
    "iso_8859_8_i": "iso8859_8",
    "iso_2022_jp_ms": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "x_sjis": "cp932",
    "x_gbk": "gb18030",
    "x_big5": "big5",
    "x_mac_roman": "mac_roman",
}
_CODECS = {
    **{name: _READ_AS.get(name, name) for name in _CHARSETS},
    **{alias: _READ_AS.get(name, name) for alias, name in aliases.items() if name in _CHARSETS},
    **_MORE_NAMES,
}

# RFC 2047. Blanks and lone question marks inside a word are wrong, and common.
_WORD = re.compile(
    r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*(?:(?<!=)\?(?!=)[^?]*){0,20})\?="
    r"(?:\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?))?"
)


def decode_text(content: bytes, charset: str) -> str:
    """Return bytes as text; an unknown charset and wrong bytes never raise.

    Without a usable charset UTF-8 is tried, then Windows' western charset, which has a character
    for nearly every byte. A character cut in two at the end is no reason to leave UTF-8.
    """
    codec = codec_of(charset)
    if codec is not None:
        text = content.decode(codec, "replace")
    else:
        try:
            text = codecs.utf_8_decode(content, "strict", False)[0]
        except UnicodeDecodeError:
            text = content.decode("cp1252", "replace")
    return text.removeprefix("\ufeff")


def codec_of(charset: str) -> str | None:
    """Return Python's name for a charset that real mail uses, None for every other."""
    return _CODECS.get(charset.strip(" '\"").lower().replace("-", "_").replace(" ", "_"))


def decode_body(part: Part, raw: bytes, limit: int | None = None) -> bytes:
    """Return a part's body without its transfer encoding, from at most ``limit`` encoded bytes."""
    end = part.end if limit is None else min(part.end, part.start + limit)
    content = raw[part.start : end]
    encoding = _transfer_encoding(part)
    if encoding == b"base64":
        return _decode_base64(content)
    if encoding == b"quoted-printable":
        return quopri.decodestring(content)
    return content


def _transfer_encoding(part: Part) -> bytes:
    found = _TOKEN.search(part.first(b"content-transfer-encoding"))
    return found[0].lower() if found else b""


def _decode_base64(content: bytes) -> bytes:
    """Decode base64 as far as its padding; what is cut off or damaged gives what is whole."""
    try:
        return binascii.a2b_base64(content)
    except binascii.Error:
        clean = re.sub(rb"[^A-Za-z0-9+/]", b"", content.partition(b"=")[0])
        whole = len(clean) - (len(clean) % 4 == 1)
        return binascii.a2b_base64(clean[:whole] + b"=" * (-whole % 4))


def decoded_size(part: Part, raw: bytes) -> int:
    """Return the size of a part's decoded body, in bytes.

    For base64 it is counted, not decoded: exact unless other characters stand between.
    """
    encoding = _transfer_encoding(part)
    if encoding == b"base64":
        padding = raw.find(b"=", part.start, part.end)
        if padding >= 0 and raw[padding : part.end].strip(b"=\r\n\t "):
            return len(decode_body(part, raw))
        end = part.end if padding < 0 else padding
        blanks = sum(raw.count(blank, part.start, end) for blank in (b"\n", b"\r", b" "))
        return (end - part.start - blanks) * 3 // 4
    if encoding == b"quoted-printable":
        return len(decode_body(part, raw))
    return part.end - part.start


def header_text(value: bytes) -> str:
    """Return a header field as text: UTF-8 (RFC 6532), else western; words not decoded."""
    return decode_text(value, "")


def decode_words(text: str) -> str:
    """Return a header text with its encoded words (RFC 2047) decoded, as one clean line.

    Words of one charset that follow each other are put together before they are decoded: mailers
    break them inside a character (RFC 2047 5 forbids it). White space between words is none (6.2).
    """
    if "=?" not in text:
        return one_line(text)
    pieces: list[str] = []
    octets, charset, end = b"", "", 0
    for word in _WORD.finditer(text):
        its_charset = word[1].partition("*")[0].lower()  # RFC 2231 5: a language may follow
        if octets and (word.start() > end or its_charset != charset):
            pieces.append(decode_text(octets, charset))
            octets = b""
        pieces.append(text[end : word.start()])
        octets += _word_octets(word)
        charset, end = its_charset, word.end()
    return one_line("".join([*pieces, decode_text(octets, charset), text[end:]]))


def _word_octets(word: re.Match[str]) -> bytes:
    """Return what a word stands for; one that is damaged beyond reading stands for itself."""
    encoded = word[3].encode("utf-8", "replace")
    if word[2] in "bB":
        return _decode_base64(encoded) or (word[0].encode("utf-8", "replace") if encoded else b"")
    return quopri.decodestring(encoded, header=True)


def parameter(part: Part, header: bytes, name: bytes) -> str:
    """Return a parameter of a structured field as one clean line, "" for none."""
    found = read_parameter(part.first(header), name, token=name == b"charset")
    if found is None:
        return ""
    if found.charset is None:
        return decode_words(header_text(found.octets))
    return one_line(decode_text(found.octets, found.charset))


def filename(part: Part) -> str:
    """Return the name of a part's file: data, not a path; "" when it has none."""
    name = parameter(part, b"content-disposition", b"filename") or parameter(
        part, b"content-type", b"name"
    )
    return clean_filename(name) if name else ""


def clean_filename(name: str) -> str:
    """Return a file's name without folders and as one line, of at most 200 characters."""
    last = one_line(name).replace("\\", "/").rpartition("/")[2].strip(". ")
    return shorter_filename(last or "file", MAX_FILENAME)


def shorter_filename(name: str, limit: int) -> str:
    """Return a name of at most ``limit`` characters, which keeps its ending, such as ``.pdf``."""
    if len(name) <= limit:
        return name
    stem, dot, suffix = name.rpartition(".")
    if dot and len(suffix) <= 10:
        return f"{stem[: limit - len(suffix) - 1]}.{suffix}"
    return name[:limit]
