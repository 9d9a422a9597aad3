"""Who gets an answer of the live page's server, asked over a real socket."""

import http.client
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from analysis.live.newest import Newest
from search.dashboard.server import listening, serve
from tests.analysis.conftest import *  # noqa: F403 - run folders, as analysis's own tests make them
from trainables.base.errors import InvalidInput


@pytest.fixture
def served(write_run, make) -> Iterator[SimpleNamespace]:
    """A server of a small finished run, and the URLs that it told."""
    urls: list[str] = []
    with listening(0) as opened:
        server = serve(Newest(write_run(make.full())), opened, urls.append)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield SimpleNamespace(urls=urls, port=opened.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def ask(served: SimpleNamespace, path: str, method: str = "GET", **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=names)
        answer = connection.getresponse()
        body = answer.read().decode()
        return SimpleNamespace(status=answer.status, headers=answer.headers, body=body)
    finally:
        connection.close()


def entered(served: SimpleNamespace) -> str:
    """The cookie of a browser that opened the newest URL."""
    answer = ask(served, served.urls[-1].partition(str(served.port))[2])
    assert answer.status == 200
    return answer.headers["Set-Cookie"].partition(";")[0]


def test_a_url_opens_the_page_once_and_the_next_one_is_told(served):
    path = served.urls[0].partition(str(served.port))[2]
    first, second = ask(served, path), ask(served, path)
    assert (first.status, second.status) == (200, 403)
    assert "once" in second.body
    assert len(set(served.urls)) == 2
    entered(served)


def test_the_cookie_is_for_this_server_and_no_script_reads_it(served):
    answer = ask(served, served.urls[-1].partition(str(served.port))[2])
    name, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith(f"prune-privacy-{served.port}=")
    assert {"HttpOnly", "SameSite=Strict"} <= set(attributes)


@pytest.mark.parametrize("path", ["/", "/state", "/live.js", "/plotly.js", "/state?token=x", "/x"])
def test_nothing_is_answered_without_token_or_cookie(served, path):
    for headers in ({}, {"Cookie": f"prune-privacy-{served.port}=wrong"}, {"Cookie": "a=\x01;;="}):
        assert ask(served, path, **headers).status == 403


def test_with_the_cookie_all_parts_are_there_and_say_the_policy(served):
    cookie = entered(served)
    for path in ("/", "/state", "/live.js", "/plotly.js"):
        answer = ask(served, path, Cookie=cookie)
        assert answer.status == 200, path
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", ""]
)
def test_a_foreign_name_for_this_machine_is_refused(served, host):
    cookie = entered(served)
    assert ask(served, "/state", Cookie=cookie, Host=host.format(port=served.port)).status == 403


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:9000", "localhost"])
def test_the_other_end_of_a_tunnel_may_have_any_port(served, host):
    assert ask(served, "/state", Cookie=entered(served), Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
    ],
)
def test_another_page_in_the_same_browser_gets_nothing(served, headers):
    assert ask(served, "/state", Cookie=entered(served), **headers).status == 403


def test_a_link_in_another_page_opens_it(served):
    path = served.urls[-1].partition(str(served.port))[2]
    answer = ask(served, path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    assert answer.status == 200


def test_nothing_can_be_changed(served):
    cookie = entered(served)
    for method in ("POST", "PUT", "DELETE"):
        assert ask(served, "/state", method, Cookie=cookie).status == 405


def test_a_port_in_use_is_one_line(served):
    with pytest.raises(InvalidInput, match=f"--port {served.port} cannot be used .*choose another"):
        listening(served.port)


def test_only_loopback_listens():
    with listening(0) as opened:
        assert opened.getsockname()[0] == "127.0.0.1"
