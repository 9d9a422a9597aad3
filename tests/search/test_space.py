"""The space: parameters <-> {n_i}, bounds, clusters and anchors."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.space import Candidate, Space, clusters
from search.space_kind import KINDS, default_kind
from trainables.base.errors import InvalidInput
from trainables.defenses.registry import DEFENSES, Parameter

LENET = (150, 2400, 48000, 10080, 840)
sizes = st.lists(st.integers(1, 2_000_000), min_size=1, max_size=20).map(tuple)


def space_of(kind, weights=LENET, minimum_keep=0.02):
    return Space(kind, tuple(f"layer{i}" for i in range(len(weights))), weights, minimum_keep)


@st.composite
def spaces(draw, kinds=KINDS):
    least = draw(st.floats(0.001, 0.5))
    return space_of(draw(st.sampled_from(kinds)), draw(sizes), least)


@st.composite
def points(draw):
    space = draw(spaces())
    keep = st.floats(space.minimum_keep, 1.0)
    return space, {name: draw(keep) for name in space.distributions()}


def test_parameter_names_say_what_they_keep():
    assert list(space_of("layer").distributions())[:2] == ["keep/layer0", "keep/layer1"]
    assert list(space_of("global").distributions()) == ["keep/all"]
    deep = space_of("cluster", (10,) * 20)
    assert list(deep.distributions()) == [f"keep/cluster{i}" for i in range(6)]


def test_keep_ratios_are_log_uniform_down_to_the_minimum():
    for kind in KINDS:
        for distribution in space_of(kind, minimum_keep=0.05).distributions().values():
            assert (distribution.low, distribution.high, distribution.log) == (0.05, 1.0, True)


def test_space_is_per_layer_up_to_eight_layers():
    assert [default_kind(n) for n in (1, 8, 9, 53)] == ["layer", "layer", "cluster", "cluster"]


@given(points())
def test_counts_stay_between_one_and_the_weights(point):
    space, params = point
    counts = space.counts(params)
    assert all(1 <= n <= w for n, w in zip(counts, space.layer_weights, strict=True))
    assert all(type(n) is int for n in counts)


@given(points())
def test_counts_are_the_rounded_share(point):
    space, params = point
    for name, layers in space.groups.items():
        for layer in layers:
            weights = space.layer_weights[layer]
            share = params[name] * weights
            assert (
                space.counts(params)[layer] == 1 or abs(space.counts(params)[layer] - share) <= 0.5
            )


@given(points(), st.data())
def test_raising_a_keep_ratio_lowers_no_count(point, data):
    space, params = point
    name = data.draw(st.sampled_from(sorted(params)))
    raised = {**params, name: data.draw(st.floats(params[name], 1.0))}
    before, after = space.counts(params), space.counts(raised)
    assert all(a <= b for a, b in zip(before, after, strict=True))


@given(spaces(kinds=("layer",)), st.data())
def test_layer_space_gives_reachable_counts_back_exactly(space, data):
    counts = tuple(
        data.draw(st.integers(max(1, math.ceil(space.minimum_keep * w)), w))
        for w in space.layer_weights
    )
    assert space.counts(space.params(counts)) == counts


@given(points())
def test_params_lie_in_the_space_and_counts_settle_after_one_round(point):
    space, params = point
    nearest = space.params(space.counts(params))
    assert all(space.minimum_keep <= keep <= 1.0 for keep in nearest.values())
    if space.kind == "layer":
        assert space.counts(nearest) == space.counts(params)


@given(spaces())
def test_dense_is_in_every_space(space):
    dense = space.layer_weights
    assert space.counts(space.params(dense)) == dense


def test_a_group_keeps_what_its_layers_keep_together():
    space = space_of("global", (100, 300))
    assert space.params((100, 100)) == {"keep/all": 0.5}
    assert space.counts({"keep/all": 0.5}) == (50, 150)


def test_counts_below_the_range_are_lifted_to_its_edge():
    assert space_of("global", (100, 300)).params((1, 1)) == {"keep/all": 0.02}


@pytest.mark.parametrize("counts", [(1, 1), (0, 1, 1, 1, 1), (151, 1, 1, 1, 1)])
def test_counts_of_another_network_are_refused(counts):
    with pytest.raises(InvalidInput, match="another network"):
        space_of("layer").params(counts)


@given(sizes)
def test_clusters_are_consecutive_and_hold_each_layer_once(weights):
    groups = clusters(weights)
    assert [layer for group in groups for layer in group] == list(range(len(weights)))
    assert len(groups) == min(6, len(weights))
    assert all(groups)


def test_clusters_cut_where_the_weight_count_jumps():
    assert clusters((10, 10, 10**6, 10**6, 10, 10, 10**6, 10**6, 10, 10, 10**6, 10**6)) == (
        (0, 1),
        (2, 3),
        (4, 5),
        (6, 7),
        (8, 9),
        (10, 11),
    )


def test_clusters_of_equal_layers_follow_depth():
    assert {len(group) for group in clusters((64,) * 18)} == {3}


@given(st.lists(st.integers(1, 10**6), min_size=7, max_size=9).map(tuple))
def test_no_other_cut_is_tighter(weights):
    """Oracle: every way to cut the layers into six."""
    import itertools

    import numpy as np

    features = np.column_stack([np.log10(weights), np.linspace(0, 1, len(weights))])

    def spread(edges):
        parts = [features[a:b] for a, b in itertools.pairwise(edges)]
        return sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts)

    every = (
        spread((0, *cuts, len(weights)))
        for cuts in itertools.combinations(range(1, len(weights)), 5)
    )
    edges = (*(group[0] for group in clusters(weights)), len(weights))
    assert spread(edges) == pytest.approx(min(every), abs=1e-9)


def test_anchors_keep_their_order_and_lose_their_duplicates():
    space = space_of("layer", (100, 1000))
    vectors = [(100, 1000), (50, 500), (100, 1000), (10, 20), (50, 500)]
    assert [space.counts(p) for p in space.anchors(vectors)] == [(100, 1000), (50, 500), (10, 20)]


def test_anchors_that_differ_only_outside_the_space_are_one():
    space = space_of("global", (100, 1000))
    assert len(space.anchors([(10, 540), (100, 450)])) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("layers", ("a",), (1,)), "did you mean layer"),
        (("layer", ("a", "a"), (1, 1)), "must differ"),
        (("layer", ("a",), (1, 1)), "1 names and 2 counts"),
        (("layer", (), ()), "0 names"),
        (("layer", ("a",), (0,)), "needs a weight"),
        (("layer", ("a",), (1,), 0.0), r"in \(0, 1\)"),
        (("layer", ("a",), (1,), 1.0), r"in \(0, 1\)"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        Space(*arguments)


@st.composite
def defended_spaces(draw):
    spec = DEFENSES[draw(st.sampled_from(sorted(DEFENSES)))]
    names = tuple(f"layer{i}" for i in range(len(LENET)))
    numbers = spec.numbers(draw(st.sampled_from([1, 2, 3, 40, 100])))
    return Space("layer", names, LENET, 0.02, prunes=spec.prunes, parameters=numbers)


@given(defended_spaces(), st.data())
def test_every_candidate_of_a_defence_comes_back_from_its_point(space, data):
    params = {}
    for name, distribution in space.distributions().items():
        whole = type(distribution).__name__ == "IntDistribution"
        draw = st.integers if whole else st.floats
        params[name] = data.draw(draw(distribution.low, distribution.high))
    candidate = space.candidate(params)
    assert {name for name, _ in candidate.parameters} == set(space.parameters)
    assert space.candidate(space.point(candidate)) == candidate


def test_a_defence_that_does_not_prune_keeps_every_weight():
    spec = DEFENSES["weight-decay"]
    space = Space("layer", ("a", "b"), (10, 20), prunes=False, parameters=spec.parameters)
    assert list(space.distributions()) == ["weight_decay"]
    assert space.candidate({"weight_decay": 2.0}) == Candidate((10, 20), (("weight_decay", 2.0),))
    assert space.anchors([(10, 20)]) == [{"weight_decay": spec.parameters["weight_decay"].default}]


def test_a_number_that_is_not_searched_stays_at_its_default():
    gamma = Parameter(low=0.1, high=10, default=3, searched=False)
    space = Space("layer", ("a",), (10,), prunes=False, parameters={"gamma": gamma})
    assert space.is_point
    assert space.candidate({}).parameters == (("gamma", 3.0),)
