"""Rows, texts and signals of a user's own go the whole way; what they cannot be is one line."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from search.inputs import Inputs, load_inputs
from search.parser import parse
from search.search_options import SearchConfig
from tests.documents import everything
from tests.own_rows import PURCHASE, SIGNALS, TEXTS
from trainables import plugin
from trainables.attacks.auditors import audit_scores
from trainables.attacks.cross_audit import CrossEvidence, cross_audit, image_folds
from trainables.attacks.evidence import ReferenceEvidence
from trainables.attacks.rmia import Population
from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.seeding import numpy_generator
from trainables.config import TrialConfig
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort, halves_of_models
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES
from trainables.measure import Answers, evidence_of, measure_model, released_logits
from trainables.models.building import build_model, memory_format
from trainables.models.macs import layer_macs
from trainables.models.registry import MODELS
from trainables.plugin import register_dataset
from trainables.rehearsal import rehearse
from trainables.runs.dense import DenseRun
from trainables.runs.lookup import new_run
from trainables.runs.protocol import Run
from trainables.runs.start import Start


@pytest.fixture(autouse=True)
def registries_as_before(monkeypatch):
    """What a test registers is gone after it."""
    saved = {**MODELS}, {**DATASETS}
    monkeypatch.setattr(plugin, "_LOADED", set())
    yield
    for registry, before in zip((MODELS, DATASETS), saved, strict=True):
        registry.clear()
        registry.update(before)


@pytest.fixture
def loaded(tmp_path: Path):
    def load(text: str, words: str) -> tuple[SearchConfig, Inputs]:
        path = tmp_path / "mine.py"
        path.write_text(text)
        found = parse(["--plugin", str(path), "--preset", "smoke", *words.split()])
        return found[0], load_inputs(*found)

    return load


def trial(config: SearchConfig, kind: str = "search", **changes: object) -> TrialConfig:
    numbers = DEFENSES[config.defense].numbers(config.training.epochs)
    made = TrialConfig(
        kind=kind,
        number=0,
        run_seed=0,
        seed=0,
        dataset=config.dataset,
        model=config.model,
        n=(),
        defense=config.defense,
        parameters={name: number.default for name, number in numbers.items()},
        training=config.training,
        admm=config.admm,
        attack=config.attack,
    )
    return dataclasses.replace(made, **changes)


def finished(run: Run) -> Run:
    while not run.finished:
        run.advance()
    return run


NETWORKS = {
    "rows": (PURCHASE, "--dataset purchase"),
    "convolved texts": (TEXTS, "--dataset texts"),
    "recurrent texts": (TEXTS, "--dataset texts --model recurrent"),
    "signals": (SIGNALS, "--dataset signals"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "words"), NETWORKS.values(), ids=NETWORKS)
def test_every_defence_takes_each_kind_of_rows(text, words, loaded) -> None:
    config, inputs = loaded(text, words)
    assert inputs.noun == DATASETS[config.dataset].noun == noun.many()
    for defense in DEFENSES:
        rehearse(trial(dataclasses.replace(config, defense=defense)))


@pytest.mark.slow
def test_texts_go_from_training_through_pruning_to_every_audit(loaded) -> None:
    config, inputs = loaded(TEXTS, "--dataset texts --model recurrent")
    spec, halves = DATASETS["texts"], halves_of_models(inputs.split, 4, seed=0)
    held = on_device(inputs.images, spec, torch.device("cpu"), 0)
    cohort = Cohort.of(held, inputs.split, torch.device("cpu"))
    n = tuple(size // 4 for size in inputs.layers.values())
    pruned = []
    for seed, half in enumerate(halves):
        own = cohort.trained_on(half)
        dense = finished(DenseRun(trial(config, "reference", seed=seed, defense="none"), own))
        start = Start(weights=dense.model.state_dict(), seed=seed)
        pruned.append(finished(new_run(trial(config, seed=seed, n=n), own, start)))
    table = dense.model.get_submodule("table").weight
    assert torch.count_nonzero(table) == table.numel()
    logits = np.stack([released_logits(run, cohort.audited) for run in pruned])

    row = measure_model(Answers(pruned[0], cohort), trial(config, "confirm", n=n), spec.image_shape)
    assert row["nonzero"] == sum(n)
    assert np.isfinite(row["excess_gain"])

    labels = evidence_of(logits[0], cohort).labels
    crossed = cross_audit(
        CrossEvidence(logits=logits, labels=labels, trained_on=halves),
        image_folds(labels, 3, numpy_generator(0, "folds")),
    )
    assert np.isfinite(crossed.term).all()

    references = ReferenceEvidence(logits=logits[2:], trained_on=halves[2:])
    others = [released_logits(run, cohort.population) for run in (pruned[0], *pruned[2:])]
    population = Population(
        target=others[0],
        reference=np.stack(others[1:]),
        labels=held.labels[cohort.population].numpy(),
    )
    found = audit_scores("rmia", evidence_of(logits[0], cohort, references), population)
    assert all(np.isfinite(scores).all() for scores in found.values())


def test_the_readmes_rows_become_a_data_set_that_trains(loaded) -> None:
    (example,) = re.findall(
        r"^```python\n(# my_rows\.py\n.*?)^```", everything(), re.MULTILINE | re.DOTALL
    )
    config, inputs = loaded(example, "--dataset cells")
    assert inputs.images.values.shape == (569, 30)
    assert any("neither normalised nor augmented" in note for note in inputs.notes)
    held = on_device(inputs.images, DATASETS["cells"], torch.device("cpu"), 0)
    cohort = Cohort.of(held, inputs.split, torch.device("cpu"))
    training = dataclasses.replace(config.training, epochs=20)
    run = finished(DenseRun(trial(config, "reference", training=training, defense="none"), cohort))
    right = run.predict(cohort.test).argmax(1) == held.labels[cohort.test]
    assert float(right.float().mean()) > 0.85


def test_products_of_a_text_are_those_of_its_layers_and_none_of_its_table(loaded) -> None:
    loaded(TEXTS, "--dataset texts")
    found = {
        name: layer_macs(
            build_model(name, n_classes=4, image_shape=(12,), n_tokens=50, seed=0), (12,)
        )
        for name in ("convolved", "recurrent")
    }
    assert found["convolved"] == {"conv": 12 * 8 * 16 * 3, "head": 64}
    assert found["recurrent"] == {
        "gru.weight_ih_l0": 12 * 48 * 8,
        "gru.weight_hh_l0": 12 * 48 * 16,
        "head": 64,
    }


@pytest.mark.parametrize(
    ("text", "words"), [NETWORKS["signals"], NETWORKS["recurrent texts"]], ids=["float", "tokens"]
)
def test_only_images_are_laid_out_channels_last(text, words, loaded) -> None:
    config, _ = loaded(text, words)
    spec = DATASETS[config.dataset]
    asked = (config.model, spec.n_classes, spec.image_shape, spec.n_tokens)
    assert memory_format(*asked) is torch.contiguous_format


def test_copies_and_limits_of_rows_are_said_of_rows(loaded) -> None:
    text = PURCHASE.replace("bought = ", "labels[20:40] = labels[:20]\n    bought = ").replace(
        "    return TensorDataset", "    bought[20:40] = bought[:20]\n    return TensorDataset"
    )
    _, inputs = loaded(text, "--dataset purchase --limit 1000 --duplicates keep")
    assert inputs.notes[0].startswith("1,000 of 2,000 rows are used (--limit)")
    assert re.match(r"\d+ rows occur more than once, .*a row on both sides is n", inputs.notes[-1])
    with pytest.raises(InvalidInput, match="--limit 2001 is more than the 2,000 rows of purchase"):
        loaded(text, "--dataset purchase --limit 2001")
    with pytest.raises(InvalidInput, match="leaves class 0 with 1 rows, too few to split five"):
        loaded(text, "--dataset purchase --limit 20")


def test_our_networks_take_images_only(loaded) -> None:
    with pytest.raises(InvalidInput, match=r"lenet5 takes images, not rows of the shape \(600,\)"):
        loaded(PURCHASE, "--dataset purchase --model lenet5")
    with pytest.raises(InvalidInput, match=r"lenet5 takes images, not texts of the shape \(12,\)"):
        loaded(TEXTS, "--dataset texts --model lenet5")


def test_a_table_smaller_than_the_ids_is_named(loaded) -> None:
    small = TEXTS.replace("nn.Embedding(WORDS,", "nn.Embedding(WORDS - 1,")
    with pytest.raises(InvalidInput, match=r"fails on texts of \(12,\).*IndexError.*mend the netw"):
        loaded(small, "--dataset texts")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"input_shape": None}, "give either image_shape, of uint8 images, or input_shape"),
        ({"image_shape": (1, 8, 8)}, "give either image_shape, of uint8 images, or input_shape"),
        ({"input_shape": ()}, "input_shape () must be a tuple of sizes, such as (600,)"),
        ({"input_shape": 600}, "input_shape 600 must be a tuple of sizes"),
        ({"input_shape": (0, 3)}, "input_shape (0, 3) must be"),
        ({"input_shape": (2**20, 2**20)}, "together at most 16,777,216"),
        ({"n_tokens": 0}, "n_tokens 0 must be a whole number from 1"),
        ({"n_tokens": 2.0}, "n_tokens 2.0 must be a whole number"),
        ({"noun": "row"}, "noun 'row' must be a plural in small letters, such as rows"),
        ({"noun": 3}, "noun 3 must be a plural"),
        ({"mean": (0.5,)}, "mean is for a data set with image_shape: leave it out; values reach"),
        (
            {"input_shape": None, "image_shape": (1, 8, 8), "n_tokens": 5},
            "n_tokens is for a data set with input_shape: leave it out",
        ),
        (
            {"input_shape": None, "image_shape": (1, 8, 8), "noun": "digits"},
            "noun is for a data set with input_shape",
        ),
    ],
)
def test_a_description_that_cannot_be_used_is_one_line(changes, says) -> None:
    given = {"n_classes": 3, "input_shape": (4,), "default_model": "mlp", **changes}
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        register_dataset("rows", lambda folder: [], **given)
    assert "data set 'rows'" in str(caught.value)
    assert "rows" not in DATASETS


def test_rows_cannot_be_augmented() -> None:
    training = dataclasses.replace(parse([])[0].training, augment=True)
    with pytest.raises(InvalidInput, match="augment is for a data set with image_shape"):
        register_dataset(
            "rows",
            lambda folder: [],
            n_classes=3,
            input_shape=(4,),
            default_model="mlp",
            training=training,
        )


@pytest.mark.parametrize(
    ("values", "labels", "says"),
    [
        (torch.eye(3), torch.tensor([0, 1, 2.0]), "item 0: its label must be a whole number"),
        (
            torch.eye(3),
            torch.eye(3),
            "item 0: its label must be one whole number in 0 to 2, not of",
        ),
        (torch.eye(3) / 0, torch.arange(3), "item 0: its record holds inf at (0,)"),
    ],
)
def test_the_first_wrong_item_is_named(values, labels, says) -> None:
    register_dataset(
        "mine",
        lambda folder: TensorDataset(values, labels),
        n_classes=3,
        input_shape=(3,),
        default_model="mlp",
    )
    with noun.spoken(DATASETS["mine"].noun), pytest.raises(InvalidInput, match=re.escape(says)):
        DATASETS["mine"].load(Path())


def test_images_given_as_numbers_go_through_our_networks_as_they_are(loaded) -> None:
    text = (
        "import torch\n"
        "from torch.utils.data import TensorDataset\n"
        "from trainables.plugin import register_dataset\n"
        "found = TensorDataset(torch.randn(60, 1, 28, 28), torch.arange(60) % 3)\n"
        "register_dataset('floats', lambda folder: found, n_classes=3, input_shape=(1, 28, 28),"
        " noun='images', default_model='lenet5')\n"
    )
    config, inputs = loaded(text, "--dataset floats")
    assert "noun" not in inputs.describe()
    held = on_device(inputs.images, DATASETS["floats"], torch.device("cpu"), 0)
    cohort = Cohort.of(held, inputs.split, torch.device("cpu"))
    run = finished(DenseRun(trial(config, "reference", defense="none"), cohort))
    assert run.predict(cohort.test).isfinite().all()
