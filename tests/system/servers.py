"""Real servers on this machine's loopback, each a process of the test that asked for it."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PATIENCE_S = 120
PASSWORD = "s3cret"
"""Of the database's user."""


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until something listens at `port`."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
            return
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.05)


class ObjectStore:
    """An S3 server that keeps its objects in memory."""

    def __init__(self, port: int) -> None:
        self.bucket = f"bucket-{port}"  # a process keeps its connection to a bucket by name
        self._url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(port, self.process)
        request = urllib.request.Request(f"{self._url}/{self.bucket}", method="PUT")
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()

    @property
    def environment(self) -> dict[str, str]:
        """What a client of this server sets."""
        return {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "secret-of-nobody",
            "AWS_ENDPOINT_URL": self._url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """An S3 server with one bucket, for as long as the context lasts."""
    store = ObjectStore(free_port())
    try:
        yield store
    finally:
        store.process.kill()
        store.process.wait()


class Postgres:
    """A PostgreSQL server with a database `runs`."""

    def __init__(self, folder: Path, port: int) -> None:
        """folder: empty; the server's own user can read and write it."""
        self._folder, self._port = folder, port
        self._owner = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(
            0o644
        )  # read by the server's own user, within the folder's mode
        asks = ("-A", "scram-sha-256", "--pwfile", folder / "password")
        self._do("initdb", "-D", folder / "data", *asks, "-U", "ada", "--no-sync")
        self.start()
        self._do("createdb", "-h", "127.0.0.1", "-p", port, "-U", "ada", "runs")

    @property
    def url(self) -> str:
        """Of the database, as --study-storage takes it, with the password that it asks for."""
        return f"postgresql://ada:{PASSWORD}@127.0.0.1:{self._port}/runs"

    @property
    def url_without_password(self) -> str:
        """The same, for a client that finds the password elsewhere."""
        return f"postgresql://ada@127.0.0.1:{self._port}/runs"

    def start(self) -> None:
        """Returns when it answers."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._folder} -F"
        self._do(
            "pg_ctl", "-D", self._folder / "data", "-w", "-o", options, "-l", self._folder / "log",
            "start",
        )  # fmt: skip

    def stop(self) -> None:
        """As in a crash: no client is asked."""
        self._do("pg_ctl", "-D", self._folder / "data", "-w", "-m", "immediate", "stop")

    def _do(self, program: str, *words: object) -> None:
        subprocess.run(
            [_binary(program), *map(str, words)],
            user=self._owner,
            cwd=self._folder,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=True,
        )


def _binary(program: str) -> str:
    """Debian keeps all but the clients outside PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = shutil.which(program) or (str(places[-1]) if places else None)
    assert found, f"{program} is not here: install Debian's package postgresql"
    return found


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, for as long as the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))  # short: a socket's path
    server = None
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server = Postgres(folder, free_port())
        yield server
    finally:
        if server is not None:
            with contextlib.suppress(subprocess.CalledProcessError):  # the test stopped it
                server.stop()
        shutil.rmtree(folder)
