"""The worked examples of the README, step by step, on real servers."""

import base64
import hashlib
from pathlib import Path

import bcrypt
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from core.accounts.signing_in import SignInFailed
from core.audit import SYSTEM
from core.config import Config, load_config
from core.db import Database
from core.sources.adopt import adopt
from core.sources.asking.live import LiveSources, open_live_sources
from core.sources.configured import open_sources
from core.sources.mirroring.passes import read_all
from core.sources.passwords.hashes import _TO_BCRYPT
from tests.sources.crm import PASSWORD, account, logins
from tests.sources.test_sign_in import enter
from tests.support.mariadb import MariadbServer
from tests.support.postgresql import PostgresqlServer
from tests.support.readme import example, with_values

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.company (id int PRIMARY KEY, debtor text, name text);
CREATE TABLE crm.person (
    id int PRIMARY KEY, company_id int REFERENCES crm.company, mail text, mail_2 text,
    first_name text, last_name text, phone text, left_at date, password text, salary int
);
INSERT INTO crm.company VALUES (1, 'D-100', 'Öztürk Maschinenbau GmbH');
INSERT INTO crm.person VALUES
    (1, 1, 'cigdem@oeztuerk.example', 'c@privat.example', 'Çiğdem', 'Öztürk', '1', NULL, '-', 9),
    (2, 1, 'mehmet@oeztuerk.example', NULL, 'Mehmet', 'Öztürk', NULL, '2020-01-31', NULL, 9);
"""
CRM_PART = "#### A CRM on PostgreSQL"

OTRS = """
CREATE TABLE customer_company (
    customer_id VARCHAR(150) PRIMARY KEY, name VARCHAR(200) NOT NULL UNIQUE,
    street VARCHAR(200), zip VARCHAR(200), city VARCHAR(200), country VARCHAR(200),
    url VARCHAR(200), comments VARCHAR(250), valid_id SMALLINT NOT NULL
);
CREATE TABLE customer_user (
    id INT AUTO_INCREMENT PRIMARY KEY, login VARCHAR(200) NOT NULL UNIQUE,
    email VARCHAR(150) NOT NULL, customer_id VARCHAR(150) NOT NULL, pw VARCHAR(128),
    title VARCHAR(50), first_name VARCHAR(100) NOT NULL, last_name VARCHAR(100) NOT NULL,
    phone VARCHAR(150), fax VARCHAR(150), mobile VARCHAR(150), street VARCHAR(150),
    zip VARCHAR(200), city VARCHAR(200), country VARCHAR(200), comments VARCHAR(250),
    valid_id SMALLINT NOT NULL
);
INSERT INTO customer_company (customer_id, name, valid_id) VALUES ('K-1', 'Lehmann & Söhne', 1);
"""
OTRS_PART = "#### Moving over from OTRS or OTOBO"

SALT = b"abcdefghij012345"
BCRYPT = bcrypt.hashpw(
    PASSWORD.encode(), b"$2a$04$" + base64.b64encode(SALT).rstrip(b"=").translate(_TO_BCRYPT)
).decode()
# As OTRS and OTOBO have stored passwords over the years, by what they call it (CryptType). Those
# of crypt(3) were made by libxcrypt.
STORED = {
    "bcrypt": f"BCRYPT:4:{SALT.decode()}:{BCRYPT[-31:]}",
    "sha2": hashlib.sha256(PASSWORD.encode()).hexdigest(),
    "sha512": hashlib.sha512(PASSWORD.encode()).hexdigest(),
    "sha1": hashlib.sha1(PASSWORD.encode()).hexdigest(),
    "md5": "$1$12345678$9PG7nUtMppQC7SRp8TiRH.",
    "crypt": "zzu5j8/ayX6e6",
}


@pytest.mark.postgresql
def test_a_view_of_a_crm_on_postgresql(
    sqlite_database: Database, postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    name = postgresql_server.create()
    owner = postgresql_server.url(name)
    try:
        run(owner, CRM, example(CRM_PART, "sql"))
        reader = make_url(owner).set(username="schalter_reader").render_as_string()
        section = example(CRM_PART, "toml")
        config = configured(tmp_path, with_values(section, url=reader, password_file=""))
        read_all_of(sqlite_database, config)
        assert logins(sqlite_database) == {
            "cigdem@oeztuerk.example": ("crm", "valid"),
            "mehmet@oeztuerk.example": ("crm", "invalid"),
        }
        engine = create_engine(reader, poolclass=NullPool)
        with pytest.raises(DBAPIError, match="permission denied"), engine.connect() as connection:
            connection.exec_driver_sql("SELECT salary FROM crm.person")
    finally:
        run(owner, "DROP OWNED BY schalter_reader; DROP ROLE schalter_reader")
        postgresql_server.drop(name)
    found_account = account(sqlite_database, "cigdem@oeztuerk.example")
    assert (found_account.customer.number, found_account.customer.name) == (
        "D-100",
        "Öztürk Maschinenbau GmbH",
    )
    assert [row.address for row in found_account.addresses] == [
        "cigdem@oeztuerk.example",
        "c@privat.example",
    ]


@pytest.mark.mariadb
def test_moving_over_from_otrs(
    sqlite_database: Database, mariadb_server: MariadbServer, tmp_path: Path
) -> None:
    name = mariadb_server.create()
    owner = mariadb_server.url(name)
    try:
        run(owner, OTRS, example(OTRS_PART, "sql"))
        with create_engine(owner, poolclass=NullPool).begin() as connection:
            for login, stored in {**STORED, "never": None}.items():
                connection.execute(
                    text(
                        "INSERT INTO customer_user (login, email, customer_id, pw, first_name, "
                        "last_name, valid_id) VALUES (:login, :mail, 'K-1', :pw, 'A', 'B', 1)"
                    ),
                    {"login": f"o.{login}", "mail": f"{login}@lehmann.example", "pw": stored},
                )
        secret = tmp_path / "otrs.password"
        secret.write_text("secret\n", encoding="utf-8")
        options = f"?ssl_ca={mariadb_server.ca_file}"
        url = make_url(mariadb_server.tcp_url(name, options=options))
        reader = url.set(username="schalter_reader").render_as_string()
        section = example(OTRS_PART, "toml")
        config = configured(tmp_path, with_values(section, url=reader, password_file=str(secret)))
        read_all_of(sqlite_database, config)
        with open_live_sources(config) as sources:
            for login in STORED:
                enter(sqlite_database, sources, f"o.{login}")
                with pytest.raises(SignInFailed):
                    enter(sqlite_database, sources, f"o.{login}", password="wrong")
    finally:
        mariadb_server.execute("DROP USER schalter_reader")
        mariadb_server.drop(name)

    adopted = adopt(sqlite_database, SYSTEM, "otrs")
    assert (adopted.with_password, adopted.without_password) == (len(STORED), 1)
    for login in STORED:
        assert (
            enter(sqlite_database, LiveSources([], []), f"o.{login}").account.login == f"o.{login}"
        )
    assert account(sqlite_database, "o.md5").customer.name == "Lehmann & Söhne"


def run(url: str, *scripts: str) -> None:
    """Let the owner of a database do what stands in the README."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in ";".join(scripts).split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))
    engine.dispose()


def configured(folder: Path, section: str) -> Config:
    """Return the configuration with a section of the README."""
    file = folder / "schalter.toml"
    file.write_text(section, encoding="utf-8")
    return load_config(str(file))


def read_all_of(database: Database, config: Config) -> None:
    """Read every record, as ``schalter sources sync`` does."""
    with open_sources(config) as sources:
        names = [source.name for source in sources]
        for source in sources:
            read_all(database, source, names, source.all_records())
