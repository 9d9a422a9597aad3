"""What a run would cost: every defence at its own epochs, every stage at its own count."""

import pytest

from search.inputs import load_inputs
from search.parser import parse
from search.plan import (
    floating_point_operations,
    passes,
    passes_of_candidate,
    plan,
    trainings,
)
from search.search_options import SearchConfig
from search.tune.resources import Resources
from trainables.base.errors import InvalidInput


def config(words: str) -> SearchConfig:
    found, _ = parse(words.split())
    assert found is not None
    return found


RECIPE, ADMM = 40, 2 * 3 + 5  # of mnist5k, in epochs


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--defense none", RECIPE),
        ("", ADMM),
        ("--pruner magnitude", ADMM),
        ("--pruner lottery", RECIPE),
        ("--defense weight-decay", RECIPE),
        ("--defense early-stopping", 20),
        ("--defense early-stopping --set epochs=7", 7),
        ("--defense dp", 40),
        ("--defense dp --set epochs=80", 80),
        ("--defense memguard", 0),
        ("--defense stacking", 0.75 * RECIPE),  # each network sees half of three quarters
        ("--defense minmax", RECIPE * (1 + 10 / 3)),  # five inner steps, two forward passes each
        ("--defense minmax --set inner_steps=3", RECIPE * 3),
        ("--defense pruning+minmax --set inner_steps=3", ADMM * 3),
    ],
)
def test_a_candidate_costs_what_its_defence_trains(words: str, expected: float) -> None:
    asked = config(words)
    assert passes_of_candidate(asked, asked.pruner) == pytest.approx(expected)


def test_a_run_is_the_sum_of_its_stages() -> None:
    words = "--trials 10 --confirm-top 2 --models 4 --audit rmia --no-race"
    candidates, halves = 10 + 2 * 4 + 4, 2 + 4  # an audit's shadows have halves of their own
    assert passes(config(words)) == halves * RECIPE + candidates * ADMM
    assert passes(config(f"{words} --defense memguard")) == halves * RECIPE


def test_a_race_has_four_models_of_each_of_its_vectors_and_dense_models_of_its_own() -> None:
    words = "--trials 10 --confirm-top 2 --models 8"
    extra = passes(config(words)) - passes(config(f"{words} --no-race"))
    assert extra == 4 * RECIPE + 10 * 4 * ADMM
    for alone in ("--trials 2", "--defense none", "--defense dp --epsilon 8", "--no-references"):
        assert config(f"{words} {alone}").race_models == 0, "nothing to choose, or nothing to tell"


def test_a_resume_adds_models_on_halves_that_neither_the_race_nor_the_report_used() -> None:
    began = config("--trials 10 --models 8")
    more = began.with_models(12).with_models(20)
    assert (began.dense_models, more.dense_models, more.models_each) == (12, 24, 20)
    assert more.added_halves == {12: range(12, 16), 20: range(16, 24)}
    assert more.halves_each == [*range(8), *range(12, 24)]
    assert more.with_models(20) == more
    alone = config("--trials 10 --models 8 --no-race --levels 0,0.05").with_models(12)
    assert alone.added_halves == {12: range(8, 12)}
    assert SearchConfig.from_dict(more.to_dict()) == more
    with pytest.raises(InvalidInput, match="give a larger even number"):
        SearchConfig.from_dict({**more.to_dict(), "more_models": [12, 10]})


def test_a_run_doubles_its_models_once_unless_it_may_not() -> None:
    began = config("--trials 10 --models 8")
    assert began.may_take_more_models
    assert not began.with_models(16).may_take_more_models
    for words in ("--no-more-models", "--comparators", "--audit rmia", "--no-references"):
        assert not config(words).may_take_more_models
    older = {name: value for name, value in began.to_dict().items() if name != "no_more_models"}
    assert not SearchConfig.from_dict(older).may_take_more_models, "resumed as it began"


@pytest.mark.parametrize(
    ("words", "models", "says"),
    [
        ("--models 8", 7, "the run has 8 of each vector"),
        ("--models 8", 6, "give a larger even number"),
        ("--models 8", 2_000_000, "at most 1,000,000"),
        ("--no-references", 8, "a run of --no-references"),
        ("--comparators", 32, "with --audit or --comparators"),
        ("--audit rmia", 32, "with --audit or --comparators"),
    ],
)
def test_models_that_a_run_cannot_take_are_refused(words: str, models: int, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        config(words).with_models(models)


def test_each_level_beside_the_bound_has_one_more_vector_confirmed() -> None:
    words = "--trials 10 --confirm-top 2 --models 4"
    counts, more = trainings(config(words)), trainings(config(f"{words} --levels 0,0.01,0.05"))
    assert more == {**counts, "confirm": counts["confirm"] + 2 * 4}


def test_without_references_only_the_models_that_ship_are_made() -> None:
    counts = trainings(config("--trials 10 --confirm-top 2 --no-references"))
    assert counts == {"dense": 1, "search": 10, "race": 0, "confirm": 2, "audit": 0}
    assert trainings(config("--no-references --audit rmia"))["dense"] == 2 + 4


def test_comparators_are_priced_each_at_its_own_pruner() -> None:
    words = "--trials 10 --confirm-top 2 --models 8"
    extra = passes(config(f"{words} --comparators")) - passes(config(words))
    assert extra == 8 * (6 * ADMM + ADMM + RECIPE)  # rules and all, magnitude, lottery


def test_a_defence_with_nothing_to_choose_is_searched_and_confirmed_once() -> None:
    counts = trainings(config("--defense none --trials 40 --confirm-top 3 --models 6"))
    assert (counts["search"], counts["confirm"]) == (1, 6)
    assert trainings(config("--defense dp --trials 7"))["search"] == 7


def test_operations_grow_with_the_members_and_the_passes() -> None:
    asked = config("--defense early-stopping")
    ratio = floating_point_operations(asked, 2000) / floating_point_operations(asked, 1000)
    assert ratio == pytest.approx(2)
    assert floating_point_operations(config("--defense none"), 1000) < floating_point_operations(
        asked, 1000
    )


@pytest.mark.parametrize(("words", "kept"), [("", True), ("--image-cache none", False)])
def test_what_the_decoded_images_of_files_take_is_said(words, kept, imagenet_folder) -> None:
    given = f"--preset paper-table3-imagenet-mobilenetv2-smoke --data-dir {imagenet_folder} {words}"
    settings, options = parse(given.split())
    assert settings is not None
    inputs = load_inputs(settings, options)
    said = plan(settings, inputs, Resources(concurrency=1, cpus_per_trial=1, gpus_per_trial=0))
    line = "Decoded    kept in ~/.cache/prune-privacy of each machine, about 0.0 GB (--image-cache)"
    assert (line in said) == kept
