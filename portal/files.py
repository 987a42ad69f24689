"""Files and HTML that somebody has sent, as answers that cannot run code in our pages."""

import re
from urllib.parse import quote

from flask import make_response
from werkzeug.http import dump_options_header
from werkzeug.wrappers import Response

from core.mail.text import one_line
from core.tickets.view import OCTETS, File
from portal.headers import FILE_POLICY, FRAME_POLICY

FRAME = (
    '<!doctype html><html><head><meta charset="utf-8"><base target="_blank"></head>'
    "<body>{}</body></html>"
)


def file_response(file: File, *, inline: bool = False) -> Response:
    """Return a file to be saved; with ``inline`` a picture to be shown (threats M10, M11).

    The media type is never the sender's word: it is a picture's by its bytes, else octets.
    """
    is_picture = file.served_as != OCTETS
    response = make_response(file.content)
    response.content_type = file.served_as
    disposition = "inline" if inline and is_picture else "attachment"
    response.headers["Content-Disposition"] = f"{disposition}; {_file_name(file.filename)}"
    response.headers["Content-Security-Policy"] = FILE_POLICY
    return response


def _file_name(text: str) -> str:
    """Return the parameters of a file name (RFC 6266 4.3): for old browsers, then as it is."""
    name = re.sub(r"[/\\]", "_", one_line(text)) or "file"
    plain = name.encode("ascii", "replace").decode()
    options = {"filename": plain.replace("?", "_"), "filename*": f"UTF-8''{quote(name, safe='')}"}
    return dump_options_header(None, options)


def frame_response(html: str, *, remote_images: bool = False) -> Response:
    """Return the HTML of a mail as the document of a sandboxed frame, with a policy of its own."""
    response = make_response(FRAME.format(html))
    policy = FRAME_POLICY
    if remote_images:
        policy = policy.replace("img-src data:", "img-src data: https:")
    response.headers["Content-Security-Policy"] = policy
    return response
