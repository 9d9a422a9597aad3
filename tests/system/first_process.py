"""PID 1 of a host made of namespaces: own /tmp, /run, /dev/shm, HOME and name, and an sshd.

Runs as `python first_process.py SETTINGS.json` in fresh namespaces; ends, and its host with it,
when its standard input closes, so that no host outlives the test that made it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

HOME = Path("/tmp/home")  # in the host's own /tmp
KEYS = Path("/run/keys")


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def give_own_folders(stage: Path, visible: list[tuple[Path, Path]]) -> None:
    """Cover /run, /dev/shm and /tmp; show each (path here, path there) of `visible` again."""
    fresh = stage / "tmp"
    fresh.mkdir()
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", fresh)
    for here, there in visible:
        if there.is_relative_to("/tmp"):
            there = fresh / there.relative_to("/tmp")
        there.mkdir(parents=True, exist_ok=True)
        mount("--bind", here, there)
    (fresh / "home").mkdir(mode=0o700)
    (fresh / "home" / ".bashrc").touch()
    mount("--rbind", fresh, "/tmp")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm")


def give_own_account(stage: Path) -> None:
    """Let root's home be HOME for all that ask the system."""
    lines = Path("/etc/passwd").read_text().splitlines()
    changed = [f"root:*:0:0:root:{HOME}:/bin/bash", *(x for x in lines if x[:5] != "root:")]
    (stage / "passwd").write_text("\n".join(changed) + "\n")
    mount("--bind", stage / "passwd", "/etc/passwd")


def start_sshd(public_key: str) -> None:
    """Key authentication only, for root, under keys of this host's own."""
    KEYS.mkdir(mode=0o700)
    Path("/run/sshd").mkdir(mode=0o755)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(KEYS / "host")], check=True
    )
    (KEYS / "allowed").write_text(public_key)
    options = {
        "HostKey": KEYS / "host",
        "AuthorizedKeysFile": KEYS / "allowed",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
    }
    (KEYS / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in options.items()))
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin") or "sshd"
    subprocess.run([sshd, "-f", str(KEYS / "sshd_config"), "-E", "/run/sshd.log"], check=True)


def end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main(settings_file: Path) -> None:
    settings = json.loads(settings_file.read_text())
    stage = settings_file.parent
    socket.sethostname(settings["name"])
    give_own_account(stage)
    give_own_folders(stage, [(Path(here), Path(there)) for here, there in settings["visible"]])
    if settings["public_key"] is not None:
        start_sshd(settings["public_key"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    keeper = subprocess.Popen(["sleep", "infinity"])  # so that there is always one to wait for
    while os.waitpid(-1, 0)[0] != keeper.pid:  # orphans are the first process's to bury
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
