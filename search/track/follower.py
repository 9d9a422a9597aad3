"""Passes a run on to a tracker in a thread: the run neither waits for it nor fails with it.

What goes wrong there, or takes too long, costs one warning and ends the tracking.
"""

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from search.record.redaction import redacted
from search.record.trials_parquet import Ledger
from search.track.protocol import Outcome, Row, TrackedRun, Tracker
from search.track.registry import Target
from trainables.base.errors import one_line

PATIENCE_S = 60.0
"""Seconds that one call may take; at its end a run waits for those that are left."""

LEAVING_S = 5.0
"""Seconds that an interrupted run waits for all of them: its resume tells what is left."""

TICK_S = 1.0
"""Between two looks at a thread that is waited for."""

_following: dict[str, "Follower"] = {}  # by run id; Tune pickles callbacks, and this holds a thread


class Follower:
    """A tracker and the thread that alone touches it."""

    def __init__(
        self, target: Target, run: TrackedRun, ledger: Ledger, say: Callable[[str], None]
    ) -> None:
        """ledger: has the rows that an earlier program did not pass on."""
        self._target, self._run, self._ledger, self._say = target, run, ledger, say
        self._tracker: Tracker | None = None
        self._there: dict[str, str] = {}  # trial id -> state, of the children that are whole
        self._calls: queue.SimpleQueue[Callable[[Tracker], None] | None] = queue.SimpleQueue()
        self._call_began: float | None = None
        self._lost: str | None = None
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def vector(self, row: Row, epochs: Sequence[Row]) -> None:
        """Have the child of a trial that has ended made soon."""
        self._pass_on(lambda tracker: self._vector(tracker, row, epochs))

    def winner(self, outcome: Callable[[], Outcome]) -> None:
        """Have the decision told, after every row that is only in the ledger.

        outcome: reads it, which is the tracker's affair: what fails there costs no run.
        """
        self._pass_on(self._catch_up)
        self._pass_on(lambda tracker: tracker.winner(outcome()))

    def close(self, *, finished: bool) -> None:
        """End the parent, and wait for that as long as one waits for a tracker."""
        self._pass_on(lambda tracker: tracker.close(finished=finished))
        self._calls.put(None)
        leaves = math.inf if finished else time.monotonic() + LEAVING_S
        said = False
        while self._thread.is_alive() and self._lost is None and time.monotonic() < leaves:
            self._thread.join(TICK_S)
            if finished and not said and self._thread.is_alive():
                self._say(f"Waiting for tracker {self._target.shown}")
                said = True
            self._notice_silence()
        self._warn()

    def _pass_on(self, call: Callable[[Tracker], None]) -> None:
        self._notice_silence()
        self._warn()
        if self._lost is None:
            self._calls.put(call)

    def _notice_silence(self) -> None:
        began = self._call_began
        if self._lost is None and began is not None and time.monotonic() - began > PATIENCE_S:
            self._lost = f"no answer within {PATIENCE_S:.0f} s"

    def _warn(self) -> None:
        if self._lost is None or self._warned:
            return
        self._warned = True
        self._say(
            f"warning: tracker {self._target.shown} is away ({self._lost}): the run goes on "
            "without it, and a --resume of it, with --track given again, tells the tracker what it "
            "missed"
        )

    def _work(self) -> None:
        """The thread: one call after the other, until the last or the first that fails."""
        call: Callable[[Tracker], None] | None = self._catch_up
        while call is not None and self._lost is None:
            self._call_began = time.monotonic()
            try:
                call(self._started())
            except Exception as error:  # noqa: BLE001 - clients raise what they like; none may cost a run
                cause = one_line(redacted(str(error), self._target.address))[:300]
                self._lost = cause or type(error).__name__
                return
            self._call_began = None
            call = self._calls.get()

    def _started(self) -> Tracker:
        if self._tracker is None:
            tracker = self._target.tracker()
            self._there = dict(tracker.start(self._run))
            self._tracker = tracker
        return self._tracker

    def _catch_up(self, tracker: Tracker) -> None:
        rows = self._ledger.rows()
        missed = [row for row in rows if self._there.get(row["trial_id"]) != row["state"]]
        if not missed:
            return
        epochs = self._ledger.epochs()
        for row in missed:
            self._call_began = time.monotonic()
            self._vector(tracker, row, epochs.get(row["trial_id"], []))

    def _vector(self, tracker: Tracker, row: Row, epochs: Sequence[Row]) -> None:
        if not epochs:  # of the dense network they were on disk before it was measured
            epochs = self._ledger.epochs().get(row["trial_id"], [])
        tracker.vector(row, epochs)
        self._there[row["trial_id"]] = row["state"]


@contextlib.contextmanager
def following(
    target: Target | None, run: TrackedRun, ledger: Ledger, say: Callable[[str], None]
) -> Iterator[Follower | None]:
    """A run is followed while the context lasts; None without a tracker."""
    if target is None:
        yield None
        return
    follower = _following[run.name] = Follower(target, run, ledger, say)
    finished = False
    try:
        yield follower
        finished = True
    finally:
        del _following[run.name]
        follower.close(finished=finished)


def followed(run_id: str) -> Follower | None:
    """Who follows the run in this process."""
    return _following.get(run_id)
