"""Every cap on what a client may take (threat model A1 and C), in one place.

A *relay* is a client of ``smtp.trusted_relays`` or of the LMTP socket; everybody else is a
*stranger*.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The caps; times in seconds, sizes in bytes."""

    # Connections at the same time. Relays have a reserve that strangers cannot use up.
    connections: int = 200
    connections_per_address: int = 10
    connections_per_minute: int = 300  # from one address
    relay_connections: int = 100

    # Time
    command_seconds: float = 60.0  # between two commands, or two pieces of a message
    handshake_seconds: float = 30.0
    data_seconds: float = 540.0
    data_grace_seconds: float = 30.0  # before the least rate is asked for
    data_bytes_per_second: int = 1_000
    session_seconds: float = 600.0
    relay_session_seconds: float = 3600.0
    look_up_seconds: float = 15.0  # for the database to say whether an address exists
    take_in_seconds: float = 15.0  # from the hand-over until the commit
    waiting_seconds: float = 60.0  # for the hand-over, while others are being taken in
    farewell_seconds: float = 2.0  # for a last reply to be read, before the connection is cut
    shutdown_seconds: float = 20.0  # for messages on their way when the gateway stops

    # Dialogue
    command_bytes: int = 1_000  # RFC 5321 4.5.3.1.4 asks for 512, SMTPUTF8 for more
    recipients: int = 100  # in one transaction; RFC 5321 4.5.3.1.8 asks for as many
    idle_commands: int = 20  # NOOP, RSET, HELP, VRFY, EHLO: without a message in between
    bad_commands: int = 10  # in a session
    refused_recipients: int = 100  # in a stranger's session: guessing addresses

    # Message
    line_bytes: int = 64 * KIB  # without its end
    overrun_bytes: int = 64 * KIB  # read past the size limit to answer in order, then cut
    spool_bytes: int = 256 * KIB  # a longer message waits in a file
    in_hand_bytes: int = 32 * MIB  # of all messages handed to the writer

    # Checks of senders, which ask name servers of strangers
    checks: int = 16  # at the same time
    checked_bytes: int = 32 * MIB  # of all messages that are being checked
    check_waiting_seconds: float = 10.0  # for a check to begin, then the sender counts as neutral
    check_seconds: float = 15.0  # for a whole check; its look-ups have a deadline of their own

    # Checks of content, which ask clamd and rspamd, and begin as those of senders do
    content_checks: int = 8  # at the same time
    content_checked_bytes: int = 32 * MIB  # of all messages that are being checked
