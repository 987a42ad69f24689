"""Cleaning of text from outside, format=flowed, and what of a text is quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.text import clean_text, one_line, split_quoted, unflow, unquoted_lines
from tests.mail.growth import grows_linearly
from tests.mail.storage import is_clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("a\tb", "a\tb"),
        ("\0a\x07\x1b[1m\x7f\x85\x9f", "a[1m"),
        ("\ud800a\udfff", "\ufffda\ufffd"),
        ("Grüße 日本語 😀", "Grüße 日本語 😀"),
        ("\u202eabc", "\u202eabc"),  # a text may be Arabic; pages isolate it
    ],
)
def test_clean_text(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Frage", "Frage"),
        ("  a  b  ", "a b"),
        ("a\r\nBcc: x", "a Bcc: x"),
        ("a\u2028b\u2029c\x85d", "a b cd"),
        ("gpj\u202eexe", "gpjexe"),
        ("\u2066a\u2069\u061cb\u200f", "ab"),
        ("a\u00a0b", "a b"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text(st.characters()))
def test_cleaning_any_text(text: str) -> None:
    for cleaned in (clean_text(text), one_line(text)):
        assert is_clean(cleaned)
        assert clean_text(cleaned) == cleaned
    assert one_line(one_line(text)) == one_line(text)
    assert "\n" not in one_line(text)


@pytest.mark.parametrize(
    ("flowed", "text"),
    [
        ("a \nb\nc", "a b\nc"),
        ("a\nb", "a\nb"),
        (" a\n >b", "a\n>b"),  # 4.4: stuffed
        ("> a \n> b\nc", "> a b\nc"),
        (">a\n>>b \n>>c", "> a\n>> b c"),
        ("> a \nb", "> a \nb"),  # 4.5: another depth ends the paragraph
        ("a \n-- \nAnna", "a \n-- \nAnna"),  # 4.3: the signature's line flows nowhere
        ("", ""),
        ("a \n", "a "),
    ],
)
def test_flowed_text(flowed: str, text: str) -> None:
    assert unflow(flowed) == text


def test_flowed_text_without_the_blanks_at_its_breaks() -> None:
    assert unflow("Bahn \nhof \nstraße\n", delete_space=True) == "Bahnhofstraße\n"


@given(st.lists(st.text(alphabet="ab \t", max_size=9).map(lambda line: line.strip()), max_size=9))
def test_text_that_does_not_flow_stays_as_it_is(lines: list[str]) -> None:
    assert unflow("\n".join(lines)) == "\n".join(lines)


OUTLOOK = "Von: Support\nGesendet: Montag\nAn: Anna\nBetreff: AW: Frage\n\nKundennummer K-2000"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("a\n> b\nc", ["a", "c"]),
        ("> a\n>> b", []),
        ("   > a\n    > b", ["    > b"]),  # set in by more than three blanks is a picture of >
        ("a\n-----Original Message-----\nb\nc", ["a"]),
        ("a\n-----Ursprüngliche Nachricht-----\nb", ["a"]),
        ("a\n ---- Original-Nachricht ----\nb", ["a"]),
        ("a\n--- Kapitel ---\nb", ["a", "--- Kapitel ---", "b"]),
        ("a\n-- \nAnna", ["a", "-- ", "Anna"]),
        (f"a\n\n{OUTLOOK}", ["a", ""]),
        (f"a\n\n{OUTLOOK}".replace("Von:", "*Von:*").replace("Gesendet", "*Gesendet"), ["a", ""]),
        ("a\nFrom: S\nSent: M\nTo: A\nCc: B\nSubject: x\n\nb", ["a"]),
        ("a\nVon: Köln\nNach: Bonn\nDatum: 1.1.\nb",
         ["a", "Von: Köln", "Nach: Bonn", "Datum: 1.1.", "b"]),  # a form is no answered mail
        ("a\nAm 24.11.2026 um 09:00 schrieb Support:\nb", ["a"]),
        ("a\nAm Di., 24. Nov. 2026 schrieb Support <\ns@example.org>:\n\nb", ["a"]),
        ("a\nOn Tue, Nov 24, 2026 at 9:00 AM Support <s@example.org> wrote:\n\nb", ["a"]),
        # people answer between quoted lines: the marks tell what is quoted
        ("a\nAm 24.11. schrieb Support:\n> b\nc", ["a", "Am 24.11. schrieb Support:", "c"]),
        ("a\nAm Montag:\nb", ["a", "Am Montag:", "b"]),
        ("a\nAm Montag schrieb ich Ihnen\nb", ["a", "Am Montag schrieb ich Ihnen", "b"]),
        ("a\nAm 24.11. schrieb Support:", ["a", "Am 24.11. schrieb Support:"]),
        # a forward says nothing above, and means what is below
        (OUTLOOK, OUTLOOK.split("\n")),
        ("\n \n-----Original Message-----\nb", ["", " ", "-----Original Message-----", "b"]),
    ],
)  # fmt: skip
def test_what_is_not_quoted(text: str, own: list[str]) -> None:
    assert list(unquoted_lines(text)) == own


def test_the_runs_of_a_text() -> None:
    assert split_quoted("a\nb\n> c\n> d\n\ne") == [
        (False, "a\nb"),
        (True, "> c\n> d"),
        (False, "\ne"),
    ]


@given(st.text(alphabet="a>\n Von:Gesdt", max_size=80))
def test_nothing_of_a_text_is_lost_by_splitting_it(text: str) -> None:
    runs = split_quoted(text)
    assert "\n".join(part for _quoted, part in runs) == text
    own = [line for quoted, part in runs if not quoted for line in part.split("\n")]
    assert own == list(unquoted_lines(text))


@pytest.mark.parametrize(
    "piece",
    ["> ", ">\n", "a\n", "Von: x\n", "Am x schrieb ", "Am 1 schrieb x:\n\n\n", "--\n", "On a\n"],
)
def test_the_time_for_splitting_grows_with_the_text(piece: str) -> None:
    assert grows_linearly(lambda n: "a\n" + piece * n, split_quoted, 1_000)
    assert grows_linearly(lambda n: piece * n, unflow, 1_000)
