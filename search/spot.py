"""`python -m search.spot`: tells Ray, two minutes ahead, that AWS will reclaim this spot machine.

Ray then drains the machine: its trials write a checkpoint after every epoch, and no new process
starts on it. Google Cloud has nothing to wait for: its only notice is the shutdown itself.
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

from trainables.base.commandline import BAD_INPUT, FAULT, OK, OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line

METADATA = "http://169.254.169.254"
"""The metadata server of every AWS machine, which announces that a spot machine will be reclaimed.

Source: docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

NOTICE_S = 120
"""Seconds between AWS's notice and the end of the machine."""

POLL_S = 5.0
"""Seconds between two questions to the server, as the page above recommends."""

ANSWER_S = 5.0
"""Seconds that the server has to answer."""

_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens addresses without a proxy, which would answer with the metadata of its own machine."""


def _ask(url: str, method: str, header: str, value: str) -> str | None:
    """Return what the metadata server answers, or None for 404, as when no notice was given.

    Raises OSError or HTTPException when no server answers.
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
    """Return whether AWS has announced that it will reclaim this machine.

    Raises OSError or HTTPException when no server answers.
    """
    word = "X-aws-ec2-metadata-token"
    token = _ask(f"{server}/latest/api/token", "PUT", f"{word}-ttl-seconds", "60") or ""
    return _ask(f"{server}/latest/meta-data/spot/instance-action", "GET", word, token) is not None


def drain() -> bool:
    """Tell the cluster that this machine will end, and return True; raises whatever Ray raises."""
    import ray  # here, so that help and refused options need not wait for it

    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    try:
        context = ray.get_runtime_context()
        address, node = context.gcs_address, context.get_node_id()
    finally:
        ray.shutdown()
    command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", address]
    command += ["--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    command += ["--reason-message", "AWS is reclaiming this spot machine"]
    command += ["--deadline-remaining-seconds", str(NOTICE_S)]
    subprocess.run(command, check=True, timeout=NOTICE_S / 4)
    return True


def repeat(attempt: Callable[[], bool], what: str, patience_s: float = math.inf) -> bool:
    """Call `attempt` until it returns True or patience runs out; return whether it returned True.

    It prints each exception after `what`, and tries again.
    """
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            if attempt():
                return True
        except Exception as error:  # noqa: BLE001 - sockets, HTTP and Ray raise many
            print(f"{what}: {one_line(error)}", file=sys.stderr, flush=True)
        time.sleep(POLL_S)
    return False


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the only option, the metadata server's address."""
    parser = OneLineParser(
        prog="python -m search.spot",
        description="Wait until AWS announces that it will reclaim this spot machine, then make "
        "Ray drain it: its trials write a checkpoint after every epoch, and no new process starts "
        "on it. cluster.yaml starts this program on every worker.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--metadata",
        default=METADATA,
        metavar="URL",
        help=f"address of the metadata server [{METADATA}]",
    )
    return parser


def _server(url: str) -> str:
    if not url.startswith("http://"):
        raise InvalidInput(f"--metadata {url!r} must begin with http://")
    return url.rstrip("/")


@as_command
def main(words: Sequence[str]) -> int:
    """Wait for the notice and drain; return 0, 1, or 2 after one line about bad input."""
    try:
        server = _server(build_parser().parse_args(words).metadata)
    except InvalidInput as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    repeat(lambda: is_reclaimed(server), f"{server} does not answer")
    if not repeat(drain, "could not tell Ray", NOTICE_S):
        return FAULT
    print("AWS is reclaiming this spot machine: Ray drains it", flush=True)
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
