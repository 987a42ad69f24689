"""What is peculiar to MariaDB: its types, modes, limits and certificates."""

import time
from contextlib import closing
from pathlib import Path

import pymysql
import pytest
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from core import drivers
from core.config import SqlSourceSection
from core.db import foreign_engine
from core.sources.kinds.sql import SqlSource
from core.sources.source import By, SourceAway
from tests.sources.crm import ANNA, PASSWORD, STORED, Crm
from tests.support import mariadb
from tests.support.certificates import make_certificate
from tests.support.mariadb import MariadbServer

pytestmark = pytest.mark.mariadb


@pytest.mark.parametrize("mode", ["NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,PIPES_AS_CONCAT", ""])
def test_texts_are_quoted_whatever_the_server_is_set_to(
    mariadb_server: MariadbServer, mariadb_crm: Crm, mode: str
) -> None:
    strange = "o'ha\\ra\" -- %s"
    mariadb_crm.hold(ANNA | {"login": strange})
    mariadb_server.execute("SET GLOBAL sql_mode = %s", mode)
    try:
        with closing(SqlSource(mariadb_crm.section(), None)) as source:
            assert [found.login for found in source.find(By.LOGIN, [strange], 5)] == [strange]
            assert source.find(By.LOGIN, ["x\\' OR 1=1 -- "], 5) == []
    finally:
        mariadb_server.execute("SET GLOBAL sql_mode = DEFAULT")


def test_its_types(mariadb_crm: Crm) -> None:
    mariadb_crm.execute(
        "CREATE TABLE people (`schlüssel`` 100%` BINARY(3), login VARBINARY(50), "
        "mail CHAR(50) CHARACTER SET latin1, number DECIMAL(8), valid_id SMALLINT, active BIT(1), "
        "since DATE, at DATETIME, pw VARBINARY(100), photo BLOB)"
    )
    mariadb_crm.execute(
        "INSERT IGNORE INTO people VALUES ('K1', 'jörg', 'jörg@x.example', 10, 1, b'1', "
        "'0000-00-00', '2026-00-00 00:00:00', :pw, x'ff00fe')",
        pw=STORED,
    )
    mariadb_crm.execute(
        "INSERT INTO people VALUES ('K22', 'ute', 'ute@x.example', 11, 2, b'0', NULL, NULL, NULL, "
        "NULL)"
    )
    columns = {"key": "schlüssel` 100%", "login": "login", "email": "mail", "password": "pw"}
    both = columns | {"customer_number": "number"}
    for valid in ("valid_id", "active"):
        section = mariadb_crm.section(table="people", columns=both | {"valid": valid})
        with closing(SqlSource(section, None)) as source:
            records = {record.login: record for record in source.all_records()}
            assert [(login, each.valid) for login, each in records.items()] == [
                ("jörg", True),
                ("ute", False),
            ]
            assert records["jörg"].customer_number == "10"
            assert [found.login for found in source.find(By.LOGIN, ["JÖRG"], 5)] == ["jörg"]
            assert [found.login for found in source.find(By.ADDRESS, ["Jörg@x.example"], 5)] == [
                "jörg"
            ]
            assert [found.login for found in source.find(By.NUMBER, ["11"], 5)] == ["ute"]
            assert source.check_password(records["ute"].key, PASSWORD) is False
            (found, _ute) = source.samples(5)
            assert found.raw["since"] == ("0000-00-00",)
            assert found.raw["photo"] == ("\ufffd\0\ufffd",)


def test_a_slow_statement_is_ended_by_the_server(mariadb_crm: Crm) -> None:
    mariadb_crm.hold(*({**ANNA, "id": number} for number in range(1_000)))
    engine = foreign_engine(mariadb_crm.url, None, 1.0)
    people = "`Kunden Benutzer`"
    with pytest.raises(DBAPIError, match="max_statement_time"), engine.connect() as connection:
        connection.exec_driver_sql(
            f"SELECT MAX(a.id + b.id + c.id) FROM {people} a, {people} b, {people} c"
        )
    engine.dispose()


def test_who_reads_everything_slowly_is_not_hurried(
    mariadb_crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.sources.kinds.sql.SECONDS", 1.0)
    mariadb_crm.hold(*({**ANNA, "id": number, "firma": "x" * 200} for number in range(500)))
    for _time in range(6):  # 32,000 rows are more than the buffers between the server and us hold
        mariadb_crm.execute('INSERT INTO "Kunden Benutzer" SELECT * FROM "Kunden Benutzer"')
    with closing(SqlSource(mariadb_crm.section(), None)) as source:
        rows = source.all_records()
        next(rows)
        time.sleep(1.5)  # a reader that is slower than a statement may take
        assert sum(1 for _row in rows) == 31_999
        assert source.count() == 32_000


def tcp(server: MariadbServer, crm: Crm, host: str = "127.0.0.1", options: str = "") -> SqlSource:
    """Return a source that is reached over the network, with its password."""
    address = server.tcp_url(make_url(crm.url).database or "", host, options)
    section = crm.section().model_dump() | {"url": address}
    return SqlSource(SqlSourceSection(**section), mariadb.PASSWORD)


def test_over_the_network(mariadb_server: MariadbServer, mariadb_crm: Crm) -> None:
    mariadb_crm.hold(ANNA)
    with closing(tcp(mariadb_server, mariadb_crm)) as source:
        assert source.count() == 1


def test_its_certificate_is_verified(
    mariadb_server: MariadbServer, mariadb_crm: Crm, tmp_path: Path
) -> None:
    mariadb_crm.hold(ANNA)
    ours = f"?ssl_ca={mariadb_server.ca_file}"
    with closing(tcp(mariadb_server, mariadb_crm, options=ours)) as source:
        assert source.count() == 1
    other = f"?ssl_ca={make_certificate(tmp_path, 'IP:127.0.0.1').file}"
    for host, options in (("127.0.0.1", other), ("localhost", ours)):
        with (
            closing(tcp(mariadb_server, mariadb_crm, host, options)) as source,
            pytest.raises(SourceAway, match="certificate verify failed"),
        ):
            source.count()


def test_without_a_certificate_no_password_is_sent_in_plain_text() -> None:
    arguments = drivers.mysql_arguments(make_url("mysql://a@b/c"), "secret", 1.0)
    assert set(arguments["auth_plugin_map"]) == {"mysql_clear_password", "dialog"}
    with pytest.raises(pymysql.OperationalError, match="plain text"):
        arguments["auth_plugin_map"]["dialog"](None).authenticate(None)
    verified = drivers.mysql_arguments(make_url("mysql://a@b/c?ssl_ca=/ca.pem"), "secret", 1.0)
    assert "auth_plugin_map" not in verified


@pytest.mark.parametrize("option", ["ssl_check_hostname=false", "init_command=DROP", "charset=x"])
def test_an_address_cannot_weaken_the_connection(mariadb_crm: Crm, option: str) -> None:
    section = mariadb_crm.section().model_dump() | {"url": f"mysql://a@b/c?{option}"}
    with pytest.raises(ValidationError, match="ssl_ca, ssl_cert, ssl_key, unix_socket"):
        SqlSourceSection(**section)
