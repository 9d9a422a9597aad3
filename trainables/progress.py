"""RUN/progress.json: how far a run is, which the run writes while it works and a live page reads.

It says what the tables cannot: what is running now, what is still to come, and which models without
a row of their own (references, those of a race) are made.
"""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any

FILE = "progress.json"

VERSION = 1

RUNNING, FINISHED, INTERRUPTED, FAULTY = OUTCOMES = ("running", "finished", "interrupted", "fault")
"""What became of a run.  One that was killed stays `running` and no longer writes."""

BEAT_S = 10.0
"""A run that works writes the file at least this often."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorProgress:
    """How many of a vector's models are made in one stage."""

    n: tuple[int, ...]
    parameters: Mapping[str, float]
    models: int
    done: int = 0
    failed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageProgress:
    """One stage of a run: search, race, ..."""

    name: str
    title: str
    total: int
    done: int = 0
    """Ended trials, the failed ones among them."""

    failed: int = 0
    running: int = 0
    slots: int = 1
    busy_s: float = 0.0
    """Seconds that trials ran, those of all slots added up."""

    left_s: float | None = None
    """About how long it still takes; None while no trial has ended."""

    vectors: tuple[VectorProgress, ...] = ()
    """Of a stage that makes models of given vectors, best first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunProgress:
    """A whole run."""

    outcome: str = RUNNING
    updated_at: str
    """UTC, ISO 8601."""

    planned: Mapping[str, int]
    """Kind of stage -> its models, at most, in the order of the run."""

    cpus_per_trial: float
    gpus_per_trial: float
    stages: tuple[StageProgress, ...] = ()
    """Those that have begun, the newest last."""

    def to_json(self) -> str:
        """The content of the file."""
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)}, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunProgress":
        """What the file holds. Raises ValueError for anything but what `to_json` writes."""
        try:
            if values["version"] != VERSION:
                raise ValueError(f"it has version {values['version']}, not {VERSION}")
            return cls(
                outcome=OUTCOMES[OUTCOMES.index(values["outcome"])],
                updated_at=_in_utc(str(values["updated_at"])),
                planned={str(kind): int(count) for kind, count in values["planned"].items()},
                cpus_per_trial=float(values["cpus_per_trial"]),
                gpus_per_trial=float(values["gpus_per_trial"]),
                stages=tuple(map(_stage, values["stages"])),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"it is damaged: {error!r}") from error


MEASURES = ("baseline", "given")
"""Stages that measure a model which another stage made."""


def kind_of(stage: str) -> str:
    """The kind of a stage by its name.

    >>> kind_of("dense-32"), kind_of("references-0"), kind_of("race")
    ('dense', 'confirm', 'race')
    """
    kind = stage.partition("-")[0]
    return {"references": "confirm", "baseline": "dense", "given": "dense"}.get(kind, kind)


def _in_utc(text: str) -> str:
    """The same moment. Raises ValueError for what is no time, or none of a known zone."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} is in no time zone")
    return moment.astimezone(datetime.UTC).isoformat()


def _stage(values: Mapping[str, Any]) -> StageProgress:
    left = values["left_s"]
    return StageProgress(
        name=str(values["name"]),
        title=str(values["title"]),
        **{name: int(values[name]) for name in ("total", "done", "failed", "running", "slots")},
        busy_s=float(values["busy_s"]),
        left_s=None if left is None else float(left),
        vectors=tuple(map(_vector, values["vectors"])),
    )


def _vector(values: Mapping[str, Any]) -> VectorProgress:
    return VectorProgress(
        n=tuple(map(int, values["n"])),
        parameters={str(name): float(value) for name, value in values["parameters"].items()},
        **{name: int(values[name]) for name in ("models", "done", "failed")},
    )
