"""Files and what comes of them, for tests of import and export."""

from collections.abc import Sequence

from core.accounts.groups import GroupValues, save_group
from core.audit import SYSTEM
from core.db import Database
from core.exchange.bring import bring_about, try_out
from core.exchange.columns import KINDS
from core.exchange.entries import Entries, guess_columns, guess_kind, read_entries
from core.exchange.plan import Plan
from core.exchange.reading import read_sheet
from core.exchange.writing import export

CUSTOMERS = "number;name;city;groups\nK-1;Muster GmbH;Köln;technik=rw\nK-2;Acme;;\n"
USERS = (
    "login;customer_number;email;first_name;last_name;valid\n"
    "anna;K-1;anna@muster.example;Anna;Muster;valid\n"
    "bert;K-1;bert@muster.example;Bert;Muster;valid\n"
    "carol;K-2;carol@acme.example;Carol;Jones;invalid\n"
)


def entries_of(content: str | bytes) -> Entries:
    """Read a file whose columns are known by their names."""
    sheet = read_sheet(content.encode() if isinstance(content, str) else content)
    kind = guess_kind(sheet)
    return read_entries(sheet, kind, guess_columns(sheet, kind))


def bring(database: Database, content: str | bytes, agreed: str | None = None) -> Plan:
    """Import a file."""
    with database.write() as session:
        return bring_about(session, SYSTEM, entries_of(content), agreed=agreed)


def tried(database: Database, content: str | bytes) -> Plan:
    """Return what a file would come to."""
    with database.read() as session:
        return try_out(session, entries_of(content))


def faults(database: Database, content: str | bytes) -> Sequence[str]:
    """Return what is wrong with a file, as people read it."""
    return [str(fault) for fault in tried(database, content).faults]


def exported(database: Database, kind: str = "users") -> bytes:
    """Return the file of everything stored."""
    with database.read() as session:
        return b"".join(export(session, KINDS[kind]))


def set_up(database: Database) -> None:
    """Store two groups, two customers and three customer users."""
    with database.write() as session:
        for name in ("technik", "after sales"):
            save_group(session, SYSTEM, GroupValues(name=name))
    bring(database, CUSTOMERS)
    bring(database, USERS)
