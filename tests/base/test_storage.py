"""Where a run lies, and how its files are replaced, on a disk and in a store that fails."""

import os
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyarrow import fs

from trainables.base import storage
from trainables.base.errors import InvalidInput
from trainables.base.storage import RemotePath, children, is_temporary, place, write


@pytest.mark.parametrize("text", ["runs/one", "/tmp/with space", "weird:name", ""])
def test_what_names_no_store_is_a_folder(text: str) -> None:
    assert place(text) == Path(text)


def test_a_file_uri_is_a_folder() -> None:
    assert place("file:///tmp/a%20run") == Path("/tmp/a run")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("ftp://host/run", "is not a store that is known here"),
        ("s3://bucket", "names no bucket and run"),
        ("s3://bucket/", "names no bucket and run"),
        ("s3:///run", "names no bucket and run"),
        ("s3://a bucket/run", "names no bucket and run"),
        ("s3://AKIA:secret@bucket/run", "holds credentials"),
        ("s3://bucket/läuft", "is not a URI"),
        ("s3://bucket/a%zz", "is not a URI"),
        ("s3://bucket/a%ff", "is not a URI"),
        ("s3://bucket/a#b", "is not a URI"),
    ],
)
def test_a_uri_that_cannot_be_used_is_one_line_without_its_secret(uri: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        place(uri)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """URIs that a client was made for; none asks a network."""
    uris: list[str] = []
    from_uri = fs.FileSystem.from_uri

    def counted(uri: str) -> tuple[fs.FileSystem, str]:
        uris.append(uri)
        return from_uri(uri)

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(
        storage, "fs", SimpleNamespace(FileSystem=SimpleNamespace(from_uri=counted))
    )
    storage._store_of.cache_clear()
    return uris


def test_the_objects_of_a_bucket_share_one_client(opened: list[str]) -> None:
    run = place("s3://bucket/runs/one?region=eu-central-1")
    stores = [(run / f"{number}.parquet")._store for number in range(20)]
    assert all(store is stores[0] for store in stores)
    assert opened == ["s3://bucket?region=eu-central-1"]
    for uri in ("s3://other/one?region=eu-central-1", "s3://bucket/one?region=us-east-1"):
        assert place(uri)._store is not stores[0]
    assert len(opened) == 3


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/one?region=x",
        "s3://bucket/a%20b/%C3%A4%2Fc?region=x",
        "s3://bucket//a//b/../c/?region=x",
        "s3://bucket/a'b(c)!*;:@&=$,~+?region=x",
        "gs://bucket/one/two",
    ],
)
def test_a_key_is_the_one_that_ray_makes_of_the_uri(uri: str) -> None:
    assert place(uri)._key == fs.FileSystem.from_uri(uri)[1]


def test_keys_and_server_of_ones_own_come_from_the_users_file_and_the_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(f"{self.path} {self.headers['Authorization']}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = OF-THE-FILE\naws_secret_access_key = secret\n"
    )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        query = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http"
        assert place(f"s3://bucket/run/config.json?{query}").exists()
        server.shutdown()
    assert asked[0].startswith("/bucket/run/config.json AWS4-HMAC-SHA256 Credential=OF-THE-FILE/")


def test_parts_are_appended_before_the_query() -> None:
    run = place("s3://bucket/runs/one/?region=eu-central-1")
    assert str(run / "config.json") == "s3://bucket/runs/one/config.json?region=eu-central-1"
    assert (run / "config.json").name == "config.json"
    assert pickle.loads(pickle.dumps(run)) == run


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    write(target, "a longer first content")
    write(target, b"second")
    assert target.read_bytes() == b"second"
    assert children(target.parent) == [target]


def test_a_write_that_fails_keeps_the_old_file_and_removes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", "old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert not any(map(is_temporary, children(tmp_path)))


class Flaky:
    """A store that fails so often, then keeps what it gets."""

    def __init__(self, failures: int) -> None:
        self.failures, self.content = failures, b""

    def put(self, content: bytes) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("AWS Error NETWORK_CONNECTION")
        self.content = content


def test_a_store_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    store = Flaky(4)
    monkeypatch.setattr(storage.time, "sleep", pauses.append)
    monkeypatch.setattr(RemotePath, "put", lambda self, content: store.put(content))
    write(RemotePath("s3://bucket/file"), "content")
    assert store.content == b"content"
    assert pauses == [0.5, 1, 2, 4]


def test_a_store_that_stays_away_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(storage.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(storage.time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))
    store = Flaky(10**6)
    monkeypatch.setattr(RemotePath, "put", lambda self, content: store.put(content))
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        write(RemotePath("s3://bucket/file"), "content")
    assert 60 < now[0] <= storage.PATIENCE_S
