"""A mail tried out where customer sources are asked: told is what becomes of the real one."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from core.db import Database
from core.i18n import in_language
from core.intake.explain import explain
from core.intake.incoming import Incoming, Receipt
from core.intake.look_up import PutOff
from core.intake.mail_log import shown_steps
from core.intake.prepare import prepare
from core.intake.rows import trace
from core.intake.simulate import Simulation, look_up_one, simulate
from core.intake.writer import take_in_looked_up
from core.models import Delivery, Mail
from core.organisation import load_organisation
from core.sources.asking.live import LiveSources
from core.words import DecisionKind
from tests.intake.firm import a_firm
from tests.intake.mails import a_mail
from tests.sources.crm import ANNA, Crm, logins, read
from tests.sources.live import Observant, Watched, live, section_of

NINA = ANNA | {"id": 7, "login": "nina", "mail": "nina@muster.example", "vorname": "Nina"}
FILED = ("open-ticket", "allowed")
HELD = ("hold", "source-away")
PUT_OFF = ("defer", "source-away")
FIRST_SECONDS = "core.sources.asking.live.FIRST_SECONDS"
SECONDS = "core.sources.asking.live.SECONDS"
Stall = Callable[[Watched], None]


def from_nina(to: str | tuple[str, ...] = "vertrieb@example.org", text: str = "Hallo") -> Incoming:
    """Return a mail of Nina's, whom only the source knows."""
    return a_mail(text, to=to, sender="nina@muster.example")


def tried(database: Database, sources: LiveSources, incoming: Incoming) -> Simulation:
    """Return what would become of a mail."""
    mail = look_up_one(database, sources, prepare(incoming))
    with database.read() as session:
        return simulate(session, load_organisation(session), mail)


def told(simulation: Simulation) -> list[tuple[str, str]]:
    """Return decision and reason for each recipient."""
    return [(each.summary.kind.value, each.summary.reason) for each in simulation.recipients]


def taken_in(database: Database, sources: LiveSources, incoming: Incoming) -> list[tuple[str, str]]:
    """Return the same of the real mail; one that is put off has no other recipients."""
    (result,) = take_in_looked_up(database, sources, [prepare(incoming)])
    if not isinstance(result, Receipt):
        return [("defer", "source-away")]
    return [(part.decision.value, part.reason) for part in result.recipients]


def step_of(simulation: Simulation, rule: str) -> tuple[str, str]:
    """Return the answer and the reason that a step of the first recipient gives."""
    (step,) = (each for each in simulation.recipients[0].decision.steps if each.rule == rule)
    return step.answer, step.because % dict(step.values)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a source that answers have time to, on machines that are busy."""
    monkeypatch.setattr(FIRST_SECONDS, 20.0)
    monkeypatch.setattr(SECONDS, 30.0)


@pytest.fixture
def stall(monkeypatch: pytest.MonkeyPatch) -> Stall:
    """Let a source stall, for which nobody waits long."""

    def stall(watched: Watched) -> None:
        monkeypatch.setattr(FIRST_SECONDS, 0.3)
        watched.stall()

    return stall


def test_somebody_whom_a_source_knows_that_was_never_read(database: Database, crm: Crm) -> None:
    a_firm(database, sender_policy="open")
    crm.hold(NINA)
    with live(section_of(crm)) as (sources, _watched):
        simulation = tried(database, sources, from_nina())
        assert told(simulation) == [FILED]
        assert step_of(simulation, "sources") == ("answered", "Asked who it is from: crm.")
        with database.read() as session:
            assert session.scalar(select(func.count(Mail.id))) == 0
        assert logins(database)["nina"] == ("crm", "valid")  # as after any look-up
        assert taken_in(database, sources, from_nina()) == [FILED]


# What is true of the source, and of Nina's mail then.
STATES = [
    ("knows her", (), "hold", False, FILED),
    ("does not know her", (), "hold", False, ("hold", "stranger")),
    ("is away", (), "hold", True, HELD),
    ("is away", (), "defer", True, PUT_OFF),
    ("has known her", ("read",), "hold", True, FILED),
    ("has known her", ("read",), "defer", True, FILED),
    ("has lost her", ("read", "lost"), "defer", False, ("hold", "account-invalid")),
]


@pytest.mark.parametrize(("state", "before", "when_away", "stalls", "expected"), STATES)
def test_it_tells_what_becomes_of_the_real_mail(
    sqlite_database: Database,
    crm: Crm,
    state: str,
    before: tuple[str, ...],
    when_away: str,
    stalls: bool,
    stall: Stall,
    expected: tuple[str, str],
) -> None:
    a_firm(sqlite_database, sender_policy="open")
    other = ANNA | {"id": 9, "login": "other", "mail": "other@muster.example"}
    crm.hold(*([] if state == "does not know her" else [NINA]), other)
    if "read" in before:
        read(sqlite_database, crm.section())
    if "lost" in before:
        crm.hold(other)
    with live(section_of(crm, when_away=when_away)) as (sources, (watched,)):
        if stalls:
            stall(watched)
        assert told(tried(sqlite_database, sources, from_nina())) == [expected]
        assert taken_in(sqlite_database, sources, from_nina()) == [expected]


def test_what_is_put_off_is_told_as_that(sqlite_database: Database, crm: Crm, stall: Stall) -> None:
    """A recipient whom nobody has is refused before the mail itself."""
    a_firm(sqlite_database, sender_policy="open")
    with live(section_of(crm, when_away="defer")) as (sources, (watched,)):
        stall(watched)
        mail = from_nina(("vertrieb@example.org", "nobody@example.org", "technik@example.org"))
        simulation = tried(sqlite_database, sources, mail)
    assert told(simulation) == [PUT_OFF, ("reject", "unknown-recipient"), PUT_OFF]
    first = simulation.recipients[0]
    assert str(first.reply) == "451 4.3.0 Temporary failure, please try again later"
    assert first.summary.queue == "Vertrieb"
    assert first.summary.because.rule == "source_away"
    assert step_of(simulation, "sources")[0] == "away"
    answer, because = step_of(simulation, "source_away")
    assert answer == DecisionKind.DEFER.value
    assert "did not answer: crm." in because


def test_what_would_make_it_allowed_while_the_source_is_away(
    sqlite_database: Database, crm: Crm, stall: Stall
) -> None:
    """Who is known here is not put off."""
    a_firm(sqlite_database, sender_policy="open")
    with live(section_of(crm, when_away="defer")) as (sources, (watched,)):
        stall(watched)
        mail = from_nina("technik@example.org", "Kundennummer: K-1000\r\n")
        (recipient,) = tried(sqlite_database, sources, mail).recipients
    assert recipient.summary.kind is DecisionKind.DEFER
    sentences = [change.sentence for way in recipient.ways for change in way.changes]
    assert "nina@muster.example is added to the account anna." in sentences


def test_explained_in_the_words_of_the_contract(
    sqlite_database: Database, crm: Crm, stall: Stall
) -> None:
    a_firm(sqlite_database, sender_policy="open")
    with live(section_of(crm, when_away="defer")) as (sources, (watched,)):
        stall(watched)
        mail = look_up_one(sqlite_database, sources, prepare(from_nina()))
    assert isinstance(mail, PutOff)
    with sqlite_database.read() as session:
        (recipient,) = explain(session, mail)["recipients"]
    assert recipient == {
        "recipient": "vertrieb@example.org",
        "decision": "defer",
        "reason": "source-away",
        "reply": "451 4.3.0 Temporary failure, please try again later",
        "queue": "Vertrieb",
        "ticket": None,
        "customer_user": None,
        "customer_number": None,
        "matched_by": "none",
    }


def test_who_is_new_there_is_not_forgotten_for_a_moment(
    sqlite_database: Database, crm: Crm
) -> None:
    """An admin enters somebody and tries again at once: intake need not ask again then."""
    a_firm(sqlite_database, sender_policy="open")
    with live(section_of(crm, cache_seconds=300)) as (sources, (watched,)):
        assert told(tried(sqlite_database, sources, from_nina())) == [("hold", "stranger")]
        crm.hold(NINA)
        assert told(tried(sqlite_database, sources, from_nina())) == [FILED]
        asked = len(watched.asked)
        assert taken_in(sqlite_database, sources, from_nina()) == [FILED]
        assert len(watched.asked) == asked


def test_no_session_is_open_while_a_source_is_asked(database: Database, crm: Crm) -> None:
    a_firm(database, sender_policy="open")
    section = section_of(crm)
    source = Observant(section, database)
    sources = LiveSources([source], [section])
    try:
        tried(database, sources, from_nina())
    finally:
        sources.close()
    assert source.in_use == [0]


def test_stored_explanations_say_who_was_asked(
    sqlite_database: Database, crm: Crm, stall: Stall
) -> None:
    a_firm(sqlite_database, sender_policy="open")
    crm.hold(NINA)
    read(sqlite_database, crm.section())
    with live(section_of(crm)) as (sources, (watched,)):
        stall(watched)
        simulation = tried(sqlite_database, sources, from_nina())
        assert taken_in(sqlite_database, sources, from_nina()) == [FILED]
    with sqlite_database.read() as session:
        stored = session.scalars(select(Delivery.trace)).one()
    assert stored == trace(simulation.recipients[0].decision)
    with in_language("de"):
        (shown,) = (each for each in shown_steps(stored) if each.rule == "Kundenquellen")
    assert shown.answer == "nicht erreichbar"
    assert shown.because.startswith("Nach dem Absender gefragt: crm. Keine Antwort kam von crm")


def test_what_no_source_could_say_is_not_asked(
    sqlite_database: Database, crm: Crm, stall: Stall
) -> None:
    a_firm(sqlite_database, sender_policy="open")
    with live(section_of(crm, when_away="defer")) as (sources, (watched,)):
        stall(watched)
        simulation = tried(sqlite_database, sources, from_nina("nobody@example.org"))
        assert told(simulation) == [("reject", "unknown-recipient")]
        assert watched.asked == []
    rules = {step.rule for step in simulation.recipients[0].decision.steps}
    assert "sources" not in rules
