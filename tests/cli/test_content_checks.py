"""``deliver`` has mail checked as the gateway does; ``check`` says whether anybody answers."""

from tests.cli.conftest import Installation
from tests.intake.firm import a_firm
from tests.support.checkers import EICAR, clamd

RAW = b"From: anna@muster.example\r\nSubject: Frage\r\n\r\n" + EICAR + b"\r\n"
ENVELOPE = ("--mail-from", "anna@muster.example", "--rcpt", "vertrieb@example.org")


def test_deliver_holds_malware(small_installation: Installation) -> None:
    a_firm(small_installation.database)
    with clamd() as scanner:
        env = {"SCHALTER_CONTENT_CHECKS__CLAMD": scanner.place}
        done = small_installation.run("deliver", *ENVELOPE, stdin=RAW, **env)
    assert done.exit_code == 0
    assert "malware" in done.stdout
    assert scanner.mails == [RAW]


def test_check_names_the_checker(small_installation: Installation) -> None:
    with clamd() as scanner:
        env = {"SCHALTER_CONTENT_CHECKS__CLAMD": scanner.place}
        good = small_installation.run("check", **env)
    bad = small_installation.run("check", **env)
    assert f"clamd          ok       {scanner.place} answers" in good.stdout
    assert f"clamd          failed   {scanner.place}: connection refused" in bad.stdout
    assert bad.exit_code == 1
