"""W&B: a parent run and a run per vector, in one group of a project.

No run stays open between two calls, so that none keeps the program from ending when the service is
away.  WANDB_MODE=offline keeps all of it in RUN/wandb, for `wandb sync`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.track.facts import FEASIBLE, choices, curves, figures, tags
from search.track.protocol import Outcome, Row, TrackedRun
from trainables.base.storage import Place, children, write
from trainables.records import FAILED

if TYPE_CHECKING:
    import wandb

TIMEOUT_S = 10
"""Of the one request before a run."""

CALL_S = 25.0
"""Of the start of a run, and of its end, in which the service takes what was logged."""

WHOLE = "whole"
"""How a folder in RUN/wandb begins that says which vectors one project was told: an offline project
cannot be asked."""


def require_account(address: str) -> None:
    """Raise the client's error unless it is logged in and the service answers, or it is offline."""
    wandb = _client()
    if wandb.setup().settings.mode == "online":
        wandb.Api(timeout=TIMEOUT_S).projects(address.partition("/")[0] if "/" in address else None)


def _client() -> Any:  # noqa: ANN401 - a module
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # who measures leaks sends nothing else
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    return wandb


class WandbRuns:
    """The runs of one search in a project."""

    def __init__(self, address: str) -> None:
        """address: PROJECT or ENTITY/PROJECT."""
        self._wandb = _client()
        entity, _, self._project = address.rpartition("/")
        self._entity = entity or None
        mode = self._wandb.setup().settings.mode
        self._told = f"{WHOLE}-{address.replace('/', '-')}-{mode}"
        self._run: TrackedRun | None = None

    def start(self, run: TrackedRun) -> Mapping[str, str]:
        """Ids follow from the run's, so that a resume goes on with the same."""
        self._run = run
        with self._opened(run.key, name=run.name, job_type="run", config=dict(run.settings)):
            pass
        whole = self._folder / self._told
        return {file.name: file.read_text(encoding="utf-8") for file in children(whole)}

    def vector(self, row: Row, epochs: Sequence[Row]) -> None:
        """Each phase has an axis of its own, its epochs."""
        told = tags(row)
        with self._opened(
            f"{self._key}-{row['trial_id']}",
            failed=row["state"] == FAILED,
            name=row["trial_id"],
            job_type=row["kind"],
            config={**choices(row), **told},
            tags=[f"{FEASIBLE}:{told[FEASIBLE]}"],
        ) as child:
            steps: dict[tuple[str, int], dict[str, float]] = {}
            for name, step, value in curves(epochs):
                phase = name.partition("/")[0]
                steps.setdefault((phase, step), {f"{phase}/epoch": step})[name] = value
            for phase in {phase for phase, _ in steps}:
                child.define_metric(f"{phase}/*", step_metric=f"{phase}/epoch")
            for number, values in enumerate(steps.values()):
                child.log(values, step=number)  # what was logged before is not logged again
            child.summary.update(figures(row))
        write(self._folder / self._told / row["trial_id"], row["state"])

    def winner(self, outcome: Outcome) -> None:
        """The winner's files are an artifact of the parent."""
        for trial_id, verdict in outcome.verdicts.items():
            with self._opened(f"{self._key}-{trial_id}", tags=[f"{FEASIBLE}:{verdict}"]) as child:
                child.config.update({FEASIBLE: verdict}, allow_val_change=True)
        with self._opened(self._key) as parent:
            parent.summary.update({**outcome.figures, "winner": str(outcome.winner)})
            if outcome.files:
                artifact = self._wandb.Artifact(f"winner-{self._key}", type="model")
                for file in outcome.files:
                    with artifact.new_file(file.name, mode="wb") as copy:
                        copy.write(file.read_bytes())
                parent.log_artifact(artifact)

    def close(self, *, finished: bool) -> None:
        """No run is open."""

    @property
    def _started(self) -> TrackedRun:
        if self._run is None:
            raise RuntimeError("the tracker was not started")
        return self._run

    @property
    def _key(self) -> str:
        return self._started.key

    @property
    def _folder(self) -> Place:
        return self._started.folder / "wandb"

    @contextlib.contextmanager
    def _opened(self, run_id: str, *, failed: bool = False, **shown: Any) -> "Iterator[wandb.Run]":
        """A run of the group; what W&B would gather by itself of program and machine stays here."""
        folder = self._started.folder
        settings = self._wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            host="",
            init_timeout=CALL_S,
            finish_timeout=CALL_S,
            finish_timeout_raises=True,
        )
        run = self._wandb.init(
            project=self._project,
            entity=self._entity,
            group=self._key,
            id=run_id,
            dir=folder if isinstance(folder, Path) else None,  # the user's own place
            resume="allow",
            reinit="create_new",
            allow_val_change=True,
            settings=settings,
            **shown,
        )
        try:
            yield run
        finally:
            run.finish(exit_code=int(failed))
