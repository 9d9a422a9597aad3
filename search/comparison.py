"""The settings of a comparison of defences: a run for each, on the same halves, with one budget."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from search.search_options import RACERS, SearchConfig
from trainables.base.errors import InvalidInput
from trainables.config import config_hash

LEVELS = (0.01, 0.02, 0.05, 0.1)
"""The drops in accuracy at which defences are compared, unless others are asked for."""

CONFIRM_TOP, MODELS = 1, 8
"""What a comparison confirms by default: one candidate for each level, with so many models."""

PARTS = ("runs", "asked")
"""What config.json holds of a comparison's settings."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The runs of a comparison, which differ in nothing but the defence and its numbers."""

    runs: tuple[SearchConfig, ...]

    asked: tuple[str, ...] = ()
    """What --set was given, as it was given: each defence takes the numbers that it has."""

    def __post_init__(self) -> None:
        names = self.defenses
        if len(names) < 2 or len(set(names)) < len(names):
            raise InvalidInput(f"a comparison is of several defences, got {', '.join(names)}")

    @property
    def defenses(self) -> tuple[str, ...]:
        """The defences, in the order of their runs."""
        return tuple(run.defense for run in self.runs)

    @property
    def widest(self) -> SearchConfig:
        """The run with the most dense models; those of the others are the first of its."""
        return max(self.runs, key=lambda run: run.dense_models)

    @property
    def levels(self) -> tuple[float, ...]:
        """The drops in accuracy at which the defences are compared, least first."""
        return tuple(sorted({level for run in self.runs for level in run.every_level} - {1.0}))

    @property
    def key(self) -> str:
        """The hash of all values; two comparisons with the same key asked for the same thing."""
        return config_hash(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types; the inverse of `from_dict`."""
        return {"runs": [run.to_dict() for run in self.runs], "asked": list(self.asked)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` wrote. Raises InvalidInput on unknown or missing fields."""
        runs, asked = (
            found
            if isinstance(values, Mapping) and isinstance(found := values.get(name), list)
            else []
            for name in PARTS
        )
        if not runs or not all(isinstance(run, dict) for run in runs):
            raise InvalidInput(
                "config.json lacks the runs of the comparison, or holds another kind of value; "
                "restore the file or start a new run"
            )
        return cls(runs=tuple(map(SearchConfig.from_dict, runs)), asked=tuple(map(str, asked)))


def races(trials: int) -> bool:
    """Whether a race pays in a comparison: with few trials all would race, and none would choose.

    Their models would cost as much as the confirmation.
    """
    return trials > RACERS
