"""What every defence promises: numbers within bounds, a cost, a candidate that is really made."""

import dataclasses
import inspect
import pkgutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.parser import parse
from search.plan import passes_of_candidate
from search.space import Space
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES, Defense, named
from trainables.measure import size
from trainables.models.building import build_model
from trainables.models.prunable import prunable_layers
from trainables.runs.dense import DenseRun
from trainables.runs.lookup import builder_of, new_run
from trainables.runs.start import Start

EPOCHS = 3


@pytest.mark.parametrize("defense", DEFENSES)
def test_what_an_entry_names_is_there(defense: str) -> None:
    assert list(inspect.signature(builder_of(defense)).parameters)[:2] == ["config", "cohort"]
    check = DEFENSES[defense].rehearsal
    assert check is None or callable(pkgutil.resolve_name(check))
    guarantee = DEFENSES[defense].guarantee
    assert guarantee is None or guarantee in DEFENSES[defense].parameters


@given(st.sampled_from(sorted(DEFENSES)), st.integers(1, 300))
def test_a_candidate_costs_passes_unless_it_trains_nothing(defense: str, recipe: int) -> None:
    entry = DEFENSES[defense]
    numbers = {name: number.default for name, number in entry.numbers(recipe).items()}
    trains = entry.prunes or entry.from_scratch
    assert (entry.cost(float(recipe), numbers) > 0) == trains
    if not numbers:
        assert entry.cost(float(recipe), numbers) == recipe


def test_names_are_read_without_anything_heavy() -> None:
    program = """
import sys
import trainables.defenses.registry, trainables.outcome, trainables.pruning.registry
heavy = {"matplotlib", "opacus", "optuna", "pandas", "ray", "scipy", "sklearn", "torch"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_defence_of_another_release_has_no_properties() -> None:
    assert named("pruning") is DEFENSES["pruning"]
    for unknown in (None, "", "pruning by magnitude"):
        entry = named(unknown)
        assert not any((entry.prunes, entry.is_bare, entry.is_rival, entry.guarantee))
        assert entry.proof_in_words({}).startswith("They prove no privacy")


def test_what_was_not_spent_is_not_a_number() -> None:
    said = DEFENSES["dp"].proof_in_words({"epsilon": 7.99})
    assert "epsilon 7.99 at delta nan" in said


def test_an_entry_is_all_that_the_command_line_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Defense(
        builder="trainables.runs.dense:trained_anew",
        cost=lambda passes, _numbers: 2 * passes,
        from_scratch=True,
        guarantee="weight_decay",
        parameters=DEFENSES["weight-decay"].parameters,
    )
    monkeypatch.setitem(DEFENSES, "toy", toy)
    config, _ = parse(["--defense", "toy", "--set", "weight_decay=2"])
    assert config is not None
    assert config.guarantee_is_fixed
    assert passes_of_candidate(config, config.pruner) == 2 * config.training.epochs


@given(st.sampled_from(sorted(DEFENSES)), st.integers(1, 300), st.sampled_from(["adam", "sgd"]))
def test_defaults_and_ranges_fit_any_recipe(
    defense: str, recipe_epochs: int, optimizer: str
) -> None:
    spec = DEFENSES[defense]
    assert spec.under_sgd.keys() <= spec.parameters.keys()
    for name, number in spec.numbers(recipe_epochs, optimizer).items():
        least, most = spec.bounds_of(name, recipe_epochs)
        assert least <= number.low <= number.default <= number.high <= most
        assert number.low > 0
        assert not number.searched or number.low < number.high
        if number.integer:
            assert all(end == int(end) for end in (number.low, number.default, number.high))


@pytest.mark.parametrize(
    ("task", "expected"),
    [("mnist5k lenet5", (1e-2, 1.0, 20.0)), ("cifar10 vgg16", (1e-4, 1e-3, 1e-1))],
)
def test_the_range_of_weight_decay_is_that_of_the_recipe_s_optimiser(
    task: str, expected: tuple[float, float, float]
) -> None:
    dataset, model = task.split()
    words = ["--dataset", dataset, "--model", model, "--defense", "weight-decay"]
    config, _ = parse(words)
    assert config is not None
    found = config.parameters["weight_decay"]
    assert (found.low, found.default, found.high) == expected
    assert found.searched
    config, _ = parse([*words, "--set", "weight_decay=0.05:0.09"])
    assert config is not None
    expected_default = min(max(expected[1], 0.05), 0.09)
    assert config.parameters["weight_decay"].default == expected_default


@given(st.integers(1, 300))
def test_early_stopping_never_asks_for_more_than_the_recipe(recipe_epochs: int) -> None:
    epochs = DEFENSES["early-stopping"].numbers(recipe_epochs)["epochs"]
    assert epochs.low >= 1
    assert epochs.high == recipe_epochs


def test_the_main_recipe_s_epochs_are_those_of_the_published_comparison() -> None:
    early = DEFENSES["early-stopping"].numbers(40)["epochs"]
    private = DEFENSES["dp"].numbers(40)["epochs"]
    assert (early.low, early.default, early.high) == (1, 20, 40)
    assert (private.low, private.default, private.high) == (10, 40, 80)


@pytest.mark.parametrize("defense", [name for name in DEFENSES if not DEFENSES[name].prunes])
def test_the_anchor_of_a_defence_is_its_defaults(defense: str) -> None:
    numbers = DEFENSES[defense].numbers(40)
    space = Space("layer", ("a", "b"), (10, 20), prunes=False, parameters=numbers)
    (anchor,) = space.anchors([(10, 20)])
    assert anchor == {name: one.default for name, one in numbers.items() if one.searched}
    for name, distribution in space.distributions().items():
        assert distribution._contains(distribution.to_internal_repr(anchor[name]))


def trial(defense: str, **parameters: float) -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=5,
        dataset="mnist5k",
        model="lenet5",
        n=(),
        defense=defense,
        parameters=parameters,
        training=TrainingConfig(epochs=EPOCHS, batch_size=50, learning_rate=2e-3),
        admm=ADMMConfig(iterations=1, epochs_per_iteration=1, rho=1e-2, retrain_epochs=1),
        attack=AttackConfig(),
    )


@pytest.fixture(scope="module")
def cohort(mnist5k_cohort: Cohort) -> Cohort:
    return dataclasses.replace(mnist5k_cohort, members=mnist5k_cohort.members[::4])


def test_stopping_early_is_the_recipe_cut_short(cohort: Cohort) -> None:
    """No cost beside it, the same seed: the schedule is that of the whole recipe."""
    whole = DenseRun(trial("none"), cohort)
    records = [whole.advance() for _ in range(2)]
    weights = {name: value.clone() for name, value in whole.model.state_dict().items()}
    stopped = new_run(trial("early-stopping", epochs=2.0), cohort, Start(weights={}, seed=0))
    assert [stopped.advance() for _ in range(2)] == records
    assert stopped.finished
    assert stopped.spent == {}
    after = stopped.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in weights.items())


def test_the_recipe_s_own_weight_decay_is_no_defence_at_all(cohort: Cohort) -> None:
    base = trial("none")
    decayed = dataclasses.replace(
        base, training=dataclasses.replace(base.training, weight_decay=0.7)
    )
    start = Start(weights={}, seed=0)
    one = new_run(decayed, cohort, start)
    two = new_run(trial("weight-decay", weight_decay=0.7), cohort, start)
    assert [one.advance(), one.advance()] == [two.advance(), two.advance()]


@pytest.mark.parametrize("epochs", [0, EPOCHS + 1])
def test_a_stop_outside_the_schedule_is_refused(cohort: Cohort, epochs: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 3"):
        DenseRun(trial("none"), cohort, stop_after=epochs)


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_small_candidate_is_really_made(defense: str, cohort: Cohort) -> None:
    entry, spec = DEFENSES[defense], DATASETS["mnist5k"]
    numbers = {name: number.default for name, number in entry.numbers(1).items()}
    network = build_model("lenet5", n_classes=spec.n_classes, image_shape=spec.image_shape, seed=0)
    sizes = tuple(weight.numel() for weight in prunable_layers(network).values())
    config = dataclasses.replace(trial(defense, **numbers), n=tuple(one // 2 for one in sizes))
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=1))
    run = new_run(config, cohort, Start(weights=network.state_dict(), seed=0))
    while not run.finished:
        run.advance()
    assert run.predict(cohort.validation).isfinite().all()
    measured = size(run.model, spec.image_shape, defense)
    assert tuple(measured["layer_weights"]) == sizes
    assert (measured["compression"] > 1.5) == entry.prunes
    assert entry.guarantee is None or entry.guarantee in run.spent
