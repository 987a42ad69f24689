"""Files that somebody sends with a message, within the limits of the settings."""

from werkzeug.datastructures import FileStorage
from wtforms import MultipleFileField

from core.errors import Invalid
from core.i18n import gettext as _
from core.i18n import ngettext
from core.mail.uploads import Upload
from portal.formats import file_size
from portal.forms import uploaded
from portal.visitors import organisation


def uploads_of(field: MultipleFileField) -> list[Upload]:
    """Return the files that came. Raises ``Invalid`` beyond the limits of the settings."""
    limits = organisation().settings
    files = uploaded(field)
    if len(files) > limits.upload_max_files:
        raise Invalid(field.short_name, _files_allowed(limits.upload_max_files))
    found = [_upload(file) for file in files]
    if sum(len(upload.content) for upload in found) > limits.upload_max_bytes:
        limit = file_size(limits.upload_max_bytes)
        raise Invalid(field.short_name, _("All files together may have %(limit)s.", limit=limit))
    return found


def _files_allowed(limit: int) -> str:
    if limit == 0:
        return _("No files can be sent.")
    return ngettext("At most %(num)d file.", "At most %(num)d files.", limit)


def _upload(file: FileStorage) -> Upload:
    return Upload(file.filename or "", file.content_type or "", file.read())
