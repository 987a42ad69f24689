"""Files as a browser sent them, on their way into a message."""

from typing import NamedTuple

from core.mail.decode import clean_filename

MAX_TYPE = 100  # characters of a media type; RFC 6838 4.2 allows 127 in each part


class Upload(NamedTuple):
    """A file as a browser sent it."""

    filename: str
    content_type: str
    content: bytes

    @property
    def name(self) -> str:
        """The name as one clean line, without folders, never empty."""
        return clean_filename(self.filename)

    @property
    def media_type(self) -> tuple[str, str]:
        """The media type in two parts; octets where it is none, or where readers would unpack it.

        A part that calls itself ``message/…`` or ``multipart/…`` would become a part of our own
        message, and not stay a file.
        """
        main, _slash, sub = self.content_type.partition(";")[0].strip().lower().partition("/")
        token = sub.replace("-", "").replace(".", "").replace("+", "")
        is_plain = f"{main}{token}".isascii() and main.isalpha() and token.isalnum()
        is_short = len(main) + len(sub) < MAX_TYPE
        if main in {"message", "multipart"} or not (is_plain and is_short):
            return "application", "octet-stream"
        return main, sub
