"""The winner's folder: never weights without a card, and the card that the audit allows."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ray import tune
from safetensors.torch import save_file

from search import pipeline
from search.parser import parse
from search.record.runfolder import RunFolder
from search.stages.export import export_winner
from trainables.records import FrontRecord
from trainables.trial import MODEL_FILE


@dataclasses.dataclass
class Made:
    """A finished job: what the export reads of Tune's result."""

    checkpoint: tune.Checkpoint
    metrics: dict[str, Any]
    path: str = ""


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    """The models that ship of three confirmed vectors; the weight of each is its excess gain."""
    made = {}
    for name, excess in (("confirm-0000", 0.03), ("confirm-0001", 0.01), ("confirm-0002", 0.02)):
        home = tmp_path / name
        home.mkdir()
        save_file({"weight": torch.tensor([excess])}, home / MODEL_FILE)
        made[name] = Made(tune.Checkpoint(str(home)), {"excess_gain": excess})
    return made


def context(folder: Path, words: str) -> Any:
    config = parse(words.split())[0]
    return SimpleNamespace(
        config=config,
        folder=RunFolder(folder),
        inputs=None,
        say=print,
        resources=SimpleNamespace(gpus_per_trial=0.0),
    )


def export(where: Any, results: dict[str, Any]) -> None:
    best = pd.Series({"trial_ids": ("confirm-0002",)})
    pipeline._export_and_audit(where, None, None, best, results)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order; the card says what the run knows at the time."""
    events: list[str] = []
    monkeypatch.setattr(pipeline, "load_run", lambda _: list(events))
    card = "{{trial_id}} after {}"
    monkeypatch.setattr(pipeline, "model_card", lambda known, _=None: card.format(known))
    monkeypatch.setattr(pipeline, "ship", lambda *_: None)  # tests/search/test_shipped.py
    return events


def test_the_card_is_written_again_after_the_audit(
    tmp_path: Path, results: dict[str, Any], written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "run/winner/card.md"

    def audit(*arguments: Any) -> None:
        assert arguments[3] is results["confirm-0002"]
        assert card.read_text() == "confirm-0002 after []"  # the weights have one meanwhile
        written.append("audit")

    monkeypatch.setattr(pipeline, "audit", audit)
    where = context(tmp_path / "run", "--audit lira")
    export(where, results)
    assert card.read_text() == "confirm-0002 after ['audit']"
    model = (tmp_path / "run/winner" / MODEL_FILE).read_bytes()
    assert np.frombuffer(model[-4:], dtype="<f4")[0] == pytest.approx(0.02)


def test_a_run_killed_in_its_audit_writes_the_card_when_it_is_resumed(
    tmp_path: Path, results: dict[str, Any], written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    where = context(tmp_path / "run", "--audit rmia")
    monkeypatch.setattr(pipeline, "audit", killed)
    with pytest.raises(KeyboardInterrupt):
        export(where, results)
    assert where.folder.winner.joinpath("card.md").exists()
    monkeypatch.setattr(pipeline, "audit", lambda *_: written.append("audit"))
    export(where, results)
    card = where.folder.winner.joinpath("card.md").read_text()
    assert card == "confirm-0002 after ['audit']"


def test_without_an_audit_there_is_one_card(
    tmp_path: Path, results: dict[str, Any], written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "audit", lambda *_: written.append("audit"))
    where = context(tmp_path / "run", "")
    export(where, results)
    assert where.folder.winner.joinpath("card.md").read_text() == "confirm-0002 after []"


def test_what_an_earlier_decision_shipped_goes_where_nothing_wins_any_more(
    tmp_path: Path, results: dict[str, Any], written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, said = context(tmp_path / "run", "--levels 0,0.05"), list[str]()
    where.say, where.ledger = said.append, SimpleNamespace(write_front=lambda _: None)
    winners = [FrontRecord(level=level, kept="yes", trial_id="confirm-0001") for level in (0, 0.05)]
    monkeypatch.setattr(pipeline, "at_level", lambda run, _: run)
    monkeypatch.setattr(pipeline, "front", lambda _: winners)
    export(where, results)
    pipeline._keep_front(where, results)
    assert {home.name for home in where.folder.front.iterdir()} == {"0", "0.05"}
    winners[0] = FrontRecord(level=0, kept="no")
    pipeline._keep_front(where, results)
    assert {home.name for home in where.folder.front.iterdir()} == {"0.05"}
    for _ in range(2):
        pipeline._withdraw_winner(where)
        assert not where.folder.winner.exists()
    assert said == [f"The earlier winner no longer wins: {where.folder.winner} is removed"]


def test_forms_of_other_weights_go_and_forms_of_these_stay(
    tmp_path: Path, results: dict[str, Any]
) -> None:
    target = tmp_path / "run/winner"
    export_winner(target, "confirm-0001", results, "card")
    (target / "model.onnx").write_text("of confirm-0001")
    export_winner(target, "confirm-0001", results, "card")
    assert (target / "model.onnx").exists()
    export_winner(target, "confirm-0002", results, "card")
    assert sorted(file.name for file in target.iterdir()) == ["card.md", MODEL_FILE]
