"""A PostgreSQL mirror whose password is not on the command line, where others can read it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.record import mirror as module
from tests.search.record.test_mirror import SPACE, mirror, row
from tests.system.servers import PASSWORD, Postgres, postgres

pytestmark = [pytest.mark.slow, pytest.mark.system]


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def url(database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the database, in a home that knows no password."""
    module._warned.clear()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    return database.url_without_password


def mirrored(url: str, study: str, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether one row arrived; a refusal is said in one line, without the password."""
    with caplog.at_level(logging.DEBUG):
        added = mirror(url, study, [row(0)], SPACE)
    assert PASSWORD not in caplog.text
    assert len(caplog.records) == 1 - added
    return added == 1


def test_without_a_password_the_server_refuses(url: str, caplog) -> None:
    assert not mirrored(url, "none", caplog)
    assert "no password supplied" in caplog.text


def test_the_password_is_read_from_the_environment(url: str, caplog, monkeypatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert mirrored(url, "environment", caplog)


def test_the_password_is_read_from_the_users_file(url: str, caplog, tmp_path: Path) -> None:
    file = tmp_path / ".pgpass"
    file.write_text(f"127.0.0.1:*:runs:ada:{PASSWORD}\n")
    file.chmod(0o600)
    assert mirrored(url, "file", caplog)


def test_a_password_in_the_url_still_works(database: Postgres, url: str, caplog) -> None:
    assert mirrored(database.url, "url", caplog)
