"""Notice that this machine or the whole program will soon be gone: write checkpoints now."""

import contextlib
import logging
import threading

import ray
from ray._private.state import state
from ray.experimental import internal_kv

log = logging.getLogger(__name__)

POLL_S = 1.0
"""The seconds between two checks for a notice."""

ANSWER_S = 5.0
"""The seconds within which a live head answers; Ray ends a process that waits a minute."""


def _key() -> bytes:
    """A key for this program alone: each program that joins a cluster is one of its jobs."""
    return f"prune-privacy-notice-{ray.get_runtime_context().get_job_id()}".encode()


def give_notice() -> None:
    """Tell all trials of this program, on every machine, that it is about to end.

    Raises one of Ray's errors when the head does not answer; then nobody has been told.
    """
    head = internal_kv.internal_kv_get_gcs_client()
    head.internal_kv_put(_key(), b"1", True, None, timeout=ANSWER_S)


def withdraw_notice() -> None:
    """Remove the notice, so that nothing stays behind in a cluster that lives on."""
    head = internal_kv.internal_kv_get_gcs_client()
    with contextlib.suppress(Exception):  # a cluster that is lost keeps nothing either
        head.internal_kv_del(_key(), False, None, timeout=ANSWER_S)


class Notice:
    """Whether the program has been told to end, or Ray has been told that this machine will go.

    Ray calls the latter draining: `ray start --block` drains its machine when it gets SIGTERM, and
    so do the autoscaler and `python -m search.spot`.  A thread asks, because a head that is away
    for a while must not hold up training.  Without Ray, no notice is ever given.
    """

    def __init__(self) -> None:
        """Start the thread that asks."""
        self._given = threading.Event()
        if ray.is_initialized():
            threading.Thread(target=self._ask_for_ever, name="notice", daemon=True).start()

    @property
    def given(self) -> bool:
        """Whether to write a checkpoint as soon as possible."""
        return self._given.is_set()

    def _ask_for_ever(self) -> None:
        key, node = _key(), ray.get_runtime_context().get_node_id()
        head = internal_kv.internal_kv_get_gcs_client()
        never = threading.Event()
        while not never.wait(POLL_S):
            try:
                given = (
                    head.internal_kv_exists(key, None, timeout=ANSWER_S)
                    or node in state.get_draining_nodes()
                )
            except Exception as error:  # noqa: BLE001 - asked again
                log.debug("no answer about a notice: %s", error)
                continue
            (self._given.set if given else self._given.clear)()
