"""The file of ``apply``: what is wrong with it is told with file, line and key."""

from pathlib import Path

import pytest

from core.apply.places import find_lines, line_of
from core.apply.wanted import (
    CUSTOMER_USER,
    KINDS,
    ApplyError,
    Entry,
    read_wanted,
)
from core.cli.demo import ORGANISATION

DOCUMENT = '''\
# "quoted" [[brackets]] = in a comment
title = "x"   # [not] = "a header"
"quoted.key" = 1
[settings]
sender_policy = "open"

[[queues]]
name = "A # no comment"
addresses = [
  "a@example.org",   # ] }
  "b@example.org",
]
[[ queues ]]
name = """
several = "lines"
[[queues]]
"""
fallback.deep = {x = "}", y = ['"]"']}
[queues.groups]
vertrieb = 'rw'
[[queues]]
name = "last"
'''

PLACES = [
    (("title",), 2),
    (("quoted.key",), 3),
    (("settings", "sender_policy"), 5),
    (("queues", 0), 7),
    (("queues", 0, "name"), 8),
    (("queues", 0, "addresses", 1), 9),
    (("queues", 1, "name"), 14),
    (("queues", 1, "fallback", "deep"), 18),
    (("queues", 1, "groups"), 19),
    (("queues", 1, "groups", "vertrieb"), 20),
    (("queues", 2, "missing"), 21),
    (("queues", 3), 7),
    (("nowhere",), None),
]


@pytest.mark.parametrize(("place", "line"), PLACES, ids=str)
def test_every_key_is_found_on_its_line(place: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(find_lines(DOCUMENT), place) == line


def test_windows_line_ends_count_once(tmp_path: Path) -> None:
    file = tmp_path / "firm.toml"
    file.write_bytes('\ufeff[[groups]]\r\nname = "a"\r\n[[groups]]\r\nnam = "b"\r\n'.encode())
    with pytest.raises(ApplyError, match="line 4"):
        read_wanted(file)


QUEUE = '[[groups]]\nname = "a"\n[[queues]]\nname = "A"\ngroup = "a"\n'
USER = (
    '[[customer_users]]\nlogin = "anna"\ncustomer_number = "1"\nemail = "a@b.example"\n'
    'first_name = "A"\nlast_name = "B"\n'
)

# What stands in the file, and what is said of it.
MISTAKES = [
    ('[[queue]]\nname = "A"', 'line 1: unknown key "queue", did you mean "queues"?'),
    (QUEUE + 'adresses = ["a@b.de"]', 'line 6: [[queues]] "A": unknown key "adresses", did you'),
    (QUEUE + "auto_responses = { recieved = true }", 'line 6: [[queues]] "A": auto_responses.r'),
    (QUEUE + "auto_responses = { received = 1 }", 'line 6: [[queues]] "A": auto_responses.r'),
    (QUEUE + "signature = 1", 'line 6: [[queues]] "A": signature: '),
    (QUEUE + "zzz = 1", 'line 6: [[queues]] "A": unknown key "zzz"'),
    (QUEUE + 'strangers = "holt"', "line 6: [[queues]] \"A\": strangers: must be 'hold', 'reject'"),
    (QUEUE + "valid = 1", 'line 6: [[queues]] "A": valid: must be a valid boolean (got 1)'),
    (QUEUE + "addresses = [\n1]", 'line 6: [[queues]] "A": addresses.0: must be a valid string'),
    ('[[queues]]\ngroup = "a"', 'line 1: [[queues]] the key "name" is missing'),
    ('queues = "A"', "line 1: queues: must be a valid list"),
    ('settings = "A"', "line 1: settings: must be a valid dictionary"),
    ('[settings]\nsender_polcy = "open"', 'line 2: [settings] unknown key "sender_polcy", did'),
    ('[settings]\nsender_policy = "opn"', "line 2: [settings] sender_policy: must be 'open',"),
    ('[settings]\ntime_zone = "Mars"', "line 2: [settings] time_zone: There is no such time zone."),
    ('[[customers]]\nnumber = 1\nname = "x"', "line 2: [[customers]] number: must be a valid str"),
    (
        '[[customers]]\nnumber = "1"\nname = "x"\ngroups = { a = "rx" }',
        "line 4: [[customers]] \"1\": groups.a: must be 'ro' or 'rw' (got 'rx')",
    ),
    (
        '[[groups]]\nname = "Technik"\n\n[[groups]]\nname = "technik"',
        'line 5: [[groups]] "technik": name: it is in the file already, on line 1',
    ),
    (USER + '[[customer_users]]\nlogin = "ANNA"', 'line 8: [[customer_users]] "ANNA": login: it'),
    (USER + 'emails = ["c@d.example"]', 'line 7: [[customer_users]] "anna": emails: use either'),
    (USER + 'password = "short"', 'line 7: [[customer_users]] "anna": password: A password has'),
    (USER + 'password_hash = "x"', 'line 7: [[customer_users]] "anna": password_hash: must be an'),
    (USER + "tickets_per_page = 25.5", 'line 7: [[customer_users]] "anna": tickets_per_page: must'),
    (USER + "invalid_until = 1", 'line 7: [[customer_users]] "anna": invalid_until: '),
    (QUEUE + "a = 1\nb = 2", "line 6: [[queues]] \"A\": unknown key \"a\" (and 1 more problem)"),
    ("[[queues]\n", "not valid TOML: "),
    ("x = \n", "not valid TOML: Invalid value (at line 1, column 5)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), MISTAKES, ids=[told[:60] for _text, told in MISTAKES])
def test_a_mistake_is_told_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "firm.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ApplyError) as caught:
        read_wanted(file)
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["password", "password_hash"])
def test_a_secret_is_never_repeated(key: str, tmp_path: Path) -> None:
    file = tmp_path / "firm.toml"
    for value in ('"geheim"', '["geheim"]', '{ x = "geheim" }'):
        file.write_text(f"{USER}{key} = {value}\n", encoding="utf-8")
        with pytest.raises(ApplyError) as caught:
            read_wanted(file)
        assert key in str(caught.value)
        assert "geheim" not in str(caught.value)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ApplyError, match="No such file"):
        read_wanted(tmp_path / "none.toml")
    with pytest.raises(ApplyError, match="Is a directory"):
        read_wanted(tmp_path)
    (tmp_path / "latin.toml").write_bytes('name = "ä"'.encode("latin-1"))
    with pytest.raises(ApplyError, match="not UTF-8"):
        read_wanted(tmp_path / "latin.toml")


def test_only_what_the_file_names_is_given(tmp_path: Path) -> None:
    file = tmp_path / "firm.toml"
    file.write_text('[[customer_users]]\nlogin = "anna"\nphone = "1"\n', encoding="utf-8")
    wanted = read_wanted(file)
    assert wanted.entries[CUSTOMER_USER] == [
        Entry(CUSTOMER_USER, 0, "anna", {"login": "anna", "phone": "1"})
    ]


def test_the_sample_organisation_is_a_file_like_any_other() -> None:
    wanted = read_wanted(ORGANISATION)
    counts = {kind.table: len(wanted.entries[kind]) for kind in KINDS}
    assert counts == {
        "groups": 3, "queues": 4, "customers": 2, "customer_users": 6, "staff": 2,
    }  # fmt: skip
