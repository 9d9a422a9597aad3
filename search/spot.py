"""`python -m search.spot`: tells Ray two minutes before AWS takes this spot machine back.

Trials on a machine that drains write a checkpoint after every epoch, and Ray starts no new process
there.  On Google Cloud the notice is the machine's shutdown itself: there is nothing to wait for.
"""

import argparse
import logging
import math
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

from trainables.base.commandline import OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line

OK, FAULT, BAD_INPUT = 0, 1, 2

METADATA = "http://169.254.169.254"
"""docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""

NOTICE_S = 120
POLL_S = 5.0  # as the page above recommends
ANSWER_S = 5.0

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy would be asked for its own machine's metadata."""


def _ask(url: str, method: str, header: str, value: str) -> str | None:
    """What the metadata server says; None where it knows of nothing, as before a notice.

    Raises OSError or HTTPException where none answers.
    """
    request = urllib.request.Request(url, headers={header: value}, method=method)
    try:
        with _DIRECTLY.open(request, timeout=ANSWER_S) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def is_reclaimed(server: str) -> bool:
    """Whether AWS has said that it takes this machine back. Raises as `_ask` without an answer."""
    word = "X-aws-ec2-metadata-token"
    token = _ask(f"{server}/latest/api/token", "PUT", f"{word}-ttl-seconds", "60") or ""
    return _ask(f"{server}/latest/meta-data/spot/instance-action", "GET", word, token) is not None


def drain() -> bool:
    """Tell the cluster of this machine that it ends; raises what Ray raises."""
    import ray  # here, so that help and refused options need not wait for it

    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    try:
        context = ray.get_runtime_context()
        address, node = context.gcs_address, context.get_node_id()
    finally:
        ray.shutdown()
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address]
    command += ["--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    command += ["--reason-message", "AWS takes this spot machine back"]
    command += ["--deadline-remaining-seconds", str(NOTICE_S)]
    subprocess.run(command, check=True, timeout=NOTICE_S / 4)
    return True


def repeat(attempt: Callable[[], bool], what: str, patience_s: float = math.inf) -> bool:
    """Whether `attempt` was true before patience was over; what it raises is printed."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if attempt():
                return True
        except Exception as error:  # noqa: BLE001 - of sockets, HTTP and Ray; tried again
            print(f"{what}: {one_line(error)}", file=sys.stderr, flush=True)
        time.sleep(POLL_S)
    return False


def build_parser() -> argparse.ArgumentParser:
    """Where to ask."""
    parser = OneLineParser(
        prog="python -m search.spot",
        description="Wait until AWS says that it takes this spot machine back, then have Ray drain "
        "it: running trials write a checkpoint after every epoch, and no new process starts here. "
        "cluster.yaml starts this on every worker.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--metadata", default=METADATA, metavar="URL", help=f"of the metadata server [{METADATA}]"
    )
    return parser


def _server(url: str) -> str:
    if not url.startswith("http://"):
        raise InvalidInput(f"--metadata {url!r} is no http:// address")
    return url.rstrip("/")


@as_command
def main(words: Sequence[str]) -> int:
    """Wait for the notice and drain; exit status 0, 1 or, with one line, 2."""
    try:
        server = _server(build_parser().parse_args(words).metadata)
    except InvalidInput as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    repeat(lambda: is_reclaimed(server), f"{server} does not answer")
    if not repeat(drain, "Ray could not be told", NOTICE_S):
        return FAULT
    print("AWS takes this spot machine back: Ray drains it", flush=True)
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
