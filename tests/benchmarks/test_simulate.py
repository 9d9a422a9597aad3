"""Simulated searches: budgets, determinism, and one page from end to end."""

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks import afresh, bench_search, best_known
from tests.benchmarks.best_known import Front
from tests.benchmarks.conftest import row
from tests.benchmarks.laboratory import Laboratory
from tests.benchmarks.methods import (
    GRID,
    METHODS,
    PUBLISHED_BEST,
    RACE,
    methods_for,
    penalised,
    space_of,
)
from tests.benchmarks.scores import difference, models_to_match, with_matched
from tests.benchmarks.simulate import confirmed_winner, simulate, simulated, trials_within
from tests.benchmarks.synthetic import Formula, synthetic

QUICK = [name for name in METHODS if name != "GP"]


def test_the_presets_own_budget_is_forty_trials_with_a_race(blackbox):
    assert trials_within(METHODS[RACE], 136, blackbox) == blackbox.config.trials == 40
    assert trials_within(METHODS["flat TPE"], 136, blackbox) == 88
    assert trials_within(METHODS[PUBLISHED_BEST], 136, blackbox) == 22
    assert trials_within(METHODS[RACE], 48, blackbox) == 0


@pytest.mark.parametrize("name", QUICK)
def test_no_method_takes_more_models_than_it_has(blackbox, name, monkeypatch):
    asked = {"trial": [], "race": [], "confirmed": []}

    def counted(kind, original):
        def measure(self, n):
            asked[kind].append(n)
            return original(self, n)

        return measure

    for kind in asked:
        monkeypatch.setattr(Laboratory, kind, counted(kind, getattr(Laboratory, kind)))
    simulated(blackbox, name, 0, [80])
    models = len(asked["trial"]) + 4 * len(asked["race"]) + 16 * len(asked["confirmed"])
    assert models <= 80


@pytest.mark.parametrize("name", [RACE, "OptunaSearch"])
def test_equal_seeds_give_equal_runs(blackbox, name):
    first, second = (simulated(blackbox, name, 5, [104]) for _ in range(2))
    assert first == second != simulated(blackbox, name, 6, [104])


@pytest.mark.parametrize("name", [name for name in QUICK if METHODS[name].endless])
def test_a_shorter_search_is_the_beginning_of_a_longer_one(blackbox, name):
    search = METHODS[name].search
    long, short = (search(Laboratory(blackbox, 0), trials) for trials in (60, 40))
    assert [row["n"] for row in long[:40]] == [row["n"] for row in short]


def test_the_uniform_grid_keeps_the_same_ratio_everywhere(blackbox):
    rows = METHODS["grid, uniform"].search(Laboratory(blackbox, 0), 9)
    kept = np.array([row["n"] for row in rows]) / np.array(blackbox.layer_weights)
    assert len({row["n"] for row in rows}) == 9
    np.testing.assert_allclose(kept, kept[:, 2:3].repeat(5, axis=1), atol=0.5 / 150)


def test_optunas_cost_adds_what_is_violated(blackbox):
    kept = {"excess_gain": 0.02, "accuracy_violation": -0.1, "compression_violation": -1.0}
    broken = {**kept, "accuracy_violation": 0.02}  # two allowed drops
    assert penalised(blackbox, kept) == 0.02
    assert penalised(blackbox, broken) == pytest.approx(0.02 + 2 * blackbox.dense_family)


def test_a_vector_that_surely_loses_too_much_does_not_win(blackbox):
    space = space_of(blackbox, "global")
    thin, fair = (space.counts({"keep/all": keep}) for keep in (0.03, 0.3))
    laboratory = Laboratory(blackbox, 0)
    assert confirmed_winner(laboratory, [thin]) is None
    assert confirmed_winner(laboratory, [thin, fair]) == fair


def results(**leaks):
    """One seed a value; budgets 100 and 200; all feasible."""
    rows = [
        {"blackbox": "box", "method": method, "seed": seed, "budget": budget, "leak": leak}
        for method, by_budget in leaks.items()
        for budget, values in by_budget.items()
        for seed, leak in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(lost=0.0, found=True, feasible=True)


def test_models_to_match_are_where_the_curve_crosses_the_target():
    frame = results(ours={100: [0.04] * 5, 400: [0.02] * 5}, theirs={200: [0.03] * 5})
    frame["matched"] = frame["leak"]
    found = models_to_match(frame, "ours", ("theirs", 200))
    assert (found.value, found.low, found.high) == (200.0, 200.0, 200.0)
    assert models_to_match(frame, "ours", ("ours", 400)).value == 400.0
    assert models_to_match(frame[frame["budget"] < 300], "ours", ("theirs", 200)).value == np.inf


def test_differences_are_of_paired_seeds():
    theirs = np.array([0.01, 0.05, 0.09])
    frame = results(ours={200: theirs - 0.002}, theirs={200: theirs})
    frame["matched"] = frame["leak"]
    found = difference(frame, "ours", "theirs", 200)
    assert found.value == pytest.approx(-0.002)
    assert found.low == pytest.approx(found.high)


def test_a_winner_beyond_the_bound_is_charged_the_fronts_slope():
    front = Front(np.array([0.0, 0.01, 0.02]), np.array([0.05, 0.03, 0.02]))
    frame = results(ours={200: [0.04, 0.04, 0.12]})
    frame["lost"], frame["found"] = [0.0, 0.02, 0.0], [True, True, False]
    found = with_matched(frame, {"box": front}, 0.01)["matched"]
    assert found.tolist() == pytest.approx([0.04, 0.05, 0.12])


def test_clusters_are_for_networks_of_many_layers(blackbox):
    assert "race, clusters" not in methods_for(blackbox)


def trained(weights):
    """Stands for the training of winners: as the formula says, without noise."""
    sizes = tuple(weight.numel() for weight in weights.values())

    def tabulate(found, choose, **_):
        found.begin({})
        flat = np.full(8, 0.124)
        found.put(row(-1, "dense", None, sizes, sizes, np.zeros((3, 8)), flat[:2], flat))
        for number, one in choose(None):
            means = Formula(layer_weights=sizes)(np.log(np.array([one.n]) / np.array(sizes)))
            lost, leak = np.full((3, 8), means["lost"][0]), np.full(8, means["leak"][0])
            found.put(row(number, one.source, None, one.n, sizes, lost, leak[:2], leak))

    return tabulate


def test_winners_are_set_beside_their_own_models(
    lenet5_weights, lenet5_space, tmp_path, monkeypatch
):
    monkeypatch.setattr(afresh, "tabulate", trained(lenet5_weights))
    counts = [lenet5_space.counts(dict.fromkeys(lenet5_space.groups, keep)) for keep in (0.3, 0.2)]
    rows = pd.DataFrame({"n": [counts[0], counts[1], counts[0]]})
    table = afresh.measure_afresh(rows, tmp_path, seed=0, workers=1)
    assert len(table.rows()) == 1 + 2
    found = afresh.beside(rows, table)
    assert found["measured_leak"].tolist() == pytest.approx([0.0631, 0.0332, 0.0631], abs=1e-3)
    assert found["measured_lost"].tolist() == pytest.approx([-0.0059, 0.009, -0.0059], abs=1e-3)


@pytest.mark.slow
def test_simulations_on_two_blackboxes_end_in_a_page(
    table, lenet5_weights, tmp_path, monkeypatch, capsys
):
    def small(config, noise):
        return synthetic("Another, synthetic", lenet5_weights, config, noise)

    few = {name: METHODS[name] for name in (RACE, GRID, PUBLISHED_BEST)}
    monkeypatch.setattr(bench_search, "mobilenetv2", small)
    monkeypatch.setattr(best_known, "ROUNDS", 20)
    monkeypatch.setattr(bench_search, "simulate", lambda *a, **k: simulate(*a, **k, only=few))
    monkeypatch.setattr(afresh, "tabulate", trained(lenet5_weights))
    out, page = tmp_path / "out", tmp_path / "docs" / "bench-search.md"
    words = [str(out), "--table", str(table.folder), "--seeds", "2", "--workers", "1"]
    words += ["--budgets", "80", "104", "--page", str(page)]
    bench_search.main(words)
    written = page.read_text()
    frame = pd.read_parquet(out / bench_search.RESULTS)
    assert len(frame) == 2 * 3 * 2 * 2
    assert frame["method"].drop_duplicates().tolist() == list(few)
    for heading in (
        "LeNet-5, tabulated",
        "Another, synthetic",
        "Winners trained for real",
        "How far to believe it",
    ):
        assert f"## {heading}" in written
    assert "| race less published |" in written
    assert "nan" not in written
    for picture in ("lenet-5-budgets", "lenet-5-winners", "another-budgets", "another-winners"):
        assert (page.parent / f"bench-search-{picture}.png").stat().st_size > 10_000
    monkeypatch.delattr(bench_search, "simulate")  # the second time nothing is simulated
    bench_search.main(words)
    assert page.read_text() == written
