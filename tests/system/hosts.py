"""Hosts made of namespaces on one machine: own network, processes, files, name and sshd each.

A `Network` starts one desk (no sshd; it also carries the bridge) and hosts h0, h1, ... on
10.77.0.0/24. Nothing is made outside their namespaces: when their first processes end, all is gone.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.system import first_process

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 600
"""A wait that never ends would hide a hang; far more than a slow machine takes."""

TOOLS = {
    "curl": "curl",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ps": "procps",
    "rsync": "rsync",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "unshare": "util-linux",
}
"""What the hosts and their tests run, and Debian's package of each."""

SHARED = Path("/tmp/shared")
"""Where every host, but not the desk, sees the same folder."""

_SEARCH_PATH = (
    f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)


def why_not_here() -> str | None:
    """What this machine lacks for hosts of namespaces; None when nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts of namespaces need root on Linux (CI is)"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=_SEARCH_PATH) is None]
    if missing:
        packages = sorted({TOOLS[tool] for tool in missing})
        return f"{', '.join(missing)} missing: apt-get install {' '.join(packages)}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "ip", "link", "add", "type", "bridge"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"this machine makes no namespaces: {tried.stderr.strip()}" if tried.returncode else None


def wait_until(
    happened: Callable[[], object],
    what: str,
    patience_s: float = PATIENCE_S,
    pause_s: float = 0.2,
) -> None:
    """Return once `happened()` is true; fail with `what` when it never is."""
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, f"{patience_s:g} s without: {what}"
        time.sleep(pause_s)


class Host:
    """One set of namespaces, alive until `kill`."""

    def __init__(self, name: str, address: str, stage: Path, shared: Path | None, key: str | None):
        """stage: an empty folder.  key: the public key that its sshd lets in; None for no sshd."""
        self.name, self.address = name, address
        visible = [(path, path) for path in {ROOT, Path(sys.prefix), Path(sys.base_prefix)}]
        if shared is not None:
            visible.append((shared, SHARED))
        settings = stage / "settings.json"
        settings.write_text(
            json.dumps(
                {
                    "name": name,
                    "public_key": key,
                    "visible": [
                        (str(here), str(there))
                        for here, there in sorted(visible)
                        if there.is_relative_to("/tmp")
                    ],
                }
            )
        )
        own = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        self._init = subprocess.Popen(
            ["unshare", *own, "--mount-proc", sys.executable, first_process.__file__, settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        )
        ready = self._init.stdout and self._init.stdout.readline()
        assert ready == "ready\n", f"{name} did not start"

    @property
    def pid(self) -> int:
        """Of a process in the host's network, as this machine counts."""
        return self._init.pid

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell there; nothing of this process's own."""
        return {
            "HOME": str(first_process.HOME),
            "PATH": _SEARCH_PATH,
            "LANG": "C.UTF-8",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def words(self, *words: object) -> list[str]:
        """The command line that runs `words` there."""
        pid = self._init.pid
        enter = ["nsenter", "-t", str(pid), "-n", "-m", "-u", "-i"]
        enter += [f"--pid=/proc/{pid}/ns/pid_for_children", f"--wd={ROOT}", "--"]
        return [*enter, *map(str, words)]

    def start(self, *words: object, **options: object) -> "subprocess.Popen[str]":
        """`words` there, in the background."""
        merged = {**self.environment, **options.pop("env", {})}  # type: ignore[dict-item]  # a caller's env is a dict of text
        return subprocess.Popen(self.words(*words), env=merged, text=True, **options)  # type: ignore[call-overload]  # Popen's own options, passed on

    def run(self, *words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        """`words` there, to their end."""
        return subprocess.run(
            self.words(*words),
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def must(self, *words: object, **environment: str) -> str:
        """What `words` print there; fails when they fail."""
        done = self.run(*words, **environment)
        assert done.returncode == 0, f"{self.name}: {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def network(self, *words: object) -> None:
        """`ip` in the host's network."""
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", "ip", *map(str, words)], check=True)

    def processes(self, part: str) -> list[str]:
        """Command lines of living processes there that contain `part`."""
        listed = self.must("ps", "-ewwo", "stat=,pid=,args=")
        alive = [line for line in listed.splitlines() if not line.startswith("Z")]
        return [line for line in alive if part in line.split(None, 2)[2]]

    def kill_processes(self, *parts: str) -> None:
        """kill -9, all at once, of every process there whose command line contains one of them."""
        pids: set[str] = set()
        for part in parts:
            found = {line.split()[1] for line in self.processes(part)}
            assert found, f"{self.name} runs no {part}"
            pids |= found
        self.must("kill", "-9", *pids)

    def kill(self) -> None:
        """End everything there, as when its plug is pulled."""
        self._init.kill()
        self._init.wait()
        for pipe in (self._init.stdin, self._init.stdout):
            if pipe is not None:
                pipe.close()


class Network:
    """A desk and some hosts on one bridge."""

    def __init__(self, stage: Path, hosts: int) -> None:
        self._stage = stage
        self.shared = stage / "shared"
        self.shared.mkdir()
        self.hosts: list[Host] = []
        self.desk = Host("desk", "10.77.0.254", self._folder("desk"), None, None)
        self._count = hosts

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in (*self.hosts, self.desk):
            host.kill()

    def unplug(self, host: Host) -> None:
        """Cut the host's cable; its processes live on."""
        self.desk.network("link", "set", host.name, "down")

    def plug_in(self, host: Host) -> None:
        """Mend the cable."""
        self.desk.network("link", "set", host.name, "up")

    def _folder(self, name: str) -> Path:
        folder = self._stage / name
        folder.mkdir()
        return folder

    def _build(self) -> None:
        desk = self.desk
        desk.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/home/key")
        public = desk.must("cat", "/tmp/home/key.pub")
        desk.network("link", "set", "lo", "up")
        desk.network("link", "add", "bridge", "type", "bridge")
        desk.network("addr", "add", f"{desk.address}/24", "dev", "bridge")
        desk.network("link", "set", "bridge", "up")
        for number in range(self._count):
            name, address = f"h{number}", f"10.77.0.{number + 1}"
            host = Host(name, address, self._folder(name), self.shared, public)
            self.hosts.append(host)
            peer = ("peer", "name", "eth0", "netns", host.pid)
            desk.network("link", "add", "name", name, "type", "veth", *peer)
            desk.network("link", "set", name, "master", "bridge", "up")
            host.network("link", "set", "lo", "up")
            host.network("addr", "add", f"{address}/24", "dev", "eth0")
            host.network("link", "set", "eth0", "up")
            host.network("route", "add", "default", "via", desk.address)  # Ray asks for its address
