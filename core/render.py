"""Where the templates of pages and mails are."""

from pathlib import Path

import core


def template_dir() -> Path:
    """Return the folder of the templates: an installed wheel's, else the repository's."""
    package = Path(core.__file__).parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"
