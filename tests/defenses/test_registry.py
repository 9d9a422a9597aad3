"""The defences' numbers: epochs follow the recipe, defaults lie in range and are tried first."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.arguments import parse
from search.space import Space
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.registry import DEFENSES
from trainables.runs.dense import DenseRun
from trainables.runs.registry import BUILDERS, Start, new_run

EPOCHS = 3


def test_every_defence_can_be_built() -> None:
    assert list(BUILDERS) == list(DEFENSES)


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
