"""An admin without a browser: reads the form of a page and sends it back with changes."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.portal import PASSWORD, RunningPortal


@dataclass
class FormOnPage:
    """The fields of a form as a browser would send them, in the order of the page."""

    action: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)

    def value(self, name: str) -> str:
        """Return what the form would send for a field, "" if nothing."""
        return dict(self.fields).get(name, "")

    def values(self, name: str) -> list[str]:
        """Return all that the form would send for a field."""
        return [value for key, value in self.fields if key == name]

    def names(self, prefix: str) -> list[str]:
        """Return the names of fields that begin like this."""
        return [name for name, _value in self.fields if name.startswith(prefix)]


class _Reader(HTMLParser):
    """Finds the last form of the main part that is sent by POST."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FormOnPage] = []
        self._depth_of_main = 0
        self._form: FormOnPage | None = None
        self._select = ""
        self._chosen: str | None = None
        self._text_area: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "main":
            self._depth_of_main += 1
        elif tag == "form" and self._depth_of_main and given.get("method") == "post":
            self._form = FormOnPage(given.get("action", ""))
            self.forms.append(self._form)
        elif self._form is not None:
            self._field(tag, given)

    def _field(self, tag: str, given: dict[str, str]) -> None:
        assert self._form is not None
        name = given.get("name", "")
        if tag == "input" and name:
            kind = given.get("type", "text")
            if kind not in ("checkbox", "radio") or "checked" in given:
                self._form.fields.append((name, given.get("value", "")))
        elif tag == "select":
            self._select, self._chosen = name, None
        elif tag == "option" and self._select:
            if self._chosen is None or "selected" in given:  # a browser sends the first otherwise
                self._chosen = given.get("value", "")
        elif tag == "textarea":
            self._text_area = (name, [])

    def handle_data(self, data: str) -> None:
        if self._text_area is not None:
            self._text_area[1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "main":
            self._depth_of_main -= 1
        elif tag == "form":
            self._form = None
        elif tag == "select" and self._form is not None:
            self._form.fields.append((self._select, self._chosen or ""))
            self._select = ""
        elif tag == "textarea" and self._text_area is not None and self._form is not None:
            name, parts = self._text_area
            # A browser drops the line break after the tag, and sends others as CR LF.
            text = "".join(parts).removeprefix("\r\n").removeprefix("\n")
            self._form.fields.append((name, text.replace("\r\n", "\n").replace("\n", "\r\n")))
            self._text_area = None


def form_of(answer: TestResponse) -> FormOnPage:
    """Return the form of a page's main part."""
    reader = _Reader()
    reader.feed(answer.get_data(as_text=True))
    assert reader.forms, answer.get_data(as_text=True)[-2000:]
    return reader.forms[-1]


@dataclass
class Admin:
    """An admin who is signed in; texts are English, as no browser asks for German."""

    client: FlaskClient

    def get(self, path: str, status: int = 200) -> str:
        """Return the text of a page."""
        answer = self.client.get(path, headers={"Accept-Language": "en"})
        assert answer.status_code == status, answer.get_data(as_text=True)[-2000:]
        return answer.get_data(as_text=True)

    def form(self, path: str) -> FormOnPage:
        """Return the form of a page."""
        return form_of(self.client.get(path, headers={"Accept-Language": "en"}))

    def send(
        self, path: str, shown: FormOnPage, /, without: tuple[str, ...] = (), **changes: object
    ) -> TestResponse:
        """Send a form that was shown before, with other values in some fields.

        A list gives a field several values; ``without`` are boxes that are unchecked.
        """
        fields = [pair for pair in shown.fields if pair[0] not in {*changes, *without}]
        for name, value in changes.items():
            each = value if isinstance(value, list) else [value]
            fields.extend((name, str(item)) for item in each)
        data: dict[str, list[str]] = {}
        for name, text in fields:
            data.setdefault(name, []).append(text)
        return self.client.post(path, data=data, headers={"Accept-Language": "en"})

    def fill(self, path: str, /, without: tuple[str, ...] = (), **changes: object) -> TestResponse:
        """Open a page, change some fields of its form and send it."""
        return self.send(path, self.form(path), without, **changes)


def admin_of(pages: RunningPortal, login: str = "ada") -> Admin:
    """Sign an admin in."""
    return Admin(pages.client(login))


def signs_in(pages: RunningPortal, path: str, login: str, password: str = PASSWORD) -> bool:
    """Whether somebody can sign in."""
    admin = Admin(pages.app.test_client())
    return admin.fill(path, login=login, password=password).status_code == 303
