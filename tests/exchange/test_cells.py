"""Values as cells and back, and cells that no spreadsheet takes for a formula."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.exchange.cells import (
    as_text,
    guarded,
    read_date,
    read_flag,
    read_groups,
    read_list,
    read_number,
    read_valid,
    read_validity,
    unguarded,
)
from core.exchange.columns import CUSTOMERS, USERS, Kind
from core.words import Permission, Validity

FORMULAS = ["=cmd|' /C calc'!A0", "+49 89 1", "-1", "@SUM(A1)", "\tx", "\rx", "'=x", "''+x"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_is_neutralised(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"
    assert unguarded(guarded(cell)) == cell


@given(st.text(alphabet="'=+-@\t\rab", max_size=6) | st.text())
def test_the_guard_comes_off_again(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell
    assert guarded(cell)[:1] not in tuple("=+-@\t\r")


@given(st.dictionaries(st.text(min_size=1), st.sampled_from(Permission)))
def test_permissions_are_read_as_they_were_written(groups: dict[str, Permission]) -> None:
    assert read_groups("groups", as_text(groups)) == groups


def test_permissions_as_people_type_them() -> None:
    cell = ' vertrieb=RW, "after sales"=ro;technik=ro'
    assert read_groups("groups", cell) == {
        "vertrieb": Permission.RW,
        "after sales": Permission.RO,
        "technik": Permission.RO,
    }


def test_a_list_of_addresses() -> None:
    assert read_list("more_addresses", "a@x.example, b@x.example\nc@x.example;") == (
        "a@x.example",
        "b@x.example",
        "c@x.example",
    )


@pytest.mark.parametrize(
    ("read", "cell", "value"),
    [
        (read_flag, " Ja ", True),
        (read_flag, "FALSCH", False),
        (read_valid, "ungültig", False),
        (read_valid, "1", True),
        (read_validity, "Ungültig-temporär", Validity.INVALID_TEMPORARILY),
        (read_validity, "valid", Validity.VALID),
        (read_date, "2026-12-31", date(2026, 12, 31)),
        (read_date, "31.12.2026", date(2026, 12, 31)),
        (read_number, "25", 25),
    ],
)
def test_words_of_both_languages(
    read: Callable[[str, str], object], cell: str, value: object
) -> None:
    assert read("x", cell) == value


@pytest.mark.parametrize(
    ("read", "cell", "text"),
    [
        (read_flag, "vielleicht", '"vielleicht" is neither yes nor no.'),
        (read_valid, "invalid-temporarily", "A customer is valid or invalid."),
        (read_validity, "yes", '"yes" is none of valid, invalid and invalid-temporarily.'),
        (read_date, "31.02.2026", '"31.02.2026" is no day, such as 2026-12-31 or 31.12.2026.'),
        (read_number, "2,5", '"2,5" is no whole number.'),
        (read_number, "²", '"²" is no whole number.'),
        (
            read_groups,
            "technik=rw vertrieb",
            '"vertrieb" is no list of permissions, such as sales=rw support=ro.',
        ),
        (
            read_groups,
            "a=admin",
            '"a=admin" is no list of permissions, such as sales=rw support=ro.',
        ),
        (read_groups, "a=ro a=rw", 'The group "a" stands here twice.'),
    ],
)
def test_cells_that_are_refused(read: Callable[[str, str], object], cell: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read("x", cell)
    assert refused.value.message == text


@pytest.mark.parametrize("kind", [CUSTOMERS, USERS])
def test_no_word_in_a_header_means_two_fields(kind: Kind) -> None:
    words = [word for c in kind.columns for word in (c.name, *c.words)]
    meant = {word: kind.guessed(word) for word in words}
    for column in kind.columns:
        assert all(meant[word] == column.name for word in (column.name, *column.words))


@pytest.mark.parametrize(
    ("word", "field"),
    [
        ("KUNDEN-NR.", "customer_number"),
        ("Kunden#", "customer_number"),
        ("e-mail", "email"),
        ("Gültig", "valid"),
        ("Straße", "street"),
        ("First Name", "first_name"),
        ("password", None),
        ("", None),
    ],
)
def test_headers_are_known_in_both_languages(word: str, field: str | None) -> None:
    assert USERS.guessed(word) == field
