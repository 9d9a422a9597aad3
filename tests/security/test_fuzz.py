"""Thousands of bad inputs: each ends in success, or in exit status 2 with one line on stderr."""

import contextlib
import io
import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import search.every_defense
import search.inputs
import search.pipeline
import search.run
from analysis import compare, paper, report, run_page
from analysis.load import load_run
from search.recipes import recipe
from search.record.runfolder import describe
from search.record.trials_parquet import Ledger
from trainables.base.errors import InvalidInput
from trainables.data import registry
from trainables.defenses.registry import DEFENSES
from trainables.records import EPOCH_SCHEMA, TRIAL_SCHEMA

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

COUNTS: Counter[str] = Counter()
"""Over the whole file: tried, exit 0, exit 2, traceback."""

Main = Callable[[Sequence[str]], int]


def fuzz(cases: int) -> Callable:
    """A budget of `cases`; the folders that fixtures make are rewritten by every case."""
    return settings(
        max_examples=cases,
        database=None,
        suppress_health_check=[*HealthCheck],
    )


def outcome(main: Main, words: Sequence[str]) -> int:
    """The exit status; fails on a traceback, another status or more than one line."""
    said = io.StringIO()
    COUNTS["tried"] += 1
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            status = main(words)
    except SystemExit as leaving:  # argparse's --help
        status = int(leaving.code or 0)
    except Exception:
        COUNTS["traceback"] += 1
        pytest.fail(f"{words}\n{traceback.format_exc()}")
    COUNTS[f"exit {status}"] += 1
    lines = said.getvalue().splitlines()
    assert status in (0, 2), (words, status, lines)
    if status == 2:
        assert len(lines) == 1, (words, lines)
        assert lines[0].startswith("error: ")
        assert lines[0].isprintable()
    return status


def refused_or_done(call: Callable[[], object]) -> bool:
    """Whether a call was refused, in one line; anything but InvalidInput is a traceback."""
    COUNTS["tried"] += 1
    try:
        call()
    except InvalidInput as error:
        COUNTS["exit 2"] += 1
        assert len(str(error).splitlines()) == 1
        return True
    except Exception:
        COUNTS["traceback"] += 1
        pytest.fail(traceback.format_exc())
    COUNTS["exit 0"] += 1
    return False


# ---------------------------------------------------------------- the command line


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch, mnist5k) -> None:
    """Two cores without Ray, and the data set that comes with the program only."""

    @contextlib.contextmanager
    def cluster(address: str | None, *_: object) -> Iterator[list[dict[str, float]]]:
        yield [{"CPU": 2.0}]

    def load_images(name: str, data_dir: Path | None):
        if name != "mnist5k":
            raise InvalidInput(f"{name} is not here")
        return mnist5k

    monkeypatch.setattr(search.pipeline, "cluster", cluster)
    monkeypatch.setattr(search.every_defense, "cluster", cluster)
    monkeypatch.setattr(search.inputs, "load_images", load_images)
    monkeypatch.setattr(search.pipeline.signal, "signal", lambda *_: None)


ARGUMENT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NUMBER = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", "-1", "0", "1e999", "nan", "1e-320", "9" * 400, "0x10", "1_000", "٣"]),
)
NAMES = {
    "dataset": [*registry.DATASETS, "../../x"],
    "model": ["lenet5", "mlp", "vgg16", "/etc/passwd"],
    "defense": [*DEFENSES, "dpp", "all", "dp,none", "pruning,minmax,", "none,,none"],
    "pruner": ["admm", "magnitude", "../x"],
    "sampler": ["tpe", "gp", "grid", "random", "xx"],
    "duplicates": ["keep", "drop", "together", "merge"],
    "space": ["layer", "cluster", "global", "row"],
    "audit": ["none", "rmia", "lira", "\n"],
    "preset": ["default", "smoke", "paper-table1-mnist-lenet5", "paper"],
    "set": ["gamma=2", "gamma=0.1:10", "=", "gamma", "epsilon=inf", "gamma=1e400", "steps=2.5"],
    "time-budget": ["30m", "-1s", "9" * 400 + "s", "soon"],
    "out": ["runs/x", "s3://", "s3://a:b@c/d", "x" * 5000, "file:///tmp/x", "ftp://x/y"],
    "resume": ["nowhere", "x" * 5000, "/dev/null", "/proc/self/mem", "s3://"],
    "study-storage": ["sqlite:///x", "postgresql://u:p@h:port/d", "mysql", "redis://x", "//"],
}
COUNTED = (
    *("trials", "max-accuracy-drop", "min-compression", "seed", "confirm-top", "models"),
    *("shadows", "canaries", "concurrency", "cpus-per-trial", "gpus-per-trial"),
    *("epsilon", "limit"),
)
OPTION = st.one_of(
    st.sampled_from(sorted(NAMES)).flatmap(
        lambda name: st.tuples(
            st.just(f"--{name}"), st.one_of(st.sampled_from(NAMES[name]), ARGUMENT)
        )
    ),
    st.tuples(st.sampled_from(COUNTED).map("--{}".format), st.one_of(NUMBER, ARGUMENT)),
    st.tuples(st.sampled_from(["--comparators", "--quiet", "--help", "--nosuch"])),
    st.tuples(ARGUMENT),
)


@fuzz(900)
@given(options=st.lists(OPTION, max_size=3))
def test_any_command_line_is_planned_or_refused_in_one_line(no_ray, options) -> None:
    words = [word for option in options for word in option]
    outcome(search.run.main, [*words, "--dry-run"])


@fuzz(150)
@given(words=st.lists(ARGUMENT, max_size=4), which=st.sampled_from([report, compare, paper]))
def test_any_words_to_a_report_are_refused_in_one_line(which, words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome(which.main, words)


# ---------------------------------------------------------------- config.json

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([-1, 0, 2, 10**400, "x", "../../x", "\ud800", "", [], {}, 1e308]),
        st.floats(),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def stored() -> dict:
    """A config.json as the program writes it."""
    config = recipe("mnist5k", "lenet5")
    names = ("members", "non_members", "validation", "test", "reference")
    inputs = {
        "split_hashes": dict.fromkeys(names, "0" * 64),
        "split_sizes": dict.fromkeys(names, 1000),
        "layer_names": ["conv1"],
        "layer_weights": [150],
    }
    return json.loads(json.dumps(describe(config, "r1", {"preset": "default"}, inputs)))


def changed(values: dict, keys: list[int], new: object, remove: bool) -> dict:
    """`values` with one place, found by following `keys`, removed or set to `new`."""
    copy = json.loads(json.dumps(values))
    at = copy
    for key in keys[:-1]:
        inner = at[sorted(at)[key % len(at)]]
        if not isinstance(inner, dict) or not inner:
            break
        at = inner
    name = sorted(at)[keys[-1] % len(at)]
    if remove:
        del at[name]
    else:
        at[name] = new
    return copy


@fuzz(500)
@given(
    keys=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    new=JSON,
    remove=st.booleans(),
    reader=st.sampled_from(["resume", "report"]),
)
def test_a_config_with_a_changed_value_is_read_or_refused(
    no_ray, stored, tmp_path, keys, new, remove, reader
) -> None:
    text = json.dumps(changed(stored, keys, new, remove))
    (tmp_path / "config.json").write_text(text)
    tmp_path.chmod(0o700)
    if reader == "resume":
        outcome(search.run.main, ["--resume", str(tmp_path), "--dry-run"])
    else:
        refused_or_done(lambda: load_run(tmp_path))


@fuzz(200)
@given(
    content=st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"[" * 100_000, b'{"version": 1', b"\xff\xfe", b"1" * 5000]),
        st.integers(0, 400),
    )
)
def test_bytes_that_are_no_config_are_refused(no_ray, stored, tmp_path, content) -> None:
    whole = json.dumps(stored).encode()
    (tmp_path / "config.json").write_bytes(whole[:content] if isinstance(content, int) else content)
    assert outcome(search.run.main, ["--resume", str(tmp_path), "--dry-run"]) == 2
    assert refused_or_done(lambda: load_run(tmp_path))


# ---------------------------------------------------------------- parquet


def wrecked(whole: bytes, cut: int, flips: list[int]) -> bytes:
    """`whole` without its last `cut` bytes and with bits turned over."""
    content = bytearray(whole[: max(0, len(whole) - cut)])
    for flip in flips:
        if content:
            content[flip % len(content)] ^= 1 << (flip % 8)
    return bytes(content)


WRECKS = {
    "cut": st.one_of(st.just(0), st.integers(1, 4000)),
    "flips": st.lists(st.integers(0, 10**6), max_size=3),
}


@fuzz(350)
@given(**WRECKS, name=st.sampled_from(["trials.parquet", "epochs.parquet"]))
def test_a_wrecked_part_is_read_or_refused(a_run: Path, name, cut, flips) -> None:
    part = sorted((a_run / name).iterdir())[0]
    whole = part.read_bytes()
    try:
        part.write_bytes(wrecked(whole, cut, flips))
        refused_or_done(lambda: load_run(a_run))
        if name == "trials.parquet":
            refused_or_done(Ledger(a_run).rows)
    finally:
        part.write_bytes(whole)


VALUES = {
    pa.string(): st.one_of(
        st.none(), st.sampled_from(["", "confirm", "COMPLETE", "<script>", "x"])
    ),
    pa.int64(): st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    pa.float64(): st.one_of(st.none(), st.floats()),
    pa.bool_(): st.one_of(st.none(), st.booleans()),
}
OTHER = st.one_of(st.none(), st.just([]), st.just([None]), st.just([-1, 0]), st.just(["x"]))


@st.composite
def strange(draw, schema: pa.Schema) -> tuple[str, object, bool]:
    """A column, a value of its type or another's, and whether to leave it out."""
    field = draw(st.sampled_from(list(schema)))
    anyones = st.one_of(OTHER, *VALUES.values())
    value = draw(st.one_of(VALUES.get(field.type, OTHER), anyones))
    return field.name, value, draw(st.booleans()) and draw(st.booleans())


def with_value(part: Path, name: str, value: object, drop: bool) -> None:
    """Rewrite `part` with one column changed, in whatever type Arrow finds for the value."""
    table = pq.read_table(part)
    at = table.column_names.index(name)
    if drop:
        table = table.remove_column(at)
    else:
        cells = [value] * table.num_rows
        kind = table.schema.field(name).type
        if pa.types.is_map(kind) and value == [None]:
            kind = None  # a null entry of a map aborts the process within Arrow
        try:
            column = pa.array(cells, kind)
        except (pa.ArrowException, TypeError, OverflowError):
            column = pa.array(cells)
        table = table.set_column(at, name, column)
    pq.write_table(table, part)


@fuzz(120)  # each draws a report's pictures
@given(change=strange(TRIAL_SCHEMA), which=st.integers(0, 100))
def test_a_trial_with_a_strange_value_is_shown_or_refused(a_run: Path, change, which) -> None:
    parts = sorted((a_run / "trials.parquet").iterdir())
    part = parts[which % len(parts)]
    whole = part.read_bytes()
    try:
        with_value(part, *change)
        refused_or_done(lambda: run_page._values(load_run(a_run)))
    finally:
        part.write_bytes(whole)


@fuzz(40)
@given(change=strange(EPOCH_SCHEMA))
def test_an_epoch_with_a_strange_value_is_shown_or_refused(a_run: Path, change) -> None:
    part = sorted((a_run / "epochs.parquet").iterdir())[0]
    whole = part.read_bytes()
    try:
        with_value(part, *change)
        refused_or_done(lambda: run_page._values(load_run(a_run)))
    finally:
        part.write_bytes(whole)


def test_the_counts_of_this_file_are_shown() -> None:
    print({name: COUNTS[name] for name in ("tried", "exit 0", "exit 2", "traceback")})
    assert COUNTS["traceback"] == 0
    assert COUNTS["tried"] == COUNTS["exit 0"] + COUNTS["exit 2"]
    assert COUNTS["tried"] >= 2000
