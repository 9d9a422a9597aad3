"""What the search chooses: candidates, {n_i} with a defence's own numbers, as Optuna parameters.

Notation: w_i = weights of layer i, n_i = non-zero weights it may keep, keep ratio = n_i / w_i. A
`keep/...` parameter is the ratio that a group of layers shares, log-uniform in [minimum_keep, 1];
all other parameters are the defence's, under their own names.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from search.space_kind import KINDS
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.defenses.registry import Parameter

Counts = tuple[int, ...]
Params = dict[str, float]

MOST_CLUSTERS = 6
"""The most groups of layers in a space of kind `cluster`."""


@functools.lru_cache
def clusters(layer_weights: Counts) -> tuple[tuple[int, ...], ...]:
    """Group consecutive layers into at most 6 clusters of similar weight count and depth.

    Minimises the summed squared distance to the cluster's mean of (log10 w_i, depth), with depth
    from 0 to 1, exactly, by dynamic programming; the earliest cut wins a tie.
    """
    n_layers = len(layer_weights)
    n_clusters = min(MOST_CLUSTERS, n_layers)
    features = np.column_stack([np.log10(layer_weights), np.linspace(0.0, 1.0, n_layers)])
    spread = np.full((n_layers, n_layers + 1), np.inf)  # spread[a, b]: of layers a .. b - 1
    for first in range(n_layers):
        for end in range(first + 1, n_layers + 1):
            group = features[first:end]
            spread[first, end] = np.square(group - group.mean(axis=0)).sum()
    least = spread[0]  # least[b]: of layers 0 .. b - 1 in as many clusters as rounds so far
    cuts: list[np.ndarray] = []
    for _ in range(1, n_clusters):
        totals = least[:n_layers, None] + spread
        cuts.append(totals.argmin(axis=0))
        least = totals.min(axis=0)
    groups: list[tuple[int, ...]] = []
    end = n_layers
    for cut in reversed(cuts):
        first = int(cut[end])
        groups.append(tuple(range(first, end)))
        end = first
    groups.append(tuple(range(end)))
    return tuple(reversed(groups))


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """What one trial tries; equal {n_i} and equal numbers of the defence make equal candidates."""

    n: Counts
    parameters: tuple[tuple[str, float], ...] = ()
    """The (name, value) pairs of the defence's numbers, sorted by name."""

    @classmethod
    def of(cls, n: Sequence[int], parameters: Mapping[str, float] | None) -> "Candidate":
        """The candidate in the columns of a row or in the suggestion for a trial."""
        return cls(
            n=tuple(int(count) for count in n),
            parameters=tuple(sorted((parameters or {}).items())),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Space:
    """The candidates that a run can try, and the parameters that a sampler sees."""

    kind: str
    """One of KINDS."""

    layer_names: tuple[str, ...]
    layer_weights: Counts

    minimum_keep: float = 0.02
    """The least keep ratio of a group, in (0, 1); a layer always keeps at least one weight."""

    prunes: bool = True
    """Whether {n_i} is searched; if not, every layer keeps its weights."""

    parameters: Mapping[str, Parameter] = dataclasses.field(default_factory=dict)
    """The defence's own numbers."""

    def __post_init__(self) -> None:
        known(self.kind, KINDS, "space")
        object.__setattr__(self, "layer_names", tuple(self.layer_names))
        object.__setattr__(self, "layer_weights", tuple(self.layer_weights))
        if not self.layer_names or len(self.layer_names) != len(self.layer_weights):
            raise InvalidInput(
                f"a space needs a weight count for each layer, got {len(self.layer_names)} names "
                f"and {len(self.layer_weights)} counts"
            )
        if len(set(self.layer_names)) != len(self.layer_names):
            raise InvalidInput(f"layer names must differ, got {', '.join(self.layer_names)}")
        if min(self.layer_weights) < 1:
            raise InvalidInput(f"every layer needs a weight, got counts {self.layer_weights}")
        if not 0 < self.minimum_keep < 1:
            raise InvalidInput(
                f"the least keep ratio must lie in (0, 1), got {self.minimum_keep}: 0.02 is 2%"
            )

    @property
    def groups(self) -> dict[str, tuple[int, ...]]:
        """Each parameter name and the layers that share its keep ratio, in order."""
        if not self.prunes:
            return {}
        if self.kind == "layer":
            return {f"keep/{name}": (layer,) for layer, name in enumerate(self.layer_names)}
        if self.kind == "global":
            return {"keep/all": tuple(range(len(self.layer_names)))}
        return {f"keep/cluster{i}": group for i, group in enumerate(clusters(self.layer_weights))}

    def distributions(self) -> dict[str, BaseDistribution]:
        """The keep ratios, log-uniform in [minimum_keep, 1], and the defence's searched numbers."""
        keep: dict[str, BaseDistribution] = {
            name: FloatDistribution(self.minimum_keep, 1.0, log=True) for name in self.groups
        }
        return keep | {
            name: _distribution(parameter)
            for name, parameter in self.parameters.items()
            if parameter.searched
        }

    @property
    def is_point(self) -> bool:
        """Whether there is nothing to choose."""
        return not self.distributions()

    def candidate(self, params: Mapping[str, float]) -> Candidate:
        """The candidate at a point of the space; numbers not searched keep their defaults."""
        return Candidate.of(
            self.counts(params),
            {
                name: float(params[name] if parameter.searched else parameter.default)
                for name, parameter in self.parameters.items()
            },
        )

    def point(self, candidate: Candidate) -> Params:
        """The point nearest to a candidate, from which `candidate` makes it again."""
        values = dict(candidate.parameters)
        own = {
            name: int(values[name]) if parameter.integer else values[name]
            for name, parameter in self.parameters.items()
            if parameter.searched
        }
        return self.params(candidate.n) | own

    def counts(self, params: Mapping[str, float]) -> Counts:
        """{n_i} = round(keep * w_i) with 1 <= n_i <= w_i, which never falls as a ratio grows."""
        if not self.prunes:
            return self.layer_weights
        chosen = [0] * len(self.layer_weights)
        for name, layers in self.groups.items():
            for layer in layers:
                weights = self.layer_weights[layer]
                chosen[layer] = min(max(round(params[name] * weights), 1), weights)
        return tuple(chosen)

    def params(self, counts: Sequence[int]) -> Params:
        """The point nearest to {n_i}: each group keeps the fraction that its layers keep together.

        For the layer kind, `counts` inverts it exactly wherever n_i / w_i >= minimum_keep.
        Raises InvalidInput when the counts do not fit this network.
        """
        if len(counts) != len(self.layer_weights) or not all(
            1 <= n <= weights for n, weights in zip(counts, self.layer_weights, strict=True)
        ):
            raise InvalidInput(
                f"the counts {tuple(counts)} do not fit layers of {self.layer_weights} weights: "
                "they come from another network"
            )
        keep = {
            name: sum(counts[i] for i in layers) / sum(self.layer_weights[i] for i in layers)
            for name, layers in self.groups.items()
        }
        return {name: float(max(ratio, self.minimum_keep)) for name, ratio in keep.items()}

    def anchors(self, vectors: Iterable[Sequence[int]]) -> list[Params]:
        """The points to try first: given vectors, with the defence's numbers at their defaults.

        They keep their order; a point that leads to the same candidate as an earlier one is left
        out.
        """
        defaults = {name: parameter.default for name, parameter in self.parameters.items()}
        points: dict[Candidate, Params] = {}
        for vector in vectors:
            point = self.point(Candidate.of(vector, defaults))
            points.setdefault(self.candidate(point), point)
        return list(points.values())


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.integer:
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
