"""A real Postfix as our relay: encrypted, and what arrives behind it is what was composed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from core.config import RelaySection
from core.models import RawMail
from core.outgoing.relay import Deadlines
from core.words import OutgoingState
from tests.outgoing.sending import Postbox
from tests.support.certificates import make_certificate
from tests.support.postfix import NoPostfix, run_postfix
from tests.support.processes import wait_until
from tests.support.relay import Relay, run_relay

PATIENT = Deadlines(connect=20, command=20, message=30)
TEXT = "Guten Tag\n.\n..zwei\nFrom hier\n\nMAIL FROM:<evil@elsewhere.example>\n" + "ä" * 400


@contextmanager
def postfix(folder: Path, behind: Relay) -> Iterator[RelaySection]:
    """Run a Postfix that demands TLS and hands everything on; give how to reach it."""
    certificate = make_certificate(folder, "DNS:localhost")
    main_cf = (
        "mydestination =\nrelay_domains = muster.example\n"
        f"relay_transport = smtp:[127.0.0.1]:{behind.port}\n"
        "smtpd_recipient_restrictions = check_recipient_access inline:{"
        "{unknown@muster.example = 550 5.1.1 unknown},"
        "{grey@muster.example = 450 4.7.1 greylisted}}, reject_unauth_destination\n"
        f"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {certificate.file}\n"
        f"smtpd_tls_key_file = {certificate.key}\nmessage_size_limit = 1000000\n"
    )
    try:
        with run_postfix(folder, main_cf, "smtp") as port:
            yield RelaySection(host="localhost", port=port, ca_file=str(certificate.file))
    except NoPostfix as error:
        pytest.skip(f"Postfix as the relay: {error}")


@pytest.mark.slow
def test_mail_arrives_behind_postfix_as_it_was_composed(small_postbox: Postbox) -> None:
    good, unknown, grey = (
        small_postbox.put(f"{name}@muster.example", text=TEXT)[0]
        for name in ("anna", "unknown", "grey")
    )
    (elsewhere,) = small_postbox.put("x@other.example")
    (big,) = small_postbox.put("anna@muster.example", text="x" * 2_000_000)
    folder = Path(tempfile.mkdtemp(prefix="schalter-postfix-"))
    try:
        with run_relay() as behind, postfix(folder, behind) as configured:
            small_postbox.courier(configured, deadlines=PATIENT).run_due()
            wait_until(lambda: bool(behind.messages), "the message behind Postfix")
            log = (folder / "log").read_text()
    finally:
        shutil.rmtree(folder)
    replies = {each: small_postbox.mail(each).reply for each in (unknown, grey, elsewhere, big)}
    states = {each: small_postbox.mail(each).state for each in replies}
    assert small_postbox.mail(good).state is OutgoingState.SENT, (log, replies)
    assert small_postbox.mail(good).reply.startswith("250 2.0.0 Ok: queued as ")
    assert states == {
        unknown: OutgoingState.FAILED,
        grey: OutgoingState.WAITING,
        elsewhere: OutgoingState.FAILED,
        big: OutgoingState.FAILED,
    }
    assert "550 5.1.1" in replies[unknown]
    assert "450 4.7.1" in replies[grey]
    assert "554 5.7.1" in replies[elsewhere]
    assert replies[big].startswith("552 5.3.4")
    (received,) = behind.messages
    mail = small_postbox.mail(good)
    assert (received.mail_from, received.recipient) == (mail.mail_from, "anna@muster.example")
    with small_postbox.database.read() as session:
        composed = session.scalars(select(RawMail.content).filter_by(id=mail.raw_id)).one()
    trace, ours = received.content.split(b"From: ", 1)
    assert b"From: " + ours == composed
    assert trace.startswith(b"Received: from mx.example.org (")
    assert b"with ESMTPS" in trace
    assert not behind.faults
