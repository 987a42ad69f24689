"""A new secret key: forms that browsers have open go on working when the portal starts anew."""

from pathlib import Path

from flask.testing import FlaskClient

from core.db import Database
from core.models import now
from core.secret_key import rotate_secret_key
from portal.app import Portal
from tests.support.portal import RunningPortal, fill, make_app, token_of


def moved(client: FlaskClient, app: Portal) -> FlaskClient:
    """Return a browser with the cookies of another that talks to another portal."""
    new = app.test_client()
    new._cookies = client._cookies
    return new


def sign_out(client: FlaskClient, token: str) -> int:
    """Send the form that signs out; return the answer's status."""
    return client.post("/sign-out", data={"csrf_token": token}).status_code


def test_open_forms_outlive_a_rotation(sqlite_database: Database, tmp_path: Path) -> None:
    fill(sqlite_database)
    before = make_app(sqlite_database, tmp_path)
    client = RunningPortal("", sqlite_database, before).client("anna")
    token = token_of(client, "/tickets/new")
    for _time in range(2):
        rotate_secret_key(str(tmp_path / "secret.key"), now().date())
    after = make_app(sqlite_database, tmp_path)
    restarted = moved(client, after)
    assert restarted.get("/tickets/new").status_code == 200  # still signed in
    new = token_of(restarted, "/tickets/new")
    assert sign_out(moved(restarted, before), new) == 400  # signed with the new key
    assert sign_out(restarted, token) == 303
    (tmp_path / "secret.key").unlink()  # a key that was never ours is made
    stranger = make_app(sqlite_database, tmp_path)
    assert sign_out(moved(client, stranger), token) == 400
