"""What a database and a page accept as text, and all texts that a message gives away."""

from collections.abc import Iterator

from core.mail.html import original_html, safe_html
from core.mail.html_text import html_to_text
from core.mail.message import Message


def is_clean(text: str) -> bool:
    """Whether text can be stored everywhere: valid Unicode, without control characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return not any((char < " " and char not in "\t\n") or "\x7f" <= char <= "\x9f" for char in text)


def texts_of(message: Message) -> Iterator[str]:
    """Yield every text that anybody can get from a message, by every way there is."""
    yield from (message.subject, message.text, message.message_id, message.reply_to)
    yield from (message.from_.address or "", message.from_.name, message.from_.display)
    yield from (*message.to, *message.cc, *message.in_reply_to, *message.references)
    yield from (*message.defects, message.parse_error or "")
    yield from message.header_values("Received")
    for attachment in message.attachments:
        yield from (attachment.filename, attachment.content_type, attachment.content_id)
    assert message.has_html or message.html is None
    html = message.html or ""
    yield from (html, html_to_text(html))
    safe = safe_html(html, lambda _cid: "/own")
    yield safe.html if safe is not None else ""
    yield original_html(html, lambda _cid: "data:image/png;base64,AA==") or ""
    assert message.received_count >= 0
    assert message.is_automatic in {True, False}
    assert message.is_delivery_report in {True, False}
