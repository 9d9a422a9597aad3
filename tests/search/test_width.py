"""How many trials a search runs at a time, and what is said of it."""

import pytest

from search.parser import parse
from search.plan import plan
from search.search_options import SearchConfig
from search.tune.resources import Resources, plan_resources
from search.width import resources_of_search, width_in_words


def config(words: str) -> SearchConfig:
    found, _ = parse(words.split())
    assert found is not None
    return found


def machines(slots: int, concurrency: int | None = None) -> Resources:
    return plan_resources(
        [{"CPU": float(slots)}], cpus_per_trial=None, gpus_per_trial=None, concurrency=concurrency
    )


@pytest.mark.parametrize(
    ("words", "slots", "width"),
    [
        ("--trials 40", 2, 2),
        ("--trials 40", 64, 8),
        ("--trials 200", 64, 40),
        ("--trials 4", 2, 2),
        ("--trials 40 --sampler nsga2", 64, 8),
        ("--trials 40 --sampler random", 64, 64),
        ("--trials 40 --sampler grid", 64, 64),
    ],
)
def test_a_search_that_learns_leaves_slots_for_its_suggestions_to_learn(words, slots, width):
    asked = config(words)
    assert resources_of_search(asked, machines(slots)).concurrency == width
    said = width_in_words(asked, machines(slots))
    assert (said is None) == (width == slots)
    assert said is None or said.startswith(f"the search runs at most {width} of {slots} slots")


@pytest.mark.parametrize(("concurrency", "warned"), [(8, False), (20, False), (21, True)])
def test_a_number_that_was_asked_for_is_kept_and_warned_of_where_it_blinds(concurrency, warned):
    asked, resources = config("--trials 40"), machines(64, concurrency)
    assert resources_of_search(asked, resources).concurrency == concurrency
    said = width_in_words(asked, resources)
    assert (said is not None) == warned
    assert said is None or f"{concurrency} of 40 trials are suggested before any result" in said


def test_the_plan_says_it_and_counts_the_slots_that_wait():
    def minutes(words: str, resources: Resources) -> float:
        said = plan(config(words), None, resources)
        return float(said.partition("on the order of ")[2].partition(" minutes")[0])

    words = "--dataset cifar100 --model resnet18"
    assert "Width      the search runs at most 8 of 64 slots" in plan(
        config(words), None, machines(64)
    )
    assert "Width" not in plan(config(words), None, machines(2))
    capped, wide = minutes(words, machines(64)), minutes(words, machines(64, 64))
    assert capped > 1.2 * wide
    assert minutes(words, machines(2)) == minutes(words, machines(2, 2))
