"""Word that this machine, or the whole program, will be gone in a moment: write checkpoints now."""

import contextlib
import logging
import threading

import ray
from ray._private.state import state
from ray.experimental import internal_kv

log = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds after which every trial knows of a notice."""

ANSWER_S = 5.0
"""Seconds within which a head that lives answers; Ray ends a process that waits a minute."""


def _key() -> bytes:
    """The key of this program alone: each program that joins a cluster is one of its jobs."""
    return f"prune-privacy-notice-{ray.get_runtime_context().get_job_id()}".encode()


def give_notice() -> None:
    """Tell all trials of this program, on every machine, that it ends.

    Raises an error of Ray when its head does not answer: then it has told nobody.
    """
    head = internal_kv.internal_kv_get_gcs_client()
    head.internal_kv_put(_key(), b"1", True, None, timeout=ANSWER_S)


def withdraw_notice() -> None:
    """Leave nothing behind in a cluster that lives on."""
    head = internal_kv.internal_kv_get_gcs_client()
    with contextlib.suppress(Exception):  # a cluster that is lost keeps nothing either
        head.internal_kv_del(_key(), False, None, timeout=ANSWER_S)


class Notice:
    """Whether the program has been told to end, or Ray has been told that this machine will be.

    Ray calls the latter draining: `ray start --block` drains its machine when it gets SIGTERM, the
    autoscaler does, and so does `python -m search.spot`.  Asked in a thread, since a head that is
    away for a while must not hold up a training.  Without Ray there is no notice.
    """

    def __init__(self) -> None:
        """Start to ask."""
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
