"""The cross-audit in the report: kinds of models in pairs, and what their intervals say."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analysis import cross_audit, run_page, statistics, tables
from analysis.load import load_run
from analysis.verdict import verdict
from search.record.confirm_parquet import write_correct, write_terms
from trainables.attacks.cross_audit import CrossAudit
from trainables.attacks.gain import NO_LEAK, gain_terms
from trainables.base.errors import InvalidInput
from trainables.data.cohort import reference_halves

MODELS, IMAGES = 8, 400
HALVES = reference_halves(IMAGES, MODELS, seed=3)


def write(
    run: Path, vector: str, *, knows: float, accuracy: float, halves: np.ndarray = HALVES
) -> None:
    """Models that an attack tells right for a share `knows` of the images.

    The images that are classified wrong are the same for every kind of models, and then more.
    """
    generator = np.random.default_rng(len(vector))
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
    assert float(test.removesuffix("%")) == pytest.approx(94.5, abs=0.5)
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
    assert "Over 8 other trainings of each, in pairs: excess gain 0.0" in found.text
    assert "within the bound of 1 point." in found.text


def test_a_winner_that_other_trainings_do_not_bear_out_is_no_good_news(run: Path) -> None:
    write(run, winner(run), knows=0.75, accuracy=0.90)
    found = verdict(load_run(run))
    assert found.tone == "bad"
    assert found.title.endswith("but other trainings do not bear it out")
    assert "beyond the bound of 1 point." in found.text


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
