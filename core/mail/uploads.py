"""Files as a browser sent them, on their way into a message."""

from typing import NamedTuple

from core.mail.text import one_line

MAX_FILENAME = 200


class Upload(NamedTuple):
    """A file as a browser sent it."""

    filename: str
    content_type: str
    content: bytes

    @property
    def name(self) -> str:
        """The name as one clean line, never empty."""
        return one_line(self.filename)[:MAX_FILENAME] or "file"

    @property
    def media_type(self) -> tuple[str, str]:
        """The media type in two parts; octets where it is none, or where readers would unpack it.

        A part that calls itself ``message/…`` or ``multipart/…`` would become a part of our own
        message, and not stay a file.
        """
        main, _slash, sub = self.content_type.partition(";")[0].strip().partition("/")
        token = sub.replace("-", "").replace(".", "").replace("+", "")
        is_plain = f"{main}{token}".isascii() and main.isalpha() and token.isalnum()
        if main in {"message", "multipart"} or not is_plain:
            return "application", "octet-stream"
        return main, sub
