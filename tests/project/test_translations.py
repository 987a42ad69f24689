"""Every text that people read has a German one."""

from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from tests.support.sources import PROGRAM_FOLDERS, ROOT, files

KEYWORDS = {
    "_": None,
    "gettext": None,
    "lazy_gettext": None,
    "_l": None,
    "ngettext": (1, 2),
    "lazy_ngettext": (1, 2),
    "N_": None,
}
CATALOGUES = files("core/translations/de", suffix=".po")


@cache
def texts() -> dict[str, str]:
    """Return each text of the program with the first place that uses it."""
    found: dict[str, str] = {}
    for folder, method in [
        *((name, "python") for name in PROGRAM_FOLDERS),
        ("templates", "jinja2"),
    ]:
        for file, line, text, _comments, _context in extract_from_dir(
            ROOT / folder, method_map=[("**.*" if method == "jinja2" else "**.py", method)],
            keywords=KEYWORDS,
        ):  # fmt: skip
            singular = text[0] if isinstance(text, tuple) else text
            found.setdefault(singular, f"{folder}/{file}:{line}")
    return found


def catalogue(path: Path) -> Catalog:
    with path.open("rb") as source:
        return read_po(source, locale="de", abort_invalid=True)


def is_complete(message: Message) -> bool:
    forms = message.string if isinstance(message.string, tuple) else (message.string,)
    return all(forms) and not message.fuzzy


def test_every_text_has_a_german_one() -> None:
    translated = {
        message.id[0] if isinstance(message.id, tuple) else message.id
        for path in CATALOGUES
        for message in catalogue(path)
        if is_complete(message)
    }
    assert texts(), "no texts were found: correct this test"
    missing = [f"{place}: {text!r}" for text, place in texts().items() if text not in translated]
    assert not missing, "add them to core/translations/de:\n" + "\n".join(missing)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.name)
def test_a_catalogue_is_in_order(path: Path) -> None:
    messages = [message for message in catalogue(path) if message.id]
    wrong = [
        f"{message.id!r}: {error}"
        for message in messages
        for error in [*message.check(), *([] if is_complete(message) else ["not translated"])]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_text_is_translated_in_vain() -> None:
    unused = [
        f"{path.name}: {message.id!r}"
        for path in CATALOGUES
        for message in catalogue(path)
        if message.id
        and (message.id[0] if isinstance(message.id, tuple) else message.id) not in texts()
    ]
    assert not unused, "nothing uses them any more:\n" + "\n".join(unused)


def test_one_text_has_one_translation() -> None:
    seen: dict[str, tuple[str, object]] = {}
    different = []
    for path in CATALOGUES:
        for message in catalogue(path):
            if message.id:
                first = seen.setdefault(str(message.id), (path.name, message.string))
                if first[1] != message.string:
                    different.append(f"{message.id!r}: {first[0]} and {path.name} differ")
    assert not different, "\n".join(different)
