"""TensorBoard: event files below RUN/tensorboard, one folder for the run and one per vector.

A file is written aside and then moved, or put into the store, so that a vector's is whole or
absent; made again it replaces itself.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.track.facts import FEASIBLE, choices, curves, figures, tags
from search.track.protocol import Outcome, Row, TrackedRun
from trainables.base.storage import Place, write

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

PARENT = "run"
"""The folder of the run itself among those of its vectors."""


class TensorBoardFiles:
    """The event files of one run."""

    def __init__(self, address: str) -> None:
        """address: empty; TensorBoard reads files, and they lie in the run's folder."""
        self._address = address
        self._folder: Place | None = None

    def start(self, run: TrackedRun) -> Mapping[str, str]:
        """Nothing is said to be there: files cost so little that they are written again."""
        self._folder = run.folder / "tensorboard"
        with self._writer(PARENT, "settings") as writer:
            writer.add_text("settings", _as_text(run.settings))
        return {}

    def vector(self, row: Row, epochs: Sequence[Row]) -> None:
        """Curves, and a row for the page of hyperparameters."""
        with self._writer(row["trial_id"], "measured") as writer:
            for name, step, value in curves(epochs):
                writer.add_scalar(name, value, step)
            for name, text in tags(row).items():
                writer.add_text(name, text)
            writer.add_hparams({**choices(row), **tags(row)}, figures(row), run_name=".")

    def winner(self, outcome: Outcome) -> None:
        """TensorBoard has no artifacts: the card is shown, the weights stay in RUN/winner."""
        for trial_id, verdict in outcome.verdicts.items():
            with self._writer(trial_id, "verdict") as writer:
                writer.add_text(FEASIBLE, verdict, 1)
        with self._writer(PARENT, "winner") as writer:
            writer.add_text("winner", str(outcome.winner))
            for name, value in outcome.figures.items():
                writer.add_scalar(name, value, 0)
            for file in outcome.files:
                if file.name.endswith(".md"):
                    writer.add_text(file.name, file.read_text(encoding="utf-8"))

    def close(self, *, finished: bool) -> None:
        """Every file is whole already."""

    @contextlib.contextmanager
    def _writer(self, child: str, part: str) -> "Iterator[SummaryWriter]":
        """What is written goes to RUN/tensorboard/CHILD at the end, in place of an earlier PART."""
        from torch.utils.tensorboard.writer import SummaryWriter

        if self._folder is None:
            raise RuntimeError("the tracker was not started")
        with tempfile.TemporaryDirectory() as aside:
            with SummaryWriter(aside) as writer:
                yield writer
            for number, file in enumerate(sorted(Path(aside).iterdir())):
                name = f"events.out.tfevents.{part}.{number}"  # TensorBoard reads on by name
                write(self._folder / child / name, file.read_bytes())


def _as_text(settings: Mapping[str, str]) -> str:
    """As Markdown, which TensorBoard shows."""
    return f"```json\n{json.dumps(dict(settings), indent=1)}\n```"
