"""The watch on a spot machine, against a server that answers as AWS's does."""

import http.client
import socket
import subprocess
import threading
from http.server import ThreadingHTTPServer

import pytest

from search import spot
from tests.system.spot_metadata import running


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(spot, "POLL_S", 0.01)


def test_a_machine_is_drained_only_once_aws_says_that_it_takes_it_back(monkeypatch, capsys):
    drained = []
    monkeypatch.setattr(spot, "drain", lambda: not drained.append(True))
    with running(notice=False) as server:
        statuses = []
        words = ("--metadata", address(server) + "/")
        watch = threading.Thread(target=lambda: statuses.append(spot.main(words)))
        watch.start()
        assert server.asked.wait(60)
        assert (drained, statuses) == ([], [])
        server.notice = True
        watch.join(60)
    assert statuses == [0]
    assert drained == [True]
    assert capsys.readouterr().out == "AWS is reclaiming this spot machine: Ray drains it\n"


def test_a_server_that_is_away_or_talks_nonsense_is_asked_again(monkeypatch, capsys):
    answers = iter([ConnectionRefusedError("away"), http.client.BadStatusLine("what"), False, True])

    def answer(_):
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(spot, "is_reclaimed", answer)
    monkeypatch.setattr(spot, "drain", lambda: True)
    assert spot.main(()) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("does not answer" in line for line in lines)


def test_without_a_server_the_answer_is_an_error_and_a_proxy_is_not_asked(monkeypatch):
    with socket.socket() as unused, running(notice=True) as proxy:
        monkeypatch.setenv("http_proxy", address(proxy))
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            spot.is_reclaimed(f"http://127.0.0.1:{unused.getsockname()[1]}")


def test_a_cluster_that_cannot_be_told_is_told_again_until_the_machine_ends(monkeypatch, capsys):
    def drain():
        raise subprocess.CalledProcessError(1, ["drain-node"])

    monkeypatch.setattr(spot, "drain", drain)
    monkeypatch.setattr(spot, "NOTICE_S", 0.1)
    with running(notice=True) as server:
        assert spot.main(("--metadata", address(server))) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert all(line.startswith("could not tell Ray: ") for line in lines)


@pytest.mark.parametrize(
    "words", [("azure",), ("--metadata", "file:///etc/passwd"), ("--metadata",), ("--meta", "x")]
)
def test_bad_input_is_one_line(words, capsys):
    assert spot.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
