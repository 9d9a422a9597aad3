"""The command line: defaults, frozen options, and one clear line for every mistake."""

import contextlib
import dataclasses
import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.budget import budget
from search.command import command, command_of_all
from search.comparison import Comparison
from search.option_fields import duration
from search.parser import build_parser, parse
from search.presets import paper_presets
from search.recipes import RECIPES, recipe
from search.search_options import NO_BOUND, SearchConfig
from trainables.base.errors import InvalidInput
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES

OPTIONS = """
    --help --version --dataset --model --plugin --dense --members --pretrained-start
    --defense --set --epsilon --pruner --preset --data-dir --image-cache
    --sampler --space --trials --time-budget --max-accuracy-drop --levels --min-compression --seed
    --confirm-top --comparators --models --no-more-models --no-race --no-references --audit
    --shadows --canaries
    --out --resume --address --concurrency --cpus-per-trial --gpus-per-trial --trial-timeout
    --study-storage --dashboard --track --dry-run --probe --duplicates --limit
    --quiet --config --save-config
"""


def test_the_options_are_frozen() -> None:
    found = [
        option
        for action in build_parser()._actions
        for option in action.option_strings
        if option.startswith("--")
    ]
    assert sorted(found) == sorted(OPTIONS.split())


def test_every_option_is_explained() -> None:
    assert all(action.help for action in build_parser()._actions)


def test_no_argument_is_the_main_job() -> None:
    config, options = parse([])
    assert config is not None
    assert (config.dataset, config.model, config.sampler, config.space) == (
        "mnist5k",
        "lenet5",
        "tpe",
        "layer",
    )
    assert (config.trials, config.max_accuracy_drop, config.models) == (40, 0.01, 16)
    assert (config.confirm_top, config.seed) == (3, 0)
    assert options.out.name.startswith("mnist5k-lenet5-")


def test_options_reach_the_settings() -> None:
    words = """--dataset cifar100 --model resnet18 --sampler gp --trials 7 --time-budget 90s
        --seed 3 --max-accuracy-drop 0.02 --min-compression 4 --space global --out somewhere"""
    config, options = parse(words.split())
    assert config is not None
    assert config.time_budget_s == 90
    assert (config.model, config.min_compression, config.space) == ("resnet18", 4.0, "global")
    assert options.out == Path("somewhere")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--dataset cifar1O", "did you mean cifar10"),
        ("--model resnet", "did you mean resnet18"),
        ("--sampler tpee", "did you mean tpe"),
        ("--space layers", "did you mean layer"),
        ("--preset smok", "did you mean smoke"),
        ("--defense prunning", "did you mean pruning"),
        ("--trials 0", "--trials must be at least 1, got 0"),
        ("--trials many", "invalid int value: 'many'"),
        ("--time-budget 0m", "longer than 0"),
        ("--time-budget soon", "not a duration"),
        ("--time-budget 1001d", "--time-budget '1001d' must be at most 1000d"),
        ("--trial-timeout 1e10", "not a duration"),
        ("--trial-timeout 10000000000", "--trial-timeout '10000000000' must be at most 1000d"),
        ("--max-accuracy-drop 1", "[0, 1), got 1"),
        ("--max-accuracy-drop -0.1", "[0, 1), got -0.1"),
        ("--max-accuracy-drop nan", "[0, 1), got nan"),
        ("--levels 0,1", "--levels are fractions in [0, 1), got 1.0"),
        ("--levels 0,-0.1", "--levels are fractions in [0, 1), got -0.1"),
        ("--levels nan", "--levels are fractions in [0, 1), got nan"),
        ("--levels 1%", "--levels '1%' is not a list of fractions"),
        ("--levels 0,,1", "--levels '0,,1' is not a list of fractions"),
        (f"--levels {','.join(f'0.{n}' for n in range(10, 23))}", "--levels are at most 12"),
        ("--levels 0 --defense none", "--defense none has none"),
        ("--levels 0 --defense dp --epsilon 8", "with a fixed epsilon"),
        ("--resume runs/x --levels 0", "leave out --levels"),
        ("--min-compression 0.5", "at least 1, got 0.5"),
        ("--min-compression 1000", "cannot be reached"),
        ("--confirm-top 0", "--confirm-top must be at least 1"),
        ("--models 5", "--models must be an even number from 4 (they come in complementary pairs)"),
        ("--models 2", "--models must be an even number from 4"),
        ("--models 0", "--models must be an even number from 4"),
        ("--references 8", "--references is now --models N"),
        ("--references=8", "--references is now --models N"),
        ("--confirm-seeds 3", "--confirm-seeds is now --models N"),
        ("--seed -1", "--seed must be 0 or more"),
        ("--concurrency 0", "--concurrency must be greater than 0"),
        ("--cpus-per-trial -1", "--cpus-per-trial must be greater than 0"),
        ("--gpus-per-trial -1", "--gpus-per-trial must be 0 or more"),
        ("--gpus-per-trial 2", "--gpus-per-trial 2: one model uses one GPU; give 1, or a fraction"),
        ("--dat mnist", "unrecognized arguments"),
        ("--resume runs/x --trials 3", "leave out --trials"),
        ("--resume runs/x --out y", "leave out --out"),
        ("--resume runs/x --models 8 --seed 1", "leave out --seed"),
    ],
)
def test_a_mistake_is_one_line_that_names_value_and_remedy(words: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(words.split())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def asks(word: str) -> bool:
    """Whether the word is, or abbreviates, a question that ends the program with status 0."""
    return word.startswith("-h") or any(
        len(word) > 2 and question.startswith(word) for question in ("--help", "--version")
    )


@given(
    st.lists(st.text(min_size=1, max_size=12).filter(lambda word: not asks(word)), max_size=4),
)
def test_arbitrary_words_are_settings_or_one_line(words: list[str]) -> None:
    with contextlib.suppress(InvalidInput):
        assert parse(words)[1].out


@given(st.floats(0.001, 1000), st.sampled_from(["s", "m", "h", "d"]))
def test_durations_scale_with_their_unit(number: float, unit: str) -> None:
    seconds = duration(f"{number:.4f}{unit}")
    assert seconds == pytest.approx(
        float(f"{number:.4f}") * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    )


def test_levels_are_sorted_each_once_beside_the_bound_that_was_asked_for() -> None:
    config, _ = parse(["--levels", "0.05,0,0.02,0.05", "--max-accuracy-drop", "0.02"])
    assert config is not None
    assert config.levels == (0.0, 0.02, 0.05)
    assert config.every_level == (0.02, 0.0, 0.05)
    assert SearchConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    again, _ = parse(shlex.split(command(config, {}))[3:])
    assert again == config
    alone, _ = parse([])
    assert alone is not None
    assert (alone.levels, alone.every_level) == ((), (0.01,))


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_has_a_recipe_that_survives_a_round_trip(dataset: str) -> None:
    assert set(RECIPES) == set(DATASETS)
    config = recipe(dataset, DATASETS[dataset].default_model)
    assert SearchConfig.from_dict(config.to_dict()) == config


def test_every_field_moves_the_key() -> None:
    config = recipe("mnist5k", "lenet5")
    assert dataclasses.replace(config, trials=41).key != config.key
    longer = dataclasses.replace(config.admm, retrain_epochs=99)
    assert dataclasses.replace(config, admm=longer).key != config.key


def test_a_recipe_for_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no recipe"):
        recipe("nosuch", "lenet5")


def test_settings_with_unknown_fields_are_refused() -> None:
    values = recipe("mnist5k", "lenet5").to_dict()
    with pytest.raises(InvalidInput, match="do not fit"):
        SearchConfig.from_dict({**values, "unknown": 1})


def test_a_defence_brings_its_numbers_and_no_bound_that_it_cannot_meet() -> None:
    config, _ = parse(["--defense", "weight-decay"])
    assert config is not None
    assert config.parameters["weight_decay"].searched
    assert config.min_compression is None
    with pytest.raises(InvalidInput, match="removes no weights"):
        parse(["--defense", "weight-decay", "--min-compression", "2"])


@pytest.mark.parametrize("words", ["", "--preset smoke", "--max-accuracy-drop 0.02"])
def test_what_the_others_are_compared_with_has_no_bound(words: str) -> None:
    """It differs from the dense model by noise, which would miss a bound once in eight runs."""
    config, _ = parse(["--defense", "none", *words.split()])
    assert config is not None
    assert (config.max_accuracy_drop, config.min_compression) == (NO_BOUND, None)
    assert SearchConfig.from_dict(config.to_dict()) == config
    again, _ = parse(shlex.split(command(config, {}))[3:])
    assert again is not None
    assert again.max_accuracy_drop == NO_BOUND


@pytest.mark.parametrize("defense", [name for name in DEFENSES if not DEFENSES[name].prunes])
def test_a_defence_that_does_not_prune_has_no_bound_on_size(defense: str) -> None:
    config, _ = parse(["--dataset", "mnist5k", "--defense", defense])
    assert config is not None
    assert config.min_compression is None
    assert parse(["--dataset", "mnist5k"])[0].min_compression == 2.0


def test_only_an_epsilon_that_is_given_fixes_the_guarantee() -> None:
    for words, fixed in (
        ("--defense dp --epsilon 8", True),
        ("--defense dp --set epsilon=8", True),
        ("--defense dp", False),
        ("--defense dp --set epsilon=1:8", False),
        ("--defense minmax", False),
        ("", False),
    ):
        config, _ = parse(words.split())
        assert config is not None
        assert config.guarantee_is_fixed == fixed, words


def test_a_number_can_be_fixed_or_searched_elsewhere() -> None:
    config, _ = parse(["--defense", "weight-decay", "--set", "weight_decay=0.5"])
    assert config is not None
    assert not config.parameters["weight_decay"].searched
    assert config.parameters["weight_decay"].default == 0.5
    config, _ = parse(["--defense", "weight-decay", "--set", "weight_decay=2:4"])
    assert config is not None
    found = config.parameters["weight_decay"]
    assert (found.low, found.high, found.default, found.searched) == (2.0, 4.0, 2.0, True)


@pytest.mark.parametrize(
    ("word", "defense", "message"),
    [
        ("weigth_decay=1", "weight-decay", "did you mean weight_decay"),
        ("weight_decay=much", "weight-decay", "neither NAME=VALUE nor NAME=LOW:HIGH"),
        ("weight_decay=nan", "weight-decay", "neither"),
        ("weight_decay=-1", "weight-decay", "above 0"),
        ("weight_decay=3:2", "weight-decay", "neither"),
        ("weight_decay=1:2:3", "weight-decay", "neither"),
        ("epochs=2.5", "early-stopping", "whole number"),
        ("gamma=1", "none", "has no numbers to set"),
        ("gamma=1", "pruning", "there are rho"),
        ("rho=0", "pruning", "above 0"),
        ("rho=0.1", "minmax", "did you mean|there are|unknown"),
        ("epochs=41", "early-stopping", "at most 40"),
        ("epochs=5:41", "early-stopping", "at most 40"),
        ("epochs=0", "early-stopping", "above 0"),
        ("epsilon=0", "dp", "above 0"),
        ("epsilon=0.001", "dp", "at least 0.05"),
        ("epsilon=0.001:8", "dp", "at least 0.05"),
        ("batch_share=1.5", "dp", "at most 1"),
        ("meta_share=0.95", "stacking", "at most 0.9"),
    ],
)
def test_a_number_that_cannot_be_set_is_refused(word: str, defense: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(["--defense", defense, "--set", word])


def test_no_defence_is_given_more_epochs_than_it_has() -> None:
    for preset, recipe_epochs in (("default", 40), ("smoke", 1)):
        config, _ = parse(["--defense", "early-stopping", "--preset", preset])
        assert config is not None
        assert config.training.epochs == recipe_epochs
        epochs = config.parameters["epochs"]
        assert 1 <= epochs.low <= epochs.default <= epochs.high == recipe_epochs
    config, _ = parse(["--defense", "dp", "--preset", "smoke"])
    assert config is not None
    assert config.parameters["epochs"].high == 2


@pytest.mark.parametrize("epsilon", ["0", "-1", "0.01", "nan"])
def test_an_epsilon_that_no_noise_gives_is_one_line(epsilon: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(["--defense", "dp", f"--epsilon={epsilon}"])
    assert "\n" not in str(caught.value)
    assert "epsilon" in str(caught.value)


def test_comparators_are_for_defences_that_prune() -> None:
    config, _ = parse(["--comparators"])
    assert config is not None
    assert config.comparators
    assert "--comparators" in shlex.split(command(config, {}))
    with pytest.raises(InvalidInput, match="removes none"):
        parse(["--comparators", "--defense", "minmax"])


def compared(words: str) -> Comparison:
    found, _ = parse(words.split())
    assert isinstance(found, Comparison)
    return found


def test_all_defences_share_a_budget_and_the_halves() -> None:
    found = compared("--defense all --trials 8")
    assert found.defenses == tuple(DEFENSES)
    assert found.levels == (0.01, 0.02, 0.05, 0.1)
    shared = (
        "trials",
        "models",
        "confirm_top",
        "seed",
        "training",
        "race_models",
        "no_more_models",
    )
    for name in shared:
        assert len({str(getattr(run, name)) for run in found.runs}) == 1, name
    assert (found.runs[0].models, found.runs[0].confirm_top) == (8, 1)
    assert {run.dense_models for run in found.runs} == {found.widest.dense_models}
    for run in found.runs:
        assert run.max_accuracy_drop == (NO_BOUND if run.is_bare else 0.1)
        assert run.min_compression == (2.0 if DEFENSES[run.defense].prunes else None)
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_more_trials_race_and_the_dense_models_of_the_widest_run_serve_all() -> None:
    found = compared("--defense none,pruning --trials 13 --models 16")
    none, pruning = found.runs
    assert (none.race_models, pruning.race_models) == (0, 4)
    assert found.widest is pruning
    assert none.dense_models < pruning.dense_models
    assert none.halves_each == pruning.halves_each


@pytest.mark.parametrize(
    "words",
    [
        "--defense all --trials 8",
        "--defense none,pruning --levels 0.02 --max-accuracy-drop 0.04 --min-compression 3",
        "--defense dp,minmax --epsilon 8 --set gamma=0.5:2 --set clip=1 --seed 3",
        "--defense pruning,weight-decay --space recipe+global",
        "--defense pruning,stacking --preset smoke",
    ],
)
def test_the_command_of_a_comparison_asks_for_the_same_again(words: str) -> None:
    found, options = parse(words.split())
    assert isinstance(found, Comparison)
    given = {"preset": options.preset}
    again, _ = parse(shlex.split(command_of_all(found, given))[3:])
    assert again == found


def test_each_defence_takes_the_numbers_that_it_has() -> None:
    found = compared("--defense none,dp,minmax --epsilon 8 --set gamma=2")
    none, dp, minmax = found.runs
    assert none.parameters == {}
    assert dp.guarantee_is_fixed
    assert (dp.levels, dp.max_accuracy_drop) == ((), 0.1)
    assert not minmax.parameters["gamma"].searched
    assert minmax.levels == (0.01, 0.02, 0.05, 0.1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--defense prunning,dp", "did you mean pruning"),
        ("--defense pruning,", "--defense '' is unknown"),
        ("--defense all,dp", "all stands for every defence, and alone"),
        ("--defense dp,pruning,dp", "lists dp twice: name each once"),
        ("--defense dp,none --set gamma=2", "--set 'gamma' is unknown"),
        ("--defense none,pruning --epsilon 8", "--set 'epsilon' is unknown"),
        ("--defense dp,minmax --epsilon 0", "above 0"),
        ("--defense dp,minmax --min-compression 4", "none of dp, minmax removes weights"),
        ("--defense all --comparators", "--comparators are allocations of one defence's weights"),
        ("--defense all --no-references", "leaves nothing that compares in pairs"),
        ("--defense all --preset paper-table1-mnist5k-lenet5-smoke", "is unknown"),
        ("--defense all --levels 0.1,1", "[0, 1), got 1"),
        ("--defense all --dataset cifar1O", "did you mean cifar10"),
        ("--defense all --trials 0", "--trials must be at least 1"),
        ("--resume runs/x --defense all", "leave out --defense"),
    ],
)
def test_a_mistake_in_a_comparison_is_one_line(words: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(words.split())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_of_the_paper_is_of_one_system() -> None:
    preset = next(iter(paper_presets()))
    with pytest.raises(InvalidInput, match="a row of the paper under one system"):
        parse(["--defense", "all", "--preset", preset])


def test_a_comparison_says_what_it_trains_before_it_starts() -> None:
    found = compared("--defense none,pruning,minmax --trials 8")
    said = "\n".join(budget(found))
    assert "the same for each of 3 defences: 8 trials, no race, then at most 4 candidates" in said
    assert "may fall by 0.01, 0.02, 0.05, 0.1" in said
    assert "8 dense models, shared by all, and at most 89 of the defences" in said
    assert "none: 9 (1 search, 0 race, 8 confirmed" in said
    assert "minmax: 40 (8 search, 0 race, 32 confirmed, 0 shadows), each as long as 4.3" in said
