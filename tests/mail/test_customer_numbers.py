"""Finding a Kunden# in a mail: where it counts, how it is written, and that it is exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.customer_numbers import MAX_CHARACTERS, MAX_CLAIMS, Claim, find_claims
from core.mail.message import parse
from core.settings import Settings
from tests.mail.growth import grows_linearly

HEADERS, LABELS = Settings().number_headers, Settings().number_labels


def claims(text: str = "", *, subject: str = "", headers: str = "", tag: str | None = None,
           labels: tuple[str, ...] = LABELS) -> list[tuple[str, str]]:  # fmt: skip
    """Return number and place of what a mail claims."""
    raw = f"Subject: {subject}\n{headers}Content-Type: text/plain; charset=utf-8\n\n{text}"
    return [(claim.number, claim.where) for claim in find_claims(parse(raw.encode()), tag, HEADERS,
                                                                 labels)]  # fmt: skip


def in_text(text: str) -> list[str]:
    """Return the numbers that a text names."""
    return [number for number, _where in claims(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Kunden# K-1000",
        "Kunden#: K-1000",
        "Kunden#K-1000",
        "Kunden #: K-1000",
        "Kundennummer K-1000",
        "Kundennummer: K-1000",
        "Kundennummer : K-1000",
        "Kundennummer = K-1000",
        "Kundennummer – K-1000",
        "Kundennummer\tK-1000",
        "Kundennummer:\u00a0K-1000",
        "Kunden-Nr. K-1000",
        "Kunden-Nr.: K-1000",
        "Kunden-Nr.:K-1000",
        "Kunden-Nr K-1000",
        "Kd.-Nr. K-1000",
        "Kd.-Nr.: K-1000",
        "Customer no. K-1000",
        "Customer no K-1000",
        "Customer no.: K-1000",
        "Customer  no. # K-1000",
        "Customer number K-1000",
        "Customer number: K-1000",
        "customer NUMBER: K-1000",
        "KUNDENNUMMER: K-1000",
        "Meine Kundennummer: K-1000.",
        "(Kundennummer K-1000)",
        "Kundennummer (K-1000)",
        'Kundennummer "K-1000", bitte',
        "Kundennummer „K-1000“!",
        "Kundennummer <K-1000>",
        "Ihre Nachricht, Kundennummer K-1000: wie besprochen",
    ],
)
def test_every_way_to_write_it(text: str) -> None:
    assert in_text(f"Guten Tag,\n{text}\nAnna") == ["K-1000"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Kundennummer k-1000", ["k-1000"]),
        ("Kundennummer К-1000", ["К-1000"]),  # with a Cyrillic К
        ("Kundennummer K-1000%", ["K-1000%"]),
        ("Kundennummer K_1000", ["K_1000"]),
        ("Kundennummer K-1000*", ["K-1000*"]),
        ("Kundennummer *K-1000*", ["*K-1000*"]),
        ("Kundennummer %", ["%"]),
        ("Kundennummer K-10000", ["K-10000"]),
        ("Kundennummer K-1000/2", ["K-1000/2"]),
        ("Kundennummer 'K-1000'; DROP", ["K-1000"]),
        ("Kundennummer Ä-1", ["Ä-1"]),
        ("Kundennummer A\u0308-1", ["Ä-1"]),  # NFC
        ("Kundennummer 01000", ["01000"]),
        ("Kundennummer anna@muster.example", ["anna@muster.example"]),
        ("Kundennummer: <anna@muster.example>.", ["anna@muster.example"]),
        ("Kundennummer Anna@muster.example", ["Anna@muster.example"]),
        ("Kundennummer 10 200", ["10", "10 200"]),  # only the accounts tell which
        ("Kundennummer K 10 200 Stück", ["K", "K 10", "K 10 200"]),
        ("Kundennummer 10, 200 Stück", ["10"]),
        ("Kundennummer K-1000 Angebot 5", ["K-1000"]),
        ("Kundennummer " + "x" * 64, ["x" * 64]),
        ("Kundennummer " + "x" * 65, []),
        ("Kundennummer K-1000" + ")" * 80 + "x", []),
        ("Kundennummer K-1 und Kunden-Nr. K-2", ["K-1", "K-2"]),
        ("Kundennummer K-1\nKundennummer K-1", ["K-1"]),
        ("Kundennummern K-1", []),
        ("Kunden-Nrn. K-1", []),
        ("Customer notes K-1", []),
        ("Kundennummer", []),
        ("Kundennummer: \nK-1000", []),
        ("Kundennummer: .,;", []),
        ("Hauptkundennummer K-1", []),
        ("K-1000", []),
    ],
)
def test_a_number_is_taken_as_it_stands(text: str, numbers: list[str]) -> None:
    assert in_text(text) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "> Kundennummer K-2000\nja",
        ">> Kundennummer K-2000",
        "ja\n-----Original Message-----\nKundennummer K-2000",
        "ja\nVon: S\nGesendet: M\nAn: A\nBetreff: x\n\nKundennummer K-2000",
        "ja\nAm 24.11.2026 schrieb Support:\n\nKundennummer K-2000",
        "\n" * 200 + "Kundennummer K-2000",
        "x" * MAX_CHARACTERS + "\nKundennummer K-2000",
    ],
)
def test_where_a_number_in_the_text_does_not_count(text: str) -> None:
    assert in_text(text) == []


def test_a_number_in_a_quoted_part_of_html_does_not_count() -> None:
    html = "<p>Kundennummer <b>K-1</b></p><blockquote>Kundennummer K-2</blockquote>"
    message = parse(b"Content-Type: text/html\n\n" + html.encode())
    assert find_claims(message, None, HEADERS, LABELS) == (Claim("K-1", "text"),)


def test_the_cells_of_a_table_are_label_and_number() -> None:
    html = "<table><tr><td><p>Kundennummer</p></td><td><p>K-1</p></td></tr></table>"
    message = parse(b"Content-Type: text/html\n\n" + html.encode())
    assert find_claims(message, None, HEADERS, LABELS) == (Claim("K-1", "text"),)


def test_the_places_and_their_order() -> None:
    found = claims(
        "Kundennummer K-4",
        subject="Kundennummer K-3",
        headers="X-Kundennummer: K-1\nx-customer-number: =?utf-8?q?=C3=84-1?=\nX-Other: K-9\n",
        tag="K-2",
    )
    assert found == [
        ("K-1", "header"),
        ("Ä-1", "header"),
        ("K-2", "recipient"),
        ("K-3", "subject"),
        ("K-4", "text"),
    ]


def test_a_header_that_is_empty_claims_nothing() -> None:
    assert claims(headers="X-Kundennummer: \nX-Customer-Number: .\n", tag="") == []


@pytest.mark.parametrize("labels", [(), ("",), (".", " ")])
def test_without_a_usable_label_no_text_claims_anything(labels: tuple[str, ...]) -> None:
    assert claims("Kundennummer K-1 . K-2", labels=labels) == []


def test_labels_are_literal() -> None:
    assert claims("N+ K-1 NN K-2 (a|b) K-3 a K-4", labels=("N+", "(a|b)")) == [
        ("K-1", "text"),
        ("K-3", "text"),
    ]
    assert claims("顧客番号：K-1", labels=("顧客番号",)) == [("K-1", "text")]


def test_a_mail_claims_no_more_numbers_than_a_query_may_have() -> None:
    text = "\n".join(f"Kunden# {n} Kunden# x{n}" for n in range(5_000))
    assert len(claims(text, headers="X-Kundennummer: a\n")) == MAX_CLAIMS


@given(st.text(alphabet="Kunde#numr-.: 1\n>", max_size=100), st.text(max_size=10))
def test_whatever_is_in_a_text(text: str, label: str) -> None:
    for number in in_text(text):
        assert number == number.strip()
        assert 0 < len(number) <= 64
    claims(text, labels=(label,))


@pytest.mark.parametrize("piece", [" ", "\t", "Kundennummer", "Kundennummer ", "Customer ", "# "])
def test_the_time_for_a_text_grows_with_its_length(piece: str) -> None:
    def make(count: int) -> str:
        return "Kundennummer" + (piece * count)[: MAX_CHARACTERS - 20] + "\n"

    assert grows_linearly(make, in_text, 1_500)
    assert grows_linearly(lambda n: "Customer" + piece * n, in_text, 1_500)
