"""Bad files by the hundred: checkpoints, models, audits and plugins; each is read or refused.

A checkpoint that is refused is one exception with one line, with which Ray Tune ends the trial
FAILED. The file's own counts stand at its end, beside those of test_fuzz.py.
"""

import contextlib
import io
import pickle
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save

import search.pipeline
import search.run
from analysis import paper_figures, run_page
from analysis.load import load_run
from search.record.confirm_parquet import CORRECT, TERMS, write_correct, write_terms
from tests.security.test_fuzz import (
    COUNTS,
    WRECKS,
    fuzz,
    outcome,
    refused_or_done,
    strange,
    with_value,
    wrecked,
)
from tests.test_trial import job, make, shared
from trainables import plugin
from trainables.attacks.cross_audit import CrossAudit
from trainables.attacks.gain import gain_terms
from trainables.base.errors import InvalidInput
from trainables.data.cohort import reference_halves
from trainables.data.registry import DATASETS
from trainables.models.building import build_model
from trainables.models.registry import MODELS
from trainables.records import AUDIT_SCHEMA, CORRECT_SCHEMA, TERM_SCHEMA
from trainables.trial import STATE_FILE, CheckpointDamaged, Trial

__all__ = ["shared"]  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

BEFORE: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def counted_apart() -> None:
    BEFORE.update(COUNTS)


# ---------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def trial(shared) -> Trial:
    """In the middle of its training."""
    begun = make(job(), shared)
    begun.step()
    return begun


@pytest.fixture(scope="module")
def state(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint of it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    trial.save_checkpoint(str(folder))
    return (folder / STATE_FILE).read_bytes()


def loaded_or_damaged(trial: Trial, folder: Path, content: bytes) -> bool:
    """Whether the checkpoint is refused, in one line that names it."""
    (folder / STATE_FILE).write_bytes(content)

    def load() -> None:
        try:
            trial.load_checkpoint(str(folder))
        except CheckpointDamaged as error:
            raise InvalidInput(str(error)) from error

    return refused_or_done(load)


@fuzz(100)
@given(**WRECKS)
def test_a_wrecked_checkpoint_is_read_or_refused(trial, state, tmp_path, cut, flips) -> None:
    loaded_or_damaged(trial, tmp_path, wrecked(state, cut, flips))


STRANGE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.builds(torch.zeros, st.integers(0, 3)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=3,
)


@fuzz(150)
@given(keys=st.lists(st.integers(0, 40), min_size=1, max_size=4), new=STRANGE, gone=st.booleans())
def test_a_checkpoint_with_a_strange_value_is_read_or_refused(
    trial, state, tmp_path, keys, new, gone
) -> None:
    values = torch.load(io.BytesIO(state), weights_only=True)
    at = values
    for key in keys[:-1]:
        inner = at[sorted(at, key=str)[key % len(at)]]
        if not isinstance(inner, dict) or not inner:
            break
        at = inner
    name = sorted(at, key=str)[keys[-1] % len(at)]
    if gone:
        del at[name]
    else:
        at[name] = new
    content = io.BytesIO()
    torch.save(values, content)
    loaded_or_damaged(trial, tmp_path, content.getvalue())


class Planted:
    """Whose pickle makes a file where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("form", ["bare", "torch", "zip"])
def test_a_checkpoint_with_code_in_it_is_refused_and_nothing_runs(
    trial, state, tmp_path, form
) -> None:
    mark = tmp_path / "was-here"
    content = io.BytesIO()
    if form == "bare":
        content.write(pickle.dumps(Planted(mark)))
    elif form == "torch":
        torch.save({"run": Planted(mark)}, content)
    else:
        with zipfile.ZipFile(io.BytesIO(state)) as old, zipfile.ZipFile(content, "w") as new:
            for name in old.namelist():
                code = name.endswith("data.pkl")
                new.writestr(name, pickle.dumps(Planted(mark), 2) if code else old.read(name))
    assert loaded_or_damaged(trial, tmp_path, content.getvalue())
    assert not mark.exists()
    pickle.loads(pickle.dumps(Planted(mark)))
    assert mark.exists(), "the plant works where it is loaded as a pickle"


# ---------------------------------------------------------------- models


@pytest.fixture(scope="module")
def model() -> bytes:
    network = build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=0)
    return save({name: value.contiguous() for name, value in network.state_dict().items()})


@fuzz(150)
@given(**WRECKS, header=st.booleans())
def test_a_wrecked_model_is_read_or_refused(model, tmp_path, cut, flips, header) -> None:
    near = [flip % 600 for flip in flips] if header else flips  # where names and sizes stand
    file = tmp_path / "model.safetensors"
    file.write_bytes(wrecked(model, cut, near))
    refused_or_done(lambda: paper_figures._read(file))


# ---------------------------------------------------------------- audits


def audited(run: Path) -> Path:
    """The run's scores.parquet, of two models under two attacks."""
    generator = np.random.default_rng(0)
    file = run / "audit" / "scores.parquet"
    file.parent.mkdir(exist_ok=True)
    count = 20
    rows = [
        {
            "model": name,
            "attack": attack,
            "image": image,
            "is_member": image < count // 2,
            "canary": image % 10 == 0,
            "score": float(generator.normal()),
            "probability": float(generator.uniform()),
        }
        for name in ("dense", "winner")
        for attack in ("lira", "loss")
        for image in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=AUDIT_SCHEMA), file)
    return file


@fuzz(100)
@given(**WRECKS)
def test_a_wrecked_audit_is_read_or_refused(a_run: Path, cut, flips) -> None:
    file = audited(a_run)
    file.write_bytes(wrecked(file.read_bytes(), cut, flips))
    refused_or_done(lambda: load_run(a_run))


@fuzz(20)  # each draws a report's pictures
@given(change=strange(AUDIT_SCHEMA))
@example(change=("canary", True, False))
def test_an_audit_with_a_strange_value_is_shown_or_refused(a_run: Path, change) -> None:
    with_value(audited(a_run), *change)
    refused_or_done(lambda: run_page._values(load_run(a_run)))


# ---------------------------------------------------------------- cross-audits


def crossed(run: Path) -> tuple[Path, Path]:
    """The parts that a cross-audit of four models of the dense network leaves."""
    halves = reference_halves(20, 4, seed=0)
    probability = np.random.default_rng(0).uniform(size=halves.shape)
    audit = CrossAudit(probability, gain_terms(probability, halves), halves)
    images = np.arange(20)
    folder = run / "confirm"
    write_correct(folder, "baseline-0000", {"validation": halves, "test": halves}, PARTS)
    write_terms(folder, "baseline-0000", audit, images, images % 10)
    return tuple(folder / name / "baseline-0000.parquet" for name in (TERMS, CORRECT))


PARTS = {"validation": np.arange(20, 40), "test": np.arange(40, 60)}


@fuzz(100)
@given(**WRECKS, which=st.sampled_from([0, 1]))
def test_a_wrecked_cross_audit_is_read_or_refused(a_run: Path, cut, flips, which) -> None:
    file = crossed(a_run)[which]
    file.write_bytes(wrecked(file.read_bytes(), cut, flips))
    refused_or_done(lambda: load_run(a_run))


@fuzz(100)
@given(
    change=st.one_of(
        st.tuples(st.just(0), strange(TERM_SCHEMA)), st.tuples(st.just(1), strange(CORRECT_SCHEMA))
    )
)
def test_a_cross_audit_with_a_strange_value_is_shown_or_refused(a_run: Path, change) -> None:
    which, changed = change
    with_value(crossed(a_run)[which], *changed)
    refused_or_done(lambda: run_page._values(load_run(a_run))["crossed"])


# ---------------------------------------------------------------- plugins


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two cores without Ray; what plugins registered is gone at the end."""

    @contextlib.contextmanager
    def cluster(address: str | None, *_: object) -> Iterator[list[dict[str, float]]]:
        yield [{"CPU": 2.0}]

    monkeypatch.setattr(search.pipeline, "cluster", cluster)
    monkeypatch.setattr(search.pipeline.signal, "signal", lambda *_: None)
    yield
    forget()


KNOWN = {*MODELS}, {*DATASETS}


def forget() -> None:
    """What a case registered is gone before the next."""
    plugin._LOADED.clear()
    for registry, known in zip((MODELS, DATASETS), KNOWN, strict=True):
        for name in registry.keys() - known:
            del registry[name]


def planned(folder: Path, text: bytes) -> int:
    """The exit status of a dry run with a plugin of this text."""
    forget()
    file = folder / "my_model.py"
    file.write_bytes(text)
    words = ["--plugin", str(file), "--dataset", "mine", "--model", "mine", "--dry-run"]
    return outcome(search.run.main, words)


WHOLE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from trainables.plugin import register_dataset, register_model

def network(n_classes, image_shape):
    {network}

def pairs(folder):
    images = {images}
    labels = {labels}
    return {pairs}

register_model({name}, {make})
register_dataset("mine", pairs, n_classes={n_classes}, image_shape={image_shape},
    default_model={default_model}{more})
"""
RIGHT = {
    "network": "return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))",
    "images": "torch.arange(960).to(torch.uint8).view(60, 1, 4, 4)",
    "labels": "torch.arange(60) % 3",
    "pairs": "TensorDataset(images, labels)",
    "name": "'mine'",
    "make": "network",
    "n_classes": "3",
    "image_shape": "(1, 4, 4)",
    "default_model": "'mine'",
    "more": "",
}
NONSENSE = ["None", "-1", "0", "1", "2.5", "True", "10**40", "'x'", "[]", "{}", "float('nan')"]
WRONG = {
    "network": [
        "return None",
        "return 3",
        "return nn.Linear",
        "return nn.Linear(3, 3)",
        "return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))",
        "return nn.Sequential(nn.Flatten(), nn.Linear(16, 0))",
        "return nn.Sequential(nn.Flatten(), nn.Linear(0, 3))",
        "return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))",
        "return nn.Sequential(nn.Flatten(), nn.Linear(16, 3, device='meta'))",
        "return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double()",
        "return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).half()",
        "return nn.Sequential(nn.Flatten(), nn.Linear(16, 10**12))",
        "return nn.Flatten()",
        "raise ValueError('a\\nb')",
        "raise SystemExit(3)",
        "return network(n_classes, image_shape)",
        "x = nn.Linear(16, 3); x.forward = lambda y: [y]; return x",
        "return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)",
        "x = nn.Linear(16, 16); return nn.Sequential(nn.Flatten(), x, x, nn.Linear(16, 3))",
    ],
    "images": [
        "None",
        "torch.zeros(60, 1, 4, 4)",
        "torch.zeros(60, 4, 4, dtype=torch.uint8)",
        "torch.zeros(60, 3, 4, 4, dtype=torch.uint8)",
        "torch.zeros(0, 1, 4, 4, dtype=torch.uint8)",
        "torch.zeros(59, 1, 4, 4, dtype=torch.uint8)",
        "torch.zeros(60, 1, 4, 4, dtype=torch.uint8, device='meta')",
        "torch.zeros(60, 1, 4, 4, dtype=torch.uint8).to_sparse()",
    ],
    "labels": [
        "None",
        "torch.arange(60)",
        "-torch.arange(60)",
        "torch.zeros(60, dtype=torch.int64)",
        "torch.zeros(60)",
        "torch.ones(60, dtype=torch.bool)",
        "torch.zeros(60, 2)",
        "torch.full((60,), 2**62)",
        "['a'] * 60",
    ],
    "pairs": [
        "None",
        "[]",
        "[1, 2, 3]",
        "[(images[0], 1)]",
        "[(images[0], 1, 2)] * 9",
        "[(images[0].numpy(), 1)] * 9",
        "[(images[0], True)] * 60",
        "{}",
        "iter([])",
        "'text'",
        "1 / 0",
        "folder.read_text()",
        "exec('raise SystemExit(0)')",
    ],
    "name": ["'lenet5'", "'../x'", "''", "'mine\\n'", "b'mine'", *NONSENSE],
    "make": ["nn.Linear", "print", "lambda: 1", *NONSENSE],
    "n_classes": ["2", "4", "10**9", "'3'", *NONSENSE],
    "image_shape": [
        "(1, 4)",
        "(1, 4, 4, 4)",
        "(0, 4, 4)",
        "(-1, 4, 4)",
        "(1, 4.0, 4)",
        "(1, 10**6, 10**6)",
        "[1, 4, 4]",
        "('a', 'b', 'c')",
        "(16, 1, 1)",
        *NONSENSE,
    ],
    "default_model": ["'nosuch'", "'mine\\0'", *NONSENSE],
    "more": [
        *(f", mean=({value},)" for value in NONSENSE),
        *(f", std=({value},)" for value in NONSENSE),
        *(
            f", {name}={value}"
            for name in ("mean", "std", "training", "admm")
            for value in NONSENSE
        ),
        ", nosuch=1",
        "); register_model('mine', network",
        "); raise RuntimeError('x'",
        "); del register_model; (",
    ],
}


def test_the_plugin_that_the_cases_change_is_planned(no_ray, tmp_path) -> None:
    assert planned(tmp_path, WHOLE.format(**RIGHT).encode()) == 0


CHANGES = st.lists(
    st.sampled_from(sorted(WRONG)).flatmap(
        lambda part: st.tuples(st.just(part), st.sampled_from(WRONG[part]))
    ),
    min_size=1,
    max_size=2,
)


@fuzz(350)
@given(changes=CHANGES)
def test_a_plugin_that_registers_nonsense_is_planned_or_refused(no_ray, tmp_path, changes) -> None:
    planned(tmp_path, WHOLE.format(**{**RIGHT, **dict(changes)}).encode())


BYTES = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(
        [
            b"(" * 5000,
            b"-" * 20_000 + b"1",
            b"\xef\xbb\xbfx = 1",
            b"raise SystemExit",
            b"raise SystemExit(0)",
            b"raise KeyError('a\\nb')",
            b"def f(): f()\nf()",
            b"import no_such_module",
            b"from trainables.plugin import nothing",
            b"import sys; sys.exit('bye')",
            b"from trainables.base.errors import InvalidInput\nraise InvalidInput('a\\nb')",
            b"# coding: no-such-coding\n",
        ]
    ),
)


@fuzz(100)
@given(text=BYTES, cut=st.integers(0, 900), inside=st.booleans())
def test_a_plugin_of_any_bytes_is_planned_or_refused(no_ray, tmp_path, text, cut, inside) -> None:
    whole = WHOLE.format(**RIGHT).encode()
    cut %= len(whole)
    planned(tmp_path, whole[:cut] + text + whole[cut:] if inside else text)


def test_the_counts_of_this_file_are_shown() -> None:
    found = {
        name: COUNTS[name] - BEFORE[name] for name in ("tried", "exit 0", "exit 2", "traceback")
    }
    print(found)
    assert found["traceback"] == 0
    assert found["tried"] == found["exit 0"] + found["exit 2"]
    assert found["tried"] >= 900
