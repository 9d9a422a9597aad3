"""What AWS's metadata server answers on a spot machine; `python spot_metadata.py PORT`."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "metadata-token"


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: nothing without a token; `server.notice` says which time it is."""

    def do_PUT(self) -> None:
        known = self.path == "/latest/api/token"
        asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") == "60"
        self._say(*((200, TOKEN) if known and asked else (400, "")))

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._say(401, "")
        elif self.path == "/latest/meta-data/spot/instance-action" and self.server.notice:  # type: ignore[attr-defined]  # set on the server below
            self._say(200, '{"action": "terminate", "time": "2026-11-25T00:00:00Z"}')
        else:
            self._say(404, "")
            self.server.asked.set()  # type: ignore[attr-defined]  # set on the server below

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


def serve(port: int, *, notice: bool = True) -> ThreadingHTTPServer:
    """A server on the loopback that answers once `serve_forever` is called."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Metadata)
    server.notice = notice  # type: ignore[attr-defined]  # what the handler asks for
    server.asked = threading.Event()  # type: ignore[attr-defined]  # what the handler asks for
    return server


@contextlib.contextmanager
def running(*, notice: bool) -> Iterator[ThreadingHTTPServer]:
    """One in a thread of this process."""
    server = serve(0, notice=notice)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    serve(int(sys.argv[1])).serve_forever()
