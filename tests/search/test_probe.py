"""What a run will take: the arithmetic of its stages, and the measurement itself."""

import dataclasses
import math

import pytest

from search.inputs import load_inputs
from search.parser import parse
from search.probe import STEP_S, Probe, in_words, probe, stages
from search.search_options import SearchConfig
from search.tune.resources import Resources
from trainables.base.errors import InvalidInput

ONE = Resources(concurrency=1, cpus_per_trial=1, gpus_per_trial=0)
TWO = dataclasses.replace(ONE, concurrency=2)
FOUND = Probe(process=4, dense=6, candidate=2, search_attack=1, confirm_attack=3, cross_audit=0.1)


def config(words: str) -> SearchConfig:
    found, _ = parse(words.split())
    assert found is not None
    return found


def test_a_stage_is_a_start_and_its_rounds() -> None:
    small = "--trials 5 --models 4 --confirm-top 1 --no-race --no-more-models"
    one = stages(config(small), FOUND, ONE)
    assert one["dense"] == pytest.approx(4 + 4 * (6 + STEP_S) + 4 + 3 + STEP_S)
    assert one["search"] == pytest.approx(4 + 5 * (3 + STEP_S))
    assert one["confirmation"] == pytest.approx(4 + 3 * (2 + STEP_S) + 4 + 5 + STEP_S)
    assert one["cross-audits"] == pytest.approx(0.1 * 4 * 2)
    assert "race" not in one
    assert "audit" not in one
    two = stages(config(small), FOUND, TWO)
    assert two["search"] == pytest.approx(4 + 3 * (3 + STEP_S))


def test_all_that_a_run_may_do_besides_costs() -> None:
    flat, raced, audited = (
        stages(config(f"--models 4 --confirm-top 1 {words}"), FOUND, TWO)
        for words in ("--no-race", "", "--audit rmia")
    )
    assert raced["race"] > 12 * 4 * 2 / 2
    assert raced["cross-audits"] > flat["cross-audits"]
    assert audited["audit"] > 0


def test_the_line_says_each_stage_and_what_doubling_would_take() -> None:
    said = in_words(config(""), FOUND, TWO)
    assert said.startswith("Cost       about ")
    assert "search" in said
    assert said.endswith("where the first models do not decide")
    assert "decide" not in in_words(config("--no-more-models"), FOUND, TWO)


def test_a_probe_without_a_plan_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--probe measures what --dry-run then says: give both"):
        parse(["--probe"])


@pytest.mark.slow
@pytest.mark.parametrize("words", ["", "--defense minmax", "--no-references"])
def test_every_part_is_measured(words: str) -> None:
    given, options = parse(f"--preset smoke {words}".split())
    assert given is not None
    found = dataclasses.asdict(probe(given, load_inputs(given, options), ONE))
    assert all(math.isfinite(seconds) for seconds in found.values())
    assert {name for name, seconds in found.items() if seconds <= 0} == (
        {"cross_audit"} if "no-references" in words else set()
    )
