"""A preset for each row of the paper's tables, with the paper's bounds; its page's commands run."""

import dataclasses
import math
import shlex

import pytest

from analysis import paper_commands as paper_commands
from search import presets, recipes
from search.parser import parse
from search.search_options import NO_BOUND, SearchConfig
from trainables import paper as paper_data
from trainables.base.errors import InvalidInput
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES
from trainables.models.registry import MODELS

NAMES = [name for name in presets.paper_presets() if not name.endswith("-smoke")]


def parsed(words: str) -> SearchConfig:
    config, _ = parse(shlex.split(words))
    assert config is not None
    return config


def test_the_rows_are_those_of_the_published_tables() -> None:
    for number, table in paper_data.TABLES.items():
        assert presets.TASKS[number] == tuple(f"{r.dataset}-{r.model}" for r in table.rows)
    assert presets.TASKS[4] == tuple(f"{r.dataset}-{r.model}" for r in paper_data.TABLE4)


def test_the_bounds_are_what_the_paper_removed_and_paid() -> None:
    assert {
        f"{row.dataset}-{row.model}": row.ratio for row in paper_data.TABLE4
    } == presets.COMPRESSION
    rows = [row for table in paper_data.TABLES.values() for row in table.rows]
    dense = {(r.dataset, r.model): r.systems["none"].test for r in rows if "none" in r.systems}
    dense["cifar10", "cnn4"] = 0.7546  # MIA-Pruning: Table 2 prints no baseline
    paid = {}
    for row in rows:
        for defense, printed in row.systems.items():
            points = math.ceil(round(100 * (dense[row.dataset, row.model] - printed.test), 6))
            if points > 1:
                paid[f"{row.dataset}-{row.model}", defense] = points / 100
    assert pytest.approx(paid) == presets.DROPS


@pytest.mark.parametrize("words", sorted(set(paper_commands.all_commands())))
def test_every_command_that_the_page_prints_is_understood(words: str) -> None:
    """Or refused by the name of what this version lacks, never for another reason."""
    arguments = shlex.split(words)[3:]
    values = dict(zip(arguments[::2], arguments[1::2], strict=True))
    task = values.get("--preset", "").split("-")[2:]
    task = task or [values["--dataset"], values["--model"]]
    if task[0] in DATASETS and task[1] in MODELS and values["--defense"] in DEFENSES:
        config = parsed(shlex.join(arguments))
        assert [config.dataset, config.model] == task
        assert config.defense == values["--defense"]
    else:
        with pytest.raises(InvalidInput, match="is unknown"):
            parse(arguments)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_whole_recipe_with_the_papers_bounds(name: str) -> None:
    config = parsed(f"--preset {name}")
    row = presets.paper_presets()[name]
    assert f"{config.dataset}-{config.model}" == row
    full = recipes.recipe(config.dataset, config.model)
    assert (config.training, config.admm, config.trials) == (full.training, full.admm, full.trials)
    assert config.min_compression == presets.COMPRESSION.get(row)
    assert SearchConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("name", NAMES)
def test_its_smoke_twin_is_the_same_path_with_tiny_budgets(name: str) -> None:
    config = parsed(f"--preset {name}-smoke")
    assert (config.trials, config.training.epochs, config.admm.iterations) == (4, 1, 1)
    assert f"{config.dataset}-{config.model}" == presets.paper_presets()[name]


def test_every_row_whose_data_and_network_exist_has_a_preset() -> None:
    for table, rows in presets.TASKS.items():
        for row in rows:
            dataset, model = row.split("-")
            exists = dataset in DATASETS and model in MODELS
            assert (f"paper-table{table}-{row}" in NAMES) == exists, row


def test_a_defence_without_pruning_has_the_papers_accuracy_bound_only_and_none_has_none() -> None:
    config = parsed("--preset paper-table1-cifar10-vgg16 --defense none")
    assert (config.min_compression, config.max_accuracy_drop) == (None, NO_BOUND)
    config = parsed("--preset paper-table1-cifar10-vgg16 --defense stacking")
    assert (config.min_compression, config.max_accuracy_drop) == (None, 0.01)
    assert presets.paper("paper-table1-cifar100-resnet18", "minmax").max_accuracy_drop == 0.05


def test_an_option_goes_before_the_presets_bound() -> None:
    words = "--preset paper-table1-cifar10-vgg16 --min-compression 4 --max-accuracy-drop 0.2"
    config = parsed(words)
    assert (config.min_compression, config.max_accuracy_drop) == (4, 0.2)


@pytest.mark.parametrize("model", ["lenet5", "cnn4"])
def test_fashion_mnist_takes_what_two_cores_can_do_and_all_of_it_on_request(model: str) -> None:
    config = parsed(f"--dataset fashion-mnist --model {model}")
    assert config.limit * DATASETS["fashion-mnist"].fractions["members"] == 5000
    small = recipes.mnist5k(model)
    assert config.min_compression == small.min_compression
    assert (config.admm.retrain_epochs, config.admm.weight_decay) == (5, 0.5)
    assert (config.trials, config.models) == ((12, 6) if model == "cnn4" else (40, 16))
    assert dataclasses.replace(config.training, epochs=40) == small.training
    assert config.training.epochs == 25
    assert SearchConfig.from_dict(config.to_dict()) == config
    assert parsed(f"--dataset fashion-mnist --model {model} --limit 70000").limit == 70_000


def test_every_other_recipe_uses_all_images() -> None:
    assert [name for name in recipes.RECIPES if recipes.recipe(name, "cnn4").limit] == [
        "fashion-mnist"
    ]


def test_the_folder_is_named_after_the_row() -> None:
    _, options = parse(["--preset", "paper-table5-cifar100-vgg16"])
    assert options.out.name.startswith("cifar100-vgg16-")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--preset paper-table1-cifar10-vg16", "did you mean paper-table1-cifar10-vgg16"),
        ("--preset paper-table1-cifar10-vgg16 --dataset mnist", "is a row on cifar10, not on"),
        ("--preset paper-table1-cifar10-vgg16 --model resnet18", "is a row on vgg16, not on"),
    ],
)
def test_what_does_not_fit_is_one_line(words: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(words.split())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_preset_may_repeat_its_own_data_set() -> None:
    assert parsed("--preset paper-table1-cifar10-vgg16 --dataset cifar10").model == "vgg16"


@pytest.mark.parametrize(
    "config", [recipes.imagenet("resnet18"), recipes.cifar10("cnn4")], ids=["imagenet", "cnn4"]
)
def test_the_recipes_of_tables_2_and_3_are_whole(config: SearchConfig) -> None:
    assert SearchConfig.from_dict(config.to_dict()) == config
    assert presets.smoke(config).trials == 4
