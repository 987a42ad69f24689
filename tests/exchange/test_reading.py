"""Bytes as rows: encodings, separators, quotes, and files that are refused."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exchange.reading import MAX_CELL, MAX_COLUMNS, FileRefused, read_sheet

ROWS = [["Kunden#", "Firma"], ["K-1", "Müller & Söhne"], ["K-2", "Größe; „1“, 2"]]


def in_csv(separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(ROWS)
    return text.getvalue()


@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_and_separators_are_found_out(separator: str, encoding: str, shown: str) -> None:
    sheet = read_sheet(in_csv(separator).encode(encoding))
    assert (sheet.encoding, sheet.separator) == (shown, separator)
    assert [list(sheet.header), *(list(line.cells) for line in sheet.lines)] == ROWS


def test_utf_16_the_other_way_round() -> None:
    assert read_sheet(b"\xfe\xff" + "a;b\nä;ö\n".encode("utf-16-be")).lines[0].cells == ["ä", "ö"]


def test_the_line_of_excel_names_the_separator() -> None:
    sheet = read_sheet(b"sep=|\r\nnumber|name\r\nK-1|a;b;c;d\r\n")
    assert sheet.separator == "|"
    assert sheet.lines[0].cells == ["K-1", "a;b;c;d"]
    assert sheet.lines[0].number == 3


def test_lines_are_counted_as_an_editor_shows_them() -> None:
    content = b'number,name\r\n\r\nK-1,"two\r\nlines"\r\n,\r\nK-2,x\r\n'
    assert [line.number for line in read_sheet(content).lines] == [3, 6]


def test_excel_leaves_out_empty_cells_at_the_end() -> None:
    assert read_sheet(b"a;b;c\n1;2;3;;\n1\n").lines[1].cells == ["1"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "The file is empty."),
        (b"\n \n", "The file is empty."),
        (b"a;b\n1;2\0\n", "Line 2: a NUL character; this is no text file."),
        ("a;b\n1;2\n".encode("utf-16-le"), "Line 1: a NUL character; this is no text file."),
        (
            b"a;b\n1;\x81\xfc\n",
            "Line 2: a character that is neither UTF-8 nor Windows-1252.",
        ),
        (b"\xef\xbb\xbfa;b\n\n1;\xfc\n", "Line 3: a character that is not UTF-8."),
        (b'a;b\n1;2\n3;"4\n5;6\n', "Line 3: a quote that is opened here is never closed."),
        (
            b'a;b\n1;"2"x\n',
            "Line 2: a quote in the middle of a cell; quotes inside quotes are doubled.",
        ),
        (b"a;b\n1;2;3\n", "Line 2: 3 cells, but the header has 2."),
        (
            b"a;b\n1;" + b"x" * (MAX_CELL + 1),
            f"Line 2: a cell with more than {MAX_CELL} characters.",
        ),
        (b";".join([b"a"] * (MAX_COLUMNS + 1)), "Line 1: more than 100 columns."),
        (b"a\n" + b"1\n" * 11, "The file has more than 10 rows."),
        (b"a" * 200_001, "The file is larger than 200000 bytes."),
    ],
)
def test_a_file_that_is_refused(content: bytes, text: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read_sheet(content, max_bytes=200_000, max_rows=10)
    assert str(refused.value) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        sheet = read_sheet(content)
    except FileRefused:
        return
    assert all(len(line.cells) <= len(sheet.header) for line in sheet.lines)
