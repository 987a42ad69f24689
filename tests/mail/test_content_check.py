"""What clamd and rspamd answer, as a verdict: only what is known to be clean is clean."""

import pytest

from core.mail.content_check import (
    CLEAN,
    MAX_TEXT,
    ContentVerdict,
    clamd_verdict,
    rspamd_verdict,
)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"stream: OK\n", CLEAN),
        (b"stream: Eicar FOUND\n", ContentVerdict(malware="Eicar")),
        (b"stream: a b FOUND\n", ContentVerdict(malware="a b")),
        (b"stream: \xff\x1b[0m\xe2\x80\xae FOUND\n", ContentVerdict(malware="\ufffd[0m")),
        (b"stream: OK", ContentVerdict(failed="clamd: stream: OK")),  # cut off
        (b"", ContentVerdict(failed="clamd: it closed the connection")),
        (b"OK\n", ContentVerdict(failed="clamd: OK")),
        (b"stream: FOUND OK\n", ContentVerdict(failed="clamd: stream: FOUND OK")),
        (
            b"stream: Can't allocate memory ERROR\n",
            ContentVerdict(failed="clamd: stream: Can't allocate memory ERROR"),
        ),
        (
            b"INSTREAM size limit exceeded. ERROR\n",
            ContentVerdict(failed="clamd: INSTREAM size limit exceeded. ERROR"),
        ),
    ],
)
def test_clamd(answer: bytes, verdict: ContentVerdict) -> None:
    assert clamd_verdict(answer) == verdict


def test_names_are_short() -> None:
    assert len(clamd_verdict(b"stream: " + b"x" * 5000 + b" FOUND\n").malware) == MAX_TEXT
    assert len(clamd_verdict(b"x" * 5000).failed) <= MAX_TEXT + len("clamd: ")


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        ("no action", CLEAN),
        ("greylist", CLEAN),
        ("soft reject", CLEAN),
        ("add header", ContentVerdict(spam="add header (7.3)")),
        ("rewrite subject", ContentVerdict(spam="rewrite subject (7.3)")),
        ("reject", ContentVerdict(spam="reject (7.3)")),
        ("discard", ContentVerdict(spam="discard (7.3)")),
        ("quarantine", ContentVerdict(spam="quarantine (7.3)")),
        ("dance", ContentVerdict(failed="rspamd: unknown action dance")),
    ],
)
def test_actions_of_rspamd(action: str, verdict: ContentVerdict) -> None:
    assert rspamd_verdict(200, f'{{"action": "{action}", "score": 7.25001}}'.encode()) == verdict


NO_JSON, INCOMPLETE = "its answer is no JSON", "its answer has no action and score"


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (500, b'{"action": "no action", "score": 1}', "status 500"),
        (200, b"", NO_JSON),
        (200, b"\xff", NO_JSON),
        (200, b'{"action": "no action"', NO_JSON),
        (200, b"[" * 60_000, NO_JSON),
        (200, b'"no action"', INCOMPLETE),
        (200, b'{"action": "no action"}', INCOMPLETE),
        (200, b'{"action": "no action", "score": true}', INCOMPLETE),
        (200, b'{"action": ["no action"], "score": 1}', INCOMPLETE),
    ],
)
def test_an_answer_that_is_none(status: int, answer: bytes, reason: str) -> None:
    assert rspamd_verdict(status, answer) == ContentVerdict(failed=f"rspamd: {reason}")


def test_a_score_beyond_all_numbers() -> None:
    answer = b'{"action": "reject", "score": ' + b"9" * 5000 + b"}"
    assert rspamd_verdict(200, answer).spam == "reject (inf)"


def test_two_verdicts_together() -> None:
    one = ContentVerdict(malware="m", failed="a")
    assert one + ContentVerdict(spam="s", failed="b") == ContentVerdict("m", "s", "a; b")
    assert CLEAN + CLEAN == CLEAN
