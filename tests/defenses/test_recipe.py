"""The recipe's numbers beside {n_i}: where they are searched, and that a trial obeys them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.parser import parse
from search.space import Candidate, Space
from trainables.base.errors import InvalidInput
from trainables.config import ADMMConfig
from trainables.defenses.recipe import RECIPE, recipe_numbers, with_chosen

ADMM = ADMMConfig(
    iterations=3,
    epochs_per_iteration=2,
    rho=1e-2,
    learning_rate=6e-3,
    retrain_epochs=4,
    retrain_learning_rate=5e-4,
    weight_decay=0.5,
)


def test_each_number_is_searched_around_the_presets_value():
    found = recipe_numbers(ADMM)
    assert found.keys() == RECIPE.keys()
    for name, number in found.items():
        value = getattr(ADMM, RECIPE[name].field)
        assert number.default == value
        assert number.low * number.high == pytest.approx(value**2), "the middle on a log scale"
        assert number.searched
        assert number.log


def test_what_the_preset_leaves_out_is_not_searched():
    assert "admm_weight_decay" not in recipe_numbers(dataclasses.replace(ADMM, weight_decay=0.0))


@given(st.dictionaries(st.sampled_from([*RECIPE, "gamma"]), st.floats(1e-4, 1.0)))
def test_a_candidates_own_numbers_replace_the_presets_and_no_others(parameters):
    chosen = with_chosen(ADMM, parameters)
    for name, number in RECIPE.items():
        expected = parameters.get(name, getattr(ADMM, number.field))
        assert getattr(chosen, number.field) == expected
    for name in ("iterations", "epochs_per_iteration", "retrain_epochs", "rho_growth"):
        assert getattr(chosen, name) == getattr(ADMM, name), "all train equally long"


def test_the_space_holds_them_only_when_asked():
    plain, joint = (parse(words.split())[0] for words in ("", "--space recipe+layer"))
    assert plain is not None
    assert joint is not None
    assert plain.parameters == {}
    assert joint.parameters == recipe_numbers(joint.admm)
    space = Space("layer", ("a", "b"), (100, 200), parameters=joint.parameters)
    point = {name: d.low for name, d in space.distributions().items()}
    assert set(point) == {"keep/a", "keep/b", *RECIPE}
    candidate = space.candidate(point)
    assert space.candidate(space.point(candidate)) == candidate
    first, *_ = space.anchors([(100, 200)])
    assert space.candidate(first) == Candidate.of(
        (100, 200), {name: number.default for name, number in joint.parameters.items()}
    )


def test_one_of_them_can_be_fixed_or_searched_alone():
    config, _ = parse(["--set", "rho=0.1", "--set", "retrain_learning_rate=0.001:0.002"])
    assert config is not None
    assert config.parameters["rho"].default == 0.1
    assert not config.parameters["rho"].searched
    assert config.parameters["retrain_learning_rate"].searched
    assert config.parameters.keys() == {"rho", "retrain_learning_rate"}


def test_a_defence_that_prunes_nothing_has_no_such_space():
    with pytest.raises(InvalidInput, match="leave recipe\\+ out"):
        parse(["--defense", "minmax", "--space", "recipe+layer"])


@pytest.mark.parametrize("pruner", ["magnitude", "lottery"])
@pytest.mark.parametrize("words", ["--space recipe+layer", "--set rho=0.1"])
def test_a_pruner_that_would_ignore_them_is_not_given_any(pruner, words):
    with pytest.raises(InvalidInput):
        parse(["--pruner", pruner, *words.split()])
