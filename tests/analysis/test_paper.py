"""The paper's tables and figures beside our runs: right numbers, honest gaps, safe markup."""

import dataclasses
import html
import html.parser
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis import (
    comparison_page,
    defenses,
    level_tables,
    paper,
    paper_figures,
    run_page,
    run_tables,
)
from analysis.load import load_run
from analysis.paper_tables import PaperTable, order, paper_tables, points
from analysis.run_kind import unlike
from analysis.side_by_side import dense, measured_as
from trainables import paper as paper_data
from trainables.base.commandline import program
from trainables.records import EpochRecord

pytestmark = pytest.mark.usefixtures("pictures_drawn_once")

RunWriter = Callable[..., Path]
Maker = Callable[..., Path]


def recorded(defense: str, trial_id: str) -> list[EpochRecord]:
    """Eight epochs with the columns that each training fills in: Min-Max its inner attacker's
    accuracy, pruning that of the gap attack where a stage ends, the others none."""
    pruned = "pruning" in defense
    phases = (
        ["admm"] * 4 + ["retrain"] * 4 if pruned else ["dp" if defense == "dp" else "dense"] * 8
    )
    common = {"train_accuracy": 0.9, "val_accuracy": 0.9}
    records = [
        EpochRecord(trial_id=trial_id, phase=phase, epoch=epoch, loss=1 / epoch, **common)
        for epoch, phase in enumerate(phases, start=1)
    ]
    if defense == "minmax":
        return [dataclasses.replace(record, attack_accuracy=0.55) for record in records]
    ends = {2, 4, 8} if pruned else set()
    return [
        dataclasses.replace(
            record,
            rho=0.01 if record.phase == "admm" else None,
            primal_residual=0.1 if record.epoch in (2, 4) else None,
            dual_residual=0.1 if record.epoch in (2, 4) else None,
            attack_accuracy=0.57,
        )
        if record.epoch in ends
        else record
        for record in records
    ]


@pytest.fixture
def make_run(write_run: RunWriter, make: SimpleNamespace) -> Maker:
    """A finished run of one defence: dense network, searched trials, one confirmed candidate."""

    def run(
        defense: str = "pruning",
        *,
        dataset: str = "cifar10",
        model: str = "vgg16",
        name: str | None = None,
        test: float = 0.91,
        attack: float = 0.59,
        confirmed: bool = True,
        val: float = 0.93,
        excess: float = 0.03,
        epsilon: float | None = None,
        spent: dict[str, float] | None = None,
        images: int = 5000,
        seeds: int = 3,
        created: str = "2026-01-01T00:00:00+00:00",
        feasible: bool = True,
        preset: str = "default",
        **search: Any,
    ) -> Path:
        spent = spent or ({} if epsilon is None else {"epsilon": epsilon})
        task = {"dataset": dataset, "model": model, "defense": defense, **search}
        numbers = {} if epsilon is None else {"epsilon": 2 * epsilon}
        rows = [make.dense()]
        rows += [
            make.trial(
                "search", i, keep=0.2, excess=excess / 3 + 0.01 * i, val_accuracy=val - 0.01 * i,
                defense=defense, defense_parameters=numbers,
            )
            for i in range(6)
        ]  # fmt: skip
        rows += [
            make.trial(
                "confirm", number, keep=0.2, excess=excess / 2, reference=excess + 0.001 * shift,
                val_accuracy=val, test_accuracy=test + 0.001 * shift, defense=defense,
                attack_accuracy=attack + 0.001 * shift, train_accuracy=0.99, seed=100 + number,
                defense_parameters=numbers, defense_spent=spent, feasible=feasible,
            )
            for number, shift in enumerate((-1, 0, 1)[:seeds])
            if confirmed
        ]  # fmt: skip
        settings = make.config(**task) | {"options": {"preset": preset}, "created_at": created}
        settings["split_sizes"] = dict.fromkeys(settings["split_sizes"], images)
        epochs = [
            record
            for row in rows
            if row.kind in ("baseline", "confirm")
            for record in recorded("none" if row.kind == "baseline" else defense, row.trial_id)
        ]
        folder = write_run(
            rows, name=name or f"{dataset}-{defense}", settings=settings, epochs=epochs
        )
        generator = np.random.default_rng(1)
        for part, keep in (("baseline", 1.0), ("winner", 0.2)):
            (folder / part).mkdir()
            kept = 1.0 if defense in ("none", "minmax", "dp") else keep
            tensors = {
                f"{layer}.weight": np.where(
                    generator.random(2000) < kept, generator.normal(0, 0.05, 2000), 0.0
                ).astype(np.float32)
                for layer in ("conv1", "conv2", "fc1", "fc2", "fc3")
            }
            save_file(tensors, folder / part / "model.safetensors")
        return folder

    return run


def table(number: int, *folders: Path) -> PaperTable:
    found = paper_tables([load_run(folder) for folder in folders])
    return next(one for one in found if one.number == number)


def cell(made: PaperTable, row: str, column: int) -> list[str]:
    line = next(line for line in made.table.rows if line[0] == row)
    return line[column].split("\n")


def test_without_runs_every_cell_holds_the_printed_figure_and_every_command_is_shown() -> None:
    made = paper_tables([])
    assert [one.number for one in made] == [1, 2, 3, 4, 5, 6]
    assert [len(one.table.rows) for one in made] == [6, 2, 2, 9, 3, 4]
    printed = [cell.split("\n") for one in made for line in one.table.rows for cell in line[1:]]
    figures = [lines for lines in printed if lines != ["\N{EN DASH}"]]
    assert all(lines[0] == "not run" and lines[1].startswith("paper ") for lines in figures)
    assert sum(len(one.commands) for one in made) == 18 + 4 + 4 + 9 + 6 + 4


def test_a_cell_holds_ours_its_interval_the_papers_and_the_difference(make_run: Maker) -> None:
    made = table(1, make_run("pruning", test=0.905, attack=0.570))
    ours, interval, theirs, change = cell(made, "CIFAR-10-VGG16", 4)
    assert (ours, theirs, change) == ("57.0%", "paper 59.02%", "\N{MINUS SIGN}2.0 points")
    low, high = (float(end.strip("%")) for end in interval.split(" to "))
    assert low < 57.0 < high
    assert cell(made, "CIFAR-10-VGG16", 3)[0] == "90.5%"
    assert cell(made, "CIFAR-100-VGG16", 3)[0] == "not run"


def test_the_baseline_is_the_dense_network_until_a_run_without_defence_is_given(
    make_run: Maker,
) -> None:
    pruned = make_run("pruning")
    made = table(1, pruned)
    assert cell(made, "CIFAR-10-VGG16", 1)[0] == "94.0%"
    assert any("dense model, one training" in line for line in made.sources)
    made = table(1, pruned, make_run("none", test=0.92, val=0.90))  # seeds need meet no bound
    assert cell(made, "CIFAR-10-VGG16", 1)[0] == "92.0%"
    assert any("cifar10-none (3 fresh seeds); not shown: cifar10" in x for x in made.sources)


def test_of_several_runs_that_with_most_seeds_is_shown_then_the_newest(make_run: Maker) -> None:
    old = make_run(name="old", test=0.80)
    new = make_run(name="new", test=0.90, created="2026-03-01T00:00:00+00:00")
    few = make_run(name="few", test=0.85, seeds=2, created="2026-04-01T00:00:00+00:00")
    made = table(1, old, few, new)
    assert cell(made, "CIFAR-10-VGG16", 3)[0] == "90.0%"
    assert any("new (3 fresh seeds); not shown: old (3 fresh" in line for line in made.sources)
    assert any("few (2 fresh seeds)" in line for line in made.sources)
    assert cell(table(1, old, few), "CIFAR-10-VGG16", 3)[0] == "80.0%"


def test_only_admm_fills_the_papers_column_and_the_others_stand_beside_it(
    make_run: Maker, tmp_path: Path
) -> None:
    magnitude = make_run(name="magnitude", pruner="magnitude", excess=0.09, seeds=3)
    made = table(1, magnitude)
    assert cell(made, "CIFAR-10-VGG16", 3)[0] == "not run"
    assert program(
        "search.run", "--preset", "paper-table1-cifar10-vgg16", "--defense", "pruning"
    ) in (made.commands)
    page = text_of(page_of(magnitude, make_run(excess=0.03), out=tmp_path / "p.html"))
    (_, section) = page.split("What ADMM buys")
    assert "admm its own search 0.0300" in section
    assert re.search(
        r"magnitude its own search 0.0900 \S+ to \S+ 0.0600 \S+ to", section
    )  # less ADMM's
    alone = page_of(make_run(name="alone"), out=tmp_path / "p.html")
    assert "What ADMM buys" not in alone


UNLIKE: list[tuple[dict[str, Any], str]] = [
    ({"preset": "smoke"}, "smoke run, figures without meaning"),
    ({"preset": "paper-table1-cifar10-vgg16-smoke"}, "smoke run, figures without meaning"),
    (
        {"training": {"epochs": 1}, "admm": {"retrain_epochs": 1}},
        "smoke run, figures without meaning",
    ),
    ({"canaries": 0.05}, "5% of its labels are wrong on purpose (--canaries)"),
    ({"limit": 15_000}, "it draws 15,000 images only from the paper's data set (--limit)"),
]


def test_smoke_runs_and_mislabelled_images_are_left_out_aloud(
    make_run: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = {f"unlike-{number}": reason for number, (_, reason) in enumerate(UNLIKE)}
    runs = [make_run(name=name, **UNLIKE[number][0]) for number, name in enumerate(reasons)]
    page = text_of(page_of(*runs, make_run("minmax"), out=tmp_path / "p.html"))
    said = capsys.readouterr().out
    _, left_out = page.split("Left out: ")
    for name, reason in reasons.items():
        assert f"{name}: {reason}" in left_out
        assert page.count(name) == 1
        assert f"Left out: {name}: {reason}" in said


@pytest.mark.parametrize(("changes", "reason"), UNLIKE)
def test_alone_such_a_run_is_shown_with_its_reason_in_every_cell(
    make_run: Maker, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    page = text_of(page_of(make_run(name="unlike", **changes), out=tmp_path / "p.html"))
    assert "No figure of this run means what its cell says" in page
    assert page.count(reason) > 5  # in every cell that it fills
    assert "Left out" not in page


def test_ordinary_recipes_are_no_smoke_runs(make_run: Maker) -> None:
    short = make_run(training={"epochs": 1}, admm={"retrain_epochs": 8}, preset="default")
    assert unlike(load_run(short)) is None


def test_a_part_of_a_data_set_that_the_paper_does_not_have_is_ordinary(make_run: Maker) -> None:
    run = make_run(dataset="fashion-mnist", model="lenet5", limit=15_000)
    assert unlike(load_run(run)) is None


@pytest.mark.parametrize(
    ("pruning", "minmax", "word"),
    [(0.55, 0.59, "holds"), (0.70, 0.75, "reversed"), (0.60, 0.602, "undecided")],
)
def test_the_papers_order_is_judged_with_intervals(
    make_run: Maker, pruning: float, minmax: float, word: str
) -> None:
    made = table(1, make_run("pruning", attack=pruning), make_run("minmax", attack=minmax))
    lines = cell(made, "CIFAR-10-VGG16", 7)
    assert lines[0] == word
    assert len(lines) == 4  # three pairs


@pytest.mark.parametrize(
    ("pruning", "minmax", "mark"),
    [(0.05, 0.4, "\N{CHECK MARK}"), (0.4, 0.05, "\N{BALLOT X}"), (0.2, 0.21, "?")],
)
def test_the_papers_order_is_held_against_the_excess_gain_too(
    make_run: Maker, pruning: float, minmax: float, mark: str
) -> None:
    made = table(1, make_run("pruning", excess=pruning), make_run("minmax", excess=minmax))
    assert f"{mark} pruning < Min-Max" in cell(made, "CIFAR-10-VGG16", 8)


def test_a_cell_takes_the_run_that_might_lose_least(make_run: Maker) -> None:
    tight = make_run(name="tight", test=0.93, max_accuracy_drop=0.01)
    wide = make_run(
        name="wide", test=0.88, max_accuracy_drop=0.1, created="2026-02-02T00:00:00+00:00"
    )
    for runs in ([tight, wide], [wide, tight]):
        assert cell(table(1, *runs), "CIFAR-10-VGG16", 3)[0] == "93.0%"
    preset = make_run(
        name="preset", test=0.86, preset="paper-table1-cifar10-vgg16", max_accuracy_drop=0.04
    )
    assert cell(table(1, tight, wide, preset), "CIFAR-10-VGG16", 3)[0] == "86.0%"


def test_dp_at_the_stated_epsilon_is_shown_and_says_what_was_spent(make_run: Maker) -> None:
    task = {"dataset": "mnist", "model": "lenet5"}
    runs = [
        make_run("dp", name=f"dp{epsilon:g}", epsilon=epsilon, test=0.9 + epsilon / 1000, **task)
        for epsilon in (1.0, 6.3, 50.0)
    ]
    made = table(2, *runs)
    lines = cell(made, "MNIST-LeNet-5", 1)
    assert lines[0] == "90.6%"
    assert lines[-1] == "epsilon 6.3"
    assert made.commands[-1] == (
        program("search.run", "--preset", "paper-table2-mnist-lenet5", "--defense", "pruning")
    )


def test_runs_on_the_embedded_images_stand_in_for_mnist_without_a_difference(
    make_run: Maker,
) -> None:
    task = {"dataset": "mnist5k", "model": "lenet5"}
    made = table(5, make_run("pruning", **task), make_run("pruning+minmax", attack=0.7, **task))
    lines = cell(made, "MNIST5k-LeNet-5", 2)
    assert not any("paper" in line or "points" in line for line in lines)
    assert cell(made, "MNIST5k-LeNet-5", 5) == ["holds", "\N{CHECK MARK} pruning < both"]


def test_table_4_counts_weights(make_run: Maker) -> None:
    made = table(4, make_run("pruning"))
    assert cell(made, "CIFAR-10 VGG16", 1) == ["61.47 K", "paper 13.83 M"]
    assert cell(made, "CIFAR-10 VGG16", 3)[:2] == [
        "5.00\N{MULTIPLICATION SIGN}",
        "paper 13.84\N{MULTIPLICATION SIGN}",
    ]
    assert cell(made, "CIFAR-100 VGG16", 1)[0] == "not run"


def test_table_6_has_systems_as_rows_and_training_accuracy(make_run: Maker) -> None:
    systems = ("none", "pruning", "minmax", "pruning+minmax")
    made = table(6, *(make_run(system) for system in systems))
    assert [line[0] for line in made.table.rows] == [paper_data.SYSTEMS[name] for name in systems]
    assert cell(made, "MIA-Pruning", 1)[0] == "99.0%"
    assert cell(made, "MIA-Pruning", 1)[2] == "paper 99.22%"
    assert cell(made, "Baseline", 4) == ["\N{EN DASH}"]
    assert not made.commands


def test_a_run_without_confirmation_says_so_and_is_not_asked_for_again(make_run: Maker) -> None:
    made = table(1, make_run("minmax", confirmed=False))
    assert cell(made, "CIFAR-10-VGG16", 5)[0] == "nothing confirmed"
    assert not any("cifar10-vgg16 --defense minmax" in command for command in made.commands)


def test_a_candidate_that_misses_its_bound_is_shown_with_a_flag_and_after_any_winner(
    make_run: Maker,
) -> None:
    missed = make_run("minmax", name="missed", val=0.90, test=0.85)
    made = table(1, missed)
    assert cell(made, "CIFAR-10-VGG16", 5)[-1] == "nearest to its bounds, not met"
    assert any("3 fresh seeds, nearest to its bounds, not met" in x for x in made.sources)
    made = table(1, missed, make_run("minmax", name="met", test=0.91, images=500))
    assert cell(made, "CIFAR-10-VGG16", 5)[0] == "91.0%"


def test_order_of_a_single_system_is_unknown(make_run: Maker) -> None:
    run = load_run(make_run("pruning"))
    row = paper_data.TABLES[5].rows[0]
    found = {name: measured_as([run], ("cifar10", "vgg16"), name) for name in row.systems}
    assert order(row, "attack", found) == "\N{EN DASH}"


def test_points_have_a_sign() -> None:
    assert points(0.0123) == "+1.2 points"
    assert points(-0.0123) == "\N{MINUS SIGN}1.2 points"


def test_matched_accuracy_takes_the_least_gain_within_the_drop_in_test_accuracy(
    make_run: Maker,
) -> None:
    """Dense: 94.0% of the test images, 93.5% of the validation ones."""
    run = load_run(make_run(test=0.925, val=0.934, excess=0.03, max_accuracy_drop=0.02))
    strict, wide = defenses.least([run], 0.01), defenses.least([run], 0.02)
    assert (strict.has_run, strict.confirmed) == (True, None)  # though validation allows it
    assert wide.search_value == pytest.approx(0.01)
    assert wide.confirmed is not None
    assert wide.confirmed.excess().estimate == pytest.approx(
        0.03
    )  # the references', not the family's
    assert wide.confirmed.drop().estimate == pytest.approx(0.015)


def test_a_level_beyond_what_a_run_might_lose_was_not_searched(make_run: Maker) -> None:
    """The least within 1 point is not the least within 5, so it must not be called that."""
    tight = make_run("pruning", test=0.935, excess=0.20, max_accuracy_drop=0.01)
    loose = make_run("dp", test=0.90, excess=0.05, epsilon=4.0, max_accuracy_drop=0.05)
    (task,) = defenses.tasks([load_run(tight), load_run(loose)])
    found = defenses.at_levels(task)
    five = defenses.LEVELS.index(0.05)
    assert [one.has_run for one in found["pruning"]] == [True, True, False, False, False]
    sentence = level_tables.in_words(found)[five]
    assert "dp leaks least (0.0500 nats at 90.0%, cifar10-dp), the only one confirmed" in sentence
    assert sentence.endswith("; not searched: pruning.")
    assert "beats" not in sentence
    one = level_tables.in_words(found)[defenses.LEVELS.index(0.01)]
    assert "pruning leaks least" in one
    assert one.endswith("; nothing confirmed within it: dp.")
    pruning, dp = level_tables.table(task, found).rows
    assert pruning[1 + five].split("\n")[:3] == ["not searched", "yet 0.2000", "test 93.5%"]
    assert dp[1 + five].split("\n")[0] == "0.0500"
    assert "test 90.0%" in dp[1 + five]
    assert "drop 4.0 (" in dp[1 + five]
    assert "cifar10-dp" in dp[1 + five]


def test_a_tighter_search_may_win_at_a_wider_level_but_not_lose(make_run: Maker) -> None:
    tight = make_run("pruning", test=0.935, excess=0.02, max_accuracy_drop=0.01)
    loose = make_run("dp", test=0.90, excess=0.05, epsilon=4.0, max_accuracy_drop=0.05)
    (task,) = defenses.tasks([load_run(tight), load_run(loose)])
    words = dict(
        zip(
            defenses.LEVELS,
            level_tables.in_words(defenses.at_levels(task)),
            strict=True,
        )
    )
    assert (
        "pruning leaks least (0.0200 nats at 93.5%, cifar10-pruning, searched with a tighter bound "
        "only); pruning beats dp."
    ) in words[0.05]
    (task,) = defenses.tasks([*task.runs, load_run(make_run("minmax", test=0.935, excess=0.03))])
    five = level_tables.in_words(defenses.at_levels(task))[defenses.LEVELS.index(0.05)]
    assert five.endswith("pruning beats dp; not searched: minmax.")
    assert words[0.10].endswith("of test accuracy: no defence was searched.")


def test_more_allowance_never_looks_worse(make_run: Maker) -> None:
    tight = make_run(name="tight", test=0.935, excess=0.02, max_accuracy_drop=0.01)
    wide = make_run(name="wide", test=0.92, excess=0.03, max_accuracy_drop=0.05)
    runs = [load_run(tight), load_run(wide)]
    for level in (0.01, 0.02, 0.05):
        found = defenses.least(runs, level)
        assert found.has_run
        assert found.confirmed is not None
        assert found.confirmed.name == "tight"


def test_no_defence_wins_nothing_where_no_other_was_searched(make_run: Maker) -> None:
    runs = [load_run(make_run("none", test=0.935)), load_run(make_run("pruning", test=0.935))]
    (task,) = defenses.tasks(runs)
    assert level_tables.in_words(defenses.at_levels(task))[-1].endswith(
        ": no defence was searched."
    )


@pytest.mark.parametrize(
    ("defense", "search", "level"),
    [
        ("none", {}, float("inf")),
        ("memguard", {"parameters": {"distortion": {"searched": False}}}, float("inf")),
        ("memguard", {"parameters": {"distortion": {"searched": True}}}, 0.01),
        ("pruning", {"parameters": {}}, 0.01),
    ],
)
def test_what_has_nothing_to_choose_stands_at_every_level(
    make_run: Maker, defense: str, search: dict[str, Any], level: float
) -> None:
    assert defenses.allowed_drop(load_run(make_run(defense, **search))) == level


def test_in_words_the_winner_of_each_level_and_dp_against_pruning(make_run: Maker) -> None:
    runs = [
        load_run(make_run("pruning", excess=0.20, test=0.935)),
        load_run(make_run("dp", excess=0.05, epsilon=4.0, test=0.935)),
        load_run(make_run("minmax", excess=0.21, test=0.935)),
    ]
    (task,) = defenses.tasks(runs)
    sentences = level_tables.in_words(defenses.at_levels(task))
    assert len(sentences) == len(defenses.LEVELS)
    assert "dp leaks least (0.0500 nats at 93.5%, cifar10-dp)" in sentences[1]
    assert "dp beats pruning" in sentences[1]
    assert "minmax and pruning are not distinguishable" in sentences[1]


def test_networks_that_learned_nothing_do_not_squeeze_the_picture(
    make_run: Maker, tmp_path: Path
) -> None:
    runs = [make_run("pruning"), make_run("dp", val=0.4, confirmed=False)]
    assert "further left, not shown: 6" in page_of(*runs, out=tmp_path / "hidden.html")
    runs[1] = make_run("dp", name="confirmed", val=0.4)
    page = page_of(*runs, out=tmp_path / "shown.html")
    assert "further left, not shown: 5" in page  # the first is beside the confirmed


def test_epsilon_is_what_was_spent(make_run: Maker) -> None:
    run = load_run(make_run("dp", epsilon=3.0))
    line = run_tables.overview([run], [measured_as([run], ("cifar10", "vgg16"), "dp")[0]]).rows[0]
    assert line[-1].split("\n")[1:] == ["of the prunable 99.6%", "epsilon 3"]


def test_memguards_distortion_stands_where_epsilon_does_and_weights_are_not_protected(
    make_run: Maker, tmp_path: Path
) -> None:
    folder = make_run("memguard", spent={"distortion": 0.314})
    run = load_run(folder)
    line = run_tables.overview(
        [run], [measured_as([run], ("cifar10", "vgg16"), "memguard")[0]]
    ).rows[0]
    assert line[-1].split("\n")[1:] == ["of the prunable 99.6%", "distortion 0.314"]
    page = text_of(page_of(folder, out=tmp_path / "p.html"))
    assert "MemGuard protects answers, not weights" in page


def test_a_distortion_that_was_only_asked_for_says_so(
    make_run: Maker, make: SimpleNamespace
) -> None:
    run = load_run(make_run("memguard"))
    run.trials["defense_parameters"] = [{"distortion": 0.5}] * len(run.trials)
    (one, *_) = measured_as([run], ("cifar10", "vgg16"), "memguard")
    assert run_tables.spent(one) == ["distortion 0.5", "asked, not recorded"]


def test_figure_2_averages_the_trainings_and_figure_3_reads_the_weights(make_run: Maker) -> None:
    runs = [load_run(make_run("pruning")), load_run(make_run("minmax"))]
    curves = paper_figures.loss_curves(runs, ("cifar10", "vgg16"))
    assert curves["Min-Max Game"]["attack_accuracy"].tolist() == [pytest.approx(0.55)] * 8
    assert curves["MIA-Pruning"]["loss"].tolist() == [pytest.approx(1 / e) for e in range(1, 9)]
    weights = paper_figures.weights(runs, ("cifar10", "vgg16"))
    assert (weights["MIA-Pruning"] == 0).mean() == pytest.approx(0.8, abs=0.02)
    assert (weights["Min-Max Game"] != 0).all()
    assert weights["MIA-Pruning & Min-Max"] is None


def test_figure_2_says_where_no_attack_accuracy_was_recorded(
    make_run: Maker, tmp_path: Path
) -> None:
    systems = ("none", "pruning", "minmax")
    page = page_of(*(make_run(system) for system in systems), out=tmp_path / "p.html")
    assert "Attack accuracy not recorded: Baseline." in text_of(page)
    (label,) = re.findall(r'aria-label="(Classification loss and attack accuracy[^"]*)"', page)
    assert "Baseline ends at loss 0.1250, attack accuracy not recorded" in label
    assert "MIA-Pruning ends at loss 0.1250, attack accuracy 57.0%" in label
    assert "Min-Max Game ends at loss 0.1250, attack accuracy 55.0%" in label
    assert "without the attacker's term" in page


def test_the_figures_show_the_papers_task_or_else_the_fullest(make_run: Maker) -> None:
    small = {"dataset": "mnist5k", "model": "lenet5"}
    other = [load_run(make_run(d, **small)) for d in ("pruning", "minmax")]
    alone = load_run(make_run("pruning", dataset="cifar100"))
    assert paper_figures.task_shown([alone, *other]) == ("mnist5k", "lenet5")
    assert paper_figures.task_shown([*other, load_run(make_run())]) == ("cifar10", "vgg16")
    assert paper_figures.task_shown([]) is None


def test_weights_that_are_damaged_are_one_line(
    make_run: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    (run / "winner" / "model.safetensors").write_bytes(b"nothing")
    assert paper.main([str(run), "--out", str(tmp_path / "p.html")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "model.safetensors cannot be read" in error


class _Balance(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(*folders: Path, out: Path, **_: Any) -> str:
    assert paper.main([*map(str, folders), "--out", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """What a reader sees, in one line."""
    bare = re.sub(r"<(style|svg).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def test_the_page_is_self_contained_balanced_and_complete(make_run: Maker, tmp_path: Path) -> None:
    defenses = ("none", "pruning", "minmax", "pruning+minmax", "dp", "memguard")
    page = page_of(*(make_run(name) for name in defenses), out=tmp_path / "p.html")
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    links = [value for name, value in parser.attributes if name in ("src", "href", "xlink:href")]
    assert all(value is None or value.startswith("#") for value in links)
    assert "<script" not in page
    ids = [value for name, value in parser.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert page.count("<svg") == 3
    for part in ("table1", "table6", "figure2", "figure3", "defences", "matched1"):
        assert f'id="{part}"' in page
    assert "a constant guess" in page


def test_no_run_gives_a_page_of_printed_figures_and_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(out=tmp_path / "p.html")
    text = capsys.readouterr().out
    assert text.splitlines()[0] == "Table 1: 0 systems measured, 18 to run"
    assert text.splitlines()[-1] == str(tmp_path / "p.html")
    assert "<svg" not in page
    assert "paper 67.63%" in page


def test_names_from_outside_are_escaped(make_run: Maker, tmp_path: Path) -> None:
    evil = "<img src=x>$x_"
    runs = [
        make_run("pruning", dataset=evil, model=evil, name="a&b<i>"),
        make_run(evil, dataset=evil, model=evil, name="c"),
    ]
    page = page_of(*runs, out=tmp_path / "p.html")
    assert "<img" not in page
    assert "<i>" not in page
    assert "&lt;img src=x&gt;" in page


def test_a_page_of_ours_is_replaced_and_anything_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.html"
    page_of(out=out)
    page_of(out=out)
    out.write_text("<title>my thesis</title>", encoding="utf-8")
    assert paper.main(["--out", str(out)]) == 2
    assert "is not a page of this program" in capsys.readouterr().err
    assert "thesis" in out.read_text(encoding="utf-8")
    assert paper.main(["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("case", ["twice", "no run"])
def test_what_cannot_be_read_is_one_line(
    case: str, make_run: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths, message = [tmp_path / "nothing"], "not a run folder"
    if case == "twice":
        paths, message = [make_run()] * 2, "given twice"
    assert paper.main([*map(str, paths), "--out", str(tmp_path / "p.html")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "p.html").exists()


def test_a_run_that_has_only_begun_is_listed(
    write_run: RunWriter, make: SimpleNamespace, tmp_path: Path
) -> None:
    page = page_of(write_run([], name="begun"), out=tmp_path / "p.html")
    assert re.search(r"begun.*nothing confirmed", page)
    assert dense(load_run(write_run([], name="other")), "other") is None


def test_audits_are_stated_and_runs_without_one_say_how_to_get_it(
    make_run: Maker, write_audit: Callable[..., None], tmp_path: Path
) -> None:
    audited = make_run("pruning", val=0.935)
    write_audit(audited, dense={"lira-online": 0.7}, winner={"rmia": 0.55, "lira-online": 0.54})
    page = text_of(page_of(audited, make_run("minmax", val=0.935), out=tmp_path / "p.html"))
    assert (
        "cifar10-pruning: The strongest audit attack (lira-online on the dense network, rmia"
        in (page)
    )
    assert "Not audited: cifar10-minmax. Add --audit lira to the run's command." in page


def test_the_page_says_whose_seeds_share_a_dense_start(tmp_path: Path) -> None:
    page = text_of(page_of(out=tmp_path / "p.html"))
    assert "the seeds of pruning share one dense start" in page
    assert "train each seed from scratch" in page


def test_candidates_that_only_came_nearest_are_shown_as_such_everywhere(
    make_run: Maker, tmp_path: Path
) -> None:
    folder = make_run("pruning", feasible=False, val=0.935)  # the mean would meet the bound
    page = text_of(page_of(folder, out=tmp_path / "p.html"))
    assert page.count("nearest to its bounds, not met") >= 3
    assert "no winner" in comparison_page.compare([folder, make_run("minmax")])[0]
    shown = text_of(run_page.write_report(folder).read_text(encoding="utf-8"))
    assert "There is no winner" in shown
    assert "A (not feasible)" in shown
