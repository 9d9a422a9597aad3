"""The cross-audit in the report: kinds of models in pairs, and what their intervals say."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis import cross_audit, figures, run_page, statistics, tables
from analysis.load import load_run
from analysis.verdict import verdict
from search.record.confirm_parquet import write_correct, write_terms
from trainables.attacks.cross_audit import CrossAudit
from trainables.attacks.gain import NO_LEAK, gain_terms
from trainables.base.commandline import resume
from trainables.base.errors import InvalidInput
from trainables.data.cohort import reference_halves

MODELS, IMAGES = 8, 400
HALVES = reference_halves(IMAGES, MODELS, seed=3)


def write(
    run: Path,
    vector: str,
    *,
    knows: float,
    accuracy: float,
    halves: np.ndarray = HALVES,
    luck: int = 0,
) -> None:
    """Models that an attack tells right for a share `knows` of the images.

    The images that are classified wrong are the same for every kind of models, and then more.
    """
    generator = np.random.default_rng(len(vector) + luck)
    right = generator.random(halves.shape) < knows
    probability = np.where(right == halves, knows, 1 - knows)
    audit = CrossAudit(probability, gain_terms(probability, halves), halves)
    positions = np.arange(IMAGES)
    correct = np.random.default_rng(1).random((len(halves), 1000)) < accuracy
    parts = {"validation": positions[:1].repeat(1000), "test": positions[:1].repeat(1000)}
    write_correct(run / "confirm", vector, dict.fromkeys(parts, correct), parts)
    write_terms(run / "confirm", vector, audit, positions, positions % 10)


@pytest.fixture
def run(write_run: Callable[..., Path], make: SimpleNamespace) -> Path:
    folder = write_run(make.full())
    write(folder, "baseline-0000", knows=0.70, accuracy=0.95)
    return folder


def table(run: Path) -> dict[str, list[str]]:
    """Name -> the other cells of its line."""
    record = load_run(run)
    rows = statistics.confirmed(record.trials, record.config)
    best = statistics.confirmed_winner(record.trials, record.config)
    found = cross_audit.table(record, rows, best)
    assert found is not None
    assert all(len(line) == len(found.headers) for line in found.rows)
    return {line[0]: list(line[1:]) for line in found.rows}


def winner(run: Path) -> str:
    """The trial id of the winner's first seed, which names its part; its letter is B."""
    record = load_run(run)
    best = statistics.confirmed_winner(record.trials, record.config)
    assert best is not None
    return min(best["trial_ids"])


def another(run: Path) -> str:
    """The same for the vector that was confirmed with it and missed a bound, A."""
    record = load_run(run)
    rows = statistics.confirmed(record.trials, record.config)
    return min(rows.iloc[0]["trial_ids"])


def test_a_kind_of_models_stands_beside_the_dense_ones_in_pairs(run: Path) -> None:
    write(run, winner(run), knows=0.60, accuracy=0.945)
    found = table(run)
    assert list(found) == ["dense", "B"]
    excess, ratio, less, test, lost, kept, _ = found["B"]
    expected = {
        share: 2 * (share * np.log(share) + (1 - share) * np.log(1 - share)) - NO_LEAK
        for share in (0.6, 0.7)
    }
    assert float(excess.split("\n")[0]) == pytest.approx(expected[0.6], abs=0.02)
    assert float(ratio.split("\n")[0]) == pytest.approx(expected[0.6] / expected[0.7], abs=0.15)
    assert less == tables.UNKNOWN, "B is the winner itself"
    assert float(test.split("%")[0]) == pytest.approx(94.5, abs=0.5)
    low, high = (float(x) for x in lost.split("\n")[1].split(" to "))
    assert low < 0.5 < high
    assert kept == "yes", "in pairs half a point is known to be less than one"
    assert found["dense"][1] == tables.UNKNOWN


@pytest.mark.parametrize(
    ("accuracy", "kept"), [(0.948, "yes"), (0.9402, "undecided"), (0.90, "no")]
)
def test_a_bound_is_kept_missed_or_undecided(run: Path, accuracy: float, kept: str) -> None:
    write(run, winner(run), knows=0.6, accuracy=accuracy)
    assert table(run)["B"][5] == kept


def test_models_of_other_halves_are_left_out(run: Path) -> None:
    write(run, winner(run), knows=0.6, accuracy=0.94)
    halves = reference_halves(IMAGES, MODELS, seed=4)
    write(run, another(run), knows=0.6, accuracy=0.94, halves=halves)
    assert list(table(run)) == ["dense", "B"]


def test_a_run_without_one_is_shown_as_before(run: Path) -> None:
    record = load_run(run)
    rows = statistics.confirmed(record.trials, record.config)
    assert cross_audit.table(record, rows, None) is None, "only the dense models were audited"
    assert run_page._values(record)["crossed"] is None


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("term", 0.5, "term has values that are no logarithms"),
        ("probability", 1.5, "probability has values that are none"),
        ("half", 3, "half does not count the models in order"),
        ("image", 7, "its models were measured on different images"),
        ("inside", None, "inside is missing"),
    ],
)
def test_damaged_terms_are_one_line(run: Path, column: str, value: object, said: str) -> None:
    part = run / "confirm" / "terms.parquet" / "baseline-0000.parquet"
    rows = pq.read_table(part)
    values = rows[column].to_pylist()
    values[0] = value
    index = rows.column_names.index(column)
    field = rows.schema.field(index)
    pq.write_table(rows.set_column(index, field, [values]), part)
    with pytest.raises(InvalidInput, match=said) as refused:
        load_run(run)
    assert "\n" not in str(refused.value)


def test_terms_without_what_was_right_are_one_line(run: Path) -> None:
    (run / "confirm" / "correct.parquet" / "baseline-0000.parquet").unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_run(run)


def test_the_headline_says_what_other_trainings_found(run: Path) -> None:
    write(run, winner(run), knows=0.6, accuracy=0.945)
    found = verdict(load_run(run))
    assert found.tone == "good"
    assert "Over 8 trainings of each, in pairs: excess gain 0.0" in found.text
    assert "within the bound of 1 point." in found.text


def test_a_winner_that_leaks_more_in_pairs_is_no_good_news(run: Path) -> None:
    write(run, winner(run), knows=0.75, accuracy=0.945)
    for vector in others(run):
        write(run, vector, knows=0.8, accuracy=0.945)
    found = verdict(load_run(run))
    assert found.tone == "bad"
    assert "leaks 1.5 times more" in found.title


def others(run: Path) -> list[str]:
    """The trials that name the parts of the vectors that did not win."""
    record = load_run(run)
    rows = statistics.confirmed(record.trials, record.config)
    best = statistics.confirmed_winner(record.trials, record.config)
    assert best is not None
    return [min(names) for names in rows["trial_ids"] if names != best["trial_ids"]]


def crowned(run: Path) -> str:
    """The trial id of the vector that wins on what the cross-audit found."""
    record = load_run(run)
    best = statistics.confirmed_winner(record.trials, record.config, record.crossed)
    assert best is not None
    return min(best["trial_ids"])


def test_what_surely_keeps_the_bound_goes_before_what_leaks_less_but_may_not(run: Path) -> None:
    first, (second, third) = winner(run), others(run)
    write(run, first, knows=0.52, accuracy=0.9425)  # a point is within its interval
    write(run, second, knows=0.60, accuracy=0.946)
    write(run, third, knows=0.52, accuracy=0.90)
    assert crowned(run) == second
    write(run, second, knows=0.60, accuracy=0.90)  # now only the first may keep it
    assert crowned(run) == first
    found = verdict(load_run(run)).text
    assert "which leaves open whether it keeps the bound of 1 point." in found
    assert f"More models may decide it ({resume(run)} --models 16)." in found


def more_may_decide(run: Path) -> bool:
    record = load_run(run)
    return statistics.more_models_may_decide(record.trials, record.config, record.crossed)


def test_more_models_may_decide_where_an_undecided_vector_wins_or_leaks_less(run: Path) -> None:
    first, (second, third) = winner(run), others(run)
    write(run, second, knows=0.60, accuracy=0.946)
    write(run, third, knows=0.52, accuracy=0.90)
    write(run, first, knows=0.52, accuracy=0.9425)
    assert more_may_decide(run), "it leaks less than the winner, and may keep the bound"
    write(run, first, knows=0.65, accuracy=0.9425)
    assert not more_may_decide(run), "it leaks more"
    write(run, first, knows=0.52, accuracy=0.9402)
    assert not more_may_decide(run), "its mean is beyond the bound"
    write(run, second, knows=0.60, accuracy=0.90)
    assert not more_may_decide(run), "nothing wins: others are tried first"
    write(run, first, knows=0.52, accuracy=0.9425)
    assert more_may_decide(run), "the winner itself is undecided"


def test_while_models_are_added_nothing_is_claimed(run: Path) -> None:
    write(run, winner(run), knows=0.52, accuracy=0.946, halves=HALVES[:-2])
    found = verdict(load_run(run))
    assert (found.tone, found.title) == ("warn", "Models are being added")
    assert found.text.endswith(resume(run))


def test_a_vector_that_is_undecided_and_beyond_the_bound_on_average_does_not_win(run: Path) -> None:
    for vector in (winner(run), *others(run)):
        write(run, vector, knows=0.52, accuracy=0.9402)
    record = load_run(run)
    rows = statistics.confirmed(record.trials, record.config, record.crossed)
    assert set(rows["kept"]) == {"undecided"}
    assert not rows["feasible"].any()
    assert statistics.confirmed_winner(record.trials, record.config, record.crossed) is None


def test_of_vectors_that_leak_alike_the_smallest_wins(run: Path) -> None:
    record = load_run(run)
    rows = statistics.confirmed(record.trials, record.config).sort_values("nonzero")
    small, middle, large = (min(names) for names in rows["trial_ids"])
    write(run, large, knows=0.600, accuracy=0.946)
    write(run, middle, knows=0.605, accuracy=0.946, luck=1)
    write(run, small, knows=0.65, accuracy=0.946)  # leaks more, in pairs
    assert crowned(run) == middle


def test_the_figures_of_a_vector_are_those_of_all_its_models(run: Path) -> None:
    write(run, winner(run), knows=0.6, accuracy=0.946)
    record = load_run(run)
    before = statistics.dense(record.trials, record.crossed)
    best = statistics.confirmed_winner(record.trials, record.config, record.crossed)
    assert before is not None
    assert best is not None
    models = record.crossed[min(best["trial_ids"])]
    assert (best["seeds"], before["seeds"]) == (MODELS, MODELS)
    assert best["excess_gain"] == models.excess.estimate
    assert best["test_accuracy"] == models.accuracy("test").estimate
    assert best["excess_gain_low"] < best["excess_gain"] < best["excess_gain_high"]
    assert before["excess_gain"] == record.crossed["baseline-0000"].excess.estimate
    lost = models.drop_from(record.crossed["baseline-0000"], "validation")
    assert (best["drop_low"], best["drop"], best["drop_high"]) == (
        lost.low,
        lost.estimate,
        lost.high,
    )


def test_from_16_models_the_images_outside_each_count_in_what_is_lost(run: Path) -> None:
    for models, counted in ((8, False), (16, True)):
        halves = reference_halves(IMAGES, models, seed=5)
        lost = []
        for audited_too in (False, True):
            for name, accuracy in (("baseline-0000", 0.95), (winner(run), 0.945)):
                write(run, name, knows=0.6, accuracy=accuracy, halves=halves)
                if audited_too:
                    write_audited(run, name, accuracy, halves)
            crossed = load_run(run).crossed
            lost.append(crossed[winner(run)].lost_against(crossed["baseline-0000"]))
        assert (lost[0] != lost[1]) == counted
        assert lost[1].estimate == pytest.approx(0.005, abs=0.003)


def write_audited(run: Path, vector: str, accuracy: float, halves: np.ndarray) -> None:
    """What the models say of the audited images: members right, the others as often as asked."""
    part = run / "confirm" / "correct.parquet" / f"{vector}.parquet"
    rows = pq.read_table(part)
    right = np.random.default_rng(2).random(halves.shape) < accuracy
    columns = {
        "vector": np.repeat(vector, right.size),
        "half": np.repeat(np.arange(len(halves)), IMAGES),
        "part": np.repeat("audited", right.size),
        "image": np.tile(np.arange(IMAGES), len(halves)),
        "correct": (right | halves).ravel(),
    }
    pq.write_table(pa.concat_tables([rows, pa.table(columns, schema=rows.schema)]), part)


def test_tables_of_another_number_of_models_are_one_line(run: Path) -> None:
    part = run / "confirm" / "correct.parquet" / "baseline-0000.parquet"
    rows = pq.read_table(part)
    pq.write_table(rows.filter(pc.less(rows["half"], 4)), part)
    with pytest.raises(InvalidInput, match="of 4 models, and terms") as refused:
        load_run(run)
    assert "\n" not in str(refused.value)


def test_models_measured_on_other_images_are_left_out(run: Path) -> None:
    write(run, winner(run), knows=0.6, accuracy=0.94)
    part = run / "confirm" / "terms.parquet" / f"{winner(run)}.parquet"
    rows = pq.read_table(part)
    at = rows.column_names.index("image")
    pq.write_table(rows.set_column(at, rows.schema.field(at), pc.add(rows["image"], 1)), part)
    record = load_run(run)
    confirmed = statistics.confirmed(record.trials, record.config)
    assert cross_audit.table(record, confirmed, None) is None


def test_the_forest_shows_every_other_kind_against_the_winner(run: Path) -> None:
    write(run, "confirm-0000", knows=0.51, accuracy=0.90)
    write(run, "confirm-0003", knows=0.55, accuracy=0.945)
    record = load_run(run)
    rows = statistics.confirmed(record.trials, record.config, record.crossed)
    best = statistics.confirmed_winner(record.trials, record.config, record.crossed)
    found = cross_audit.differences(record, rows, best)
    assert len(found) == 2
    leak, lost = found["dense"]
    assert leak.low > 0
    assert lost.high < 0
    assert "Differences to the winner" in figures.forest(found)
    assert cross_audit.differences(record, rows, None) == {}
    exposed = cross_audit.exposed(record, count=5)
    assert [len(one.images) for one in exposed.values()] == [5, 5]
