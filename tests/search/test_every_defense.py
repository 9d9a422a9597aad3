"""How a comparison goes through its runs, and how it ends. No Ray, and nothing is trained."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from search import every_defense, run
from search.pipeline import Prepared
from search.tune.required import StageFailed

OK, FAULT, NOTHING = 0, 1, 3
DEFENSES = ("none", "pruning", "dp")
WORDS = ("--defense", ",".join(DEFENSES), "--trials", "2", "--models", "4")


class Runs:
    """Stands for the runs: how each of them ends, and which were begun."""

    def __init__(self) -> None:
        self.ends: dict[str, int | Exception | type[BaseException]] = dict.fromkeys(DEFENSES, OK)
        self.begun: list[str] = []
        self.faults: dict[str, str] = {}
        self.shared = 0

    def conduct(self, prepared: Prepared, _stored: object) -> int:
        name = prepared.config.defense
        assert prepared.folder.path.parts[-2:] == ("defences", name)
        assert prepared.dense_from is not None
        assert prepared.run_id.endswith(f"-{name}")
        self.begun.append(name)
        prepared.folder.path.mkdir(parents=True, exist_ok=True)
        end = self.ends[name]
        if not isinstance(end, int):
            raise end
        return end


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, mnist5k_read_once: None) -> Runs:
    @contextlib.contextmanager
    def cluster(_address: str, *_: object) -> Iterator[list[dict[str, float]]]:
        yield [{"CPU": 2.0}]

    found = Runs()

    def train_dense(_above: Prepared) -> None:
        found.shared += 1

    monkeypatch.setattr(every_defense, "cluster", cluster)
    monkeypatch.setattr(every_defense.signal, "signal", lambda *_: None)
    monkeypatch.setattr(every_defense, "conduct", found.conduct)
    monkeypatch.setattr(every_defense, "_train_dense", train_dense)
    monkeypatch.setattr(
        every_defense, "comparison_made", lambda _folder, faults: found.faults.update(faults)
    )
    return found


def start(out: Path, *words: str) -> int:
    return run.main([*WORDS, *words, "--out", str(out)])


def ended(out: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((out / "config.json").read_text())["ended"]
    return found


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ((OK, OK, OK), OK),
        ((OK, OK, NOTHING), OK),
        ((OK, NOTHING, NOTHING), NOTHING),
        ((OK, FAULT, OK), FAULT),
    ],
)
def test_the_status_is_that_of_what_defends(
    runs: Runs, tmp_path: Path, ends: tuple[int, ...], status: int
) -> None:
    runs.ends.update(zip(DEFENSES, ends, strict=True))
    assert start(tmp_path / "all") == status
    assert runs.begun == [*DEFENSES]
    assert runs.shared == 1


def test_a_killed_comparison_goes_on_with_the_first_run_that_has_not_ended(
    runs: Runs, tmp_path: Path
) -> None:
    out = tmp_path / "all"
    runs.ends["pruning"] = KeyboardInterrupt
    assert start(out) == 130
    assert ended(out) == {"none": OK}
    runs.ends["pruning"], runs.begun = NOTHING, []
    assert run.main(["--resume", str(out)]) == OK
    assert runs.begun == ["pruning", "dp"]
    assert run.main(["--resume", str(out)]) == OK
    assert runs.begun == ["pruning", "dp"]
    assert runs.shared == 2, "nothing is left to make with the dense models"


def test_a_run_that_fails_for_good_is_named_and_the_others_go_on(
    runs: Runs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all"
    runs.ends["pruning"] = StageFailed("reference model 3 failed: no memory")
    assert start(out) == FAULT
    assert runs.begun == [*DEFENSES]
    assert runs.faults == {"pruning": "reference model 3 failed: no memory"}
    assert ended(out) == {"none": OK, "dp": OK}
    assert "pruning could not be measured: reference model 3 failed" in capfd.readouterr().err
    runs.ends["pruning"], runs.begun = OK, []
    assert run.main(["--resume", str(out)]) == OK
    assert runs.begun == ["pruning"], "it is tried again"


def test_a_full_disk_ends_them_all(runs: Runs, tmp_path: Path) -> None:
    runs.ends["none"] = OSError(28, "No space left on device")
    assert start(tmp_path / "all") == FAULT
    assert runs.begun == ["none"]


def test_a_dry_run_says_the_budget_and_writes_nothing(
    runs: Runs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start(tmp_path / "all", "--dry-run") == OK
    said = capfd.readouterr().out
    assert "4 dense models, shared by all" in said
    assert "dp: " in said
    assert "Nothing was trained" in said
    assert not (tmp_path / "all").exists()
    assert runs.begun == []


def test_a_comparison_takes_no_more_models_and_no_folder_of_another(
    runs: Runs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all"
    assert start(out) == OK
    assert run.main(["--resume", str(out), "--models", "8"]) == 2
    assert "equally many models of every defence" in capfd.readouterr().err
    assert start(out) == 2
    assert "already holds a run" in capfd.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        {"comparison": {"runs": []}},
        {"comparison": {"runs": ["x"], "asked": []}},
        {"comparison": {"runs": [{"defense": "dp"}], "asked": []}},
        {"comparison": None},
        {"ended": None},
        {"ended": [1]},
        {"options": 1},
        {"run_id": None},
    ],
)
def test_a_damaged_config_is_one_line(
    runs: Runs, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: dict[str, object]
) -> None:
    out = tmp_path / "all"
    assert start(out, "--quiet") == OK
    stored = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**stored, **damage}))
    capfd.readouterr()
    assert run.main(["--resume", str(out)]) == 2
    assert capfd.readouterr().err.count("\n") == 1
