"""The card beside a winner's files, as people and the Hugging Face Hub read it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from analysis.load import load_run
from analysis.model_card import model_card
from analysis.summary import card
from trainables.ship.unpacking import CODE

RunWriter = Callable[..., Path]


def form(file: str, stored: str, **changes: Any) -> dict[str, Any]:
    """As search/shipped.py measures one."""
    return {
        "file": file,
        "stored": stored,
        "ships": True,
        "bytes": 20_000,
        "dense_bytes": 246_824,
        "test_accuracy": 0.931,
        "other_classes": 3,
        "test_images": 1000,
        "largest_difference": 0.0123,
        "excess_gain": 0.0204,
        "excess_gain_se": 0.005,
        "strongest_attack": "adaptive",
        "references": 14,
        **changes,
    }


def metadata(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of dashes."""
    before, inside, _ = text.split("---\n", 2)
    assert before == ""
    found: dict[str, Any] = yaml.safe_load(inside)
    return found


def test_the_metadata_are_valid_and_say_the_confirmed_figures(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    run = load_run(write_run(make.full()))
    found = metadata(model_card(run))
    assert found["pipeline_tag"] == "image-classification"
    assert found["datasets"] == ["ylecun/mnist"]
    (entry,) = found["model-index"]
    (result,) = entry["results"]
    assert set(result) == {"task", "dataset", "metrics"}
    assert set(result["dataset"]) == {"type", "name"}
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["accuracy"] == pytest.approx(0.932, abs=0.001)
    assert values["excess_gain"] == pytest.approx(0.031, abs=1e-4)
    assert "pruning" in found["tags"]


def test_before_anything_is_measured_the_card_is_the_outcome(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    run = load_run(write_run(make.full()))
    text = model_card(run)
    assert card(run).strip() in text
    assert "## Files" not in text


def test_every_form_is_a_row_and_every_shipped_file_has_its_loader(
    write_run: RunWriter, make: SimpleNamespace
) -> None:
    forms = {
        "input": "images of 1 x 28 x 28",
        "forms": [
            form("model.safetensors", "float32"),
            form("model.sparse.zst", "int8", bytes=10_000),
            form("model.sparse.zst", "float16", ships=False),
        ],
    }
    run = load_run(write_run(make.full()))
    text = model_card(run, forms)
    assert (
        "| model.sparse.zst | int8 | 10,000 | 24.68\u00d7 | 93.1% | 3 of 1,000 | 1.2e-02 | "
        "0.0204 (0.0106 to 0.0302) |" in text
    )
    assert "| model.sparse.zst, not shipped | float16 |" in text
    assert "with 14 models made alike" in text
    assert "All files take images of 1 x 28 x 28." in text
    assert CODE.strip() in text
    assert "onnxruntime" not in text
    assert text.count("{trial_id}") == 1
    taken = {"fc1": 20, "conv1": 1}
    forms["forms"] = [form("model.onnx", "float32", references=0, taken=taken)]
    text = model_card(run, forms)
    assert "without reference models, which understates it" in text
    assert 'InferenceSession("model.onnx")' in text
    assert "load_sparse" not in text
    assert "nothing reads: 20 of fc1, 1 of conv1." in text


def test_a_run_without_a_winner_has_no_card(write_run: RunWriter, make: SimpleNamespace) -> None:
    run = load_run(write_run([make.dense(), *make.searched()]))
    with pytest.raises(ValueError, match="without a winner"):
        model_card(run)
