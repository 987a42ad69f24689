"""A mail as routing rules see it; test rows say only what differs."""

from dataclasses import replace

from core.mail.message import parse
from core.routing.content import Content
from core.routing.rule import Conditions, Field, Group, Join, Operator
from core.routing.rule import Test as Condition
from core.words import Evidence

RAW = """From: Anna <anna@muster.example>
To: vertrieb@example.org
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= zur Rechnung 4711
X-Team: Lager
X-Team: Einkauf
X-Empty:
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8

Bitte prüfen Sie die STRASSE in München.
--b
Content-Type: application/pdf; name=Rechnung.PDF
Content-Disposition: attachment; filename=Rechnung.PDF

x
--b--
"""

CONTENT = Content(
    message=parse(RAW.encode()),
    recipient="vertrieb@example.org",
    mail_from="anna@mail.muster.example",
    peer="192.0.2.7",
    size=2000,
    sender="anna@muster.example",
    evidence=Evidence.VERIFIED,
    customer_number="K-1000",
    login="anna",
)
BARE = replace(
    CONTENT, message=parse(b""), mail_from="", peer="", sender="", customer_number="", login=""
)


def one(
    field: Field, operator: Operator, value: str = "", name: str = "", *, negated: bool = False
) -> Conditions:
    """Return the conditions of one test."""
    return Conditions((Group((Condition(field, operator, value, name, negated),)),))


def groups(join: Join, *them: tuple[Join, tuple[bool, ...]]) -> Conditions:
    """Return groups of tests that hold or do not."""
    holds, fails = (Condition(Field.SIZE, Operator.MORE, value) for value in ("1", "9999"))
    return Conditions(
        tuple(Group(tuple(holds if it else fails for it in tests), inner) for inner, tests in them),
        join,
    )
