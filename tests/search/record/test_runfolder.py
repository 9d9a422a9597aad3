"""The run folder: refused when it holds something else, read only in its own version."""

import json
import os
import shlex
from pathlib import Path

import pytest

from search.command import command
from search.recipes import recipe
from search.record.runfolder import RunFolder, describe
from trainables.base.errors import InvalidInput
from trainables.base.storage import write


def test_a_folder_with_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_config({"version": 1})
    before = folder.config.read_text()
    with pytest.raises(InvalidInput, match=r"already holds a run: continue it with `.+ --resume"):
        RunFolder(tmp_path / "run").create()
    assert folder.config.read_text() == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InvalidInput, match="not an empty folder"):
        RunFolder(tmp_path).create()
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"cannot be written|not an empty folder"):
        RunFolder(tmp_path / "file" / "run").create()


def test_a_run_is_private_to_its_owner(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    assert folder.path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not a run"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"version": 99}', "layout version 99"),
        ('{"version": null}', "layout version None"),
    ],
)
def test_what_is_no_run_cannot_be_resumed(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match=says) as caught:
        RunFolder(tmp_path).read_config()
    assert "\n" not in str(caught.value)


def test_a_missing_folder_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        RunFolder(tmp_path / "nowhere").read_config()


def test_config_json_says_how_to_repeat_the_run(tmp_path: Path) -> None:
    config = recipe("mnist5k", "lenet5")
    values = describe(config, "a-run", {"preset": "default"}, {"split_sizes": {"members": 1}})
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_config(values)
    assert folder.read_config() == json.loads(json.dumps(values))
    assert "--dataset mnist5k" in values["command"]
    assert set(values["packages"]) >= {"ray", "torch", "optuna"}


def test_the_command_asks_for_the_same_settings() -> None:
    from search.parser import parse

    words_given = "--trials 9 --sampler gp --min-compression 3 --time-budget 45m"
    config, _ = parse(words_given.split())
    assert config is not None
    words = shlex.split(command(config, {"preset": "default"}))
    again, _ = parse(words[3:])
    assert again == config


@pytest.mark.parametrize(
    "words_given",
    [
        "--defense dp --epsilon 6.2832853 --max-accuracy-drop 0.1234567",
        "--defense minmax --set gamma=0.1234567:7.654321",
        "--time-budget 1234567s --sampler random",
    ],
)
def test_the_command_keeps_every_digit(words_given: str) -> None:
    """Six of them would ask for other settings, and so for another run."""
    from search.parser import parse

    config, _ = parse(words_given.split())
    assert config is not None
    again, _ = parse(shlex.split(command(config, {"preset": "default"}))[3:])
    assert again == config


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    write(path, "old")

    def crash(self: Path, target: Path) -> Path:
        raise OSError("power cut")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match="power cut"):
        write(path, "new")
    assert path.read_text() == "old"


def run_with_state(tmp_path: Path) -> tuple[RunFolder, Path]:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_config({"version": 1})
    state = folder.tune / "search" / "tuner.pkl"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"state")
    return folder, state


def test_a_closed_folder_of_ones_own_is_trusted_whatever_the_modes_in_it(tmp_path: Path) -> None:
    folder, state = run_with_state(tmp_path)
    state.chmod(0o666)
    folder.require_own()


def test_an_open_folder_is_trusted_while_only_its_owner_can_write(tmp_path: Path) -> None:
    folder, _ = run_with_state(tmp_path)
    folder.path.chmod(0o755)
    folder.require_own()


@pytest.mark.parametrize("which", ["folder", "config", "state", "state's folder"])
def test_what_others_may_write_is_not_loaded(which: str, tmp_path: Path) -> None:
    folder, state = run_with_state(tmp_path)
    folder.path.chmod(0o755)
    path = {
        "folder": folder.path,
        "config": folder.config,
        "state": state,
        "state's folder": state.parent,
    }[which]
    path.chmod(path.stat().st_mode | 0o020)
    with pytest.raises(InvalidInput, match=rf"others may write {path} .*chmod -R go-w"):
        folder.require_own()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_state_is_not_loaded(tmp_path: Path) -> None:
    folder, state = run_with_state(tmp_path)
    os.chown(state, 12345, -1)
    with pytest.raises(InvalidInput, match="belongs to user 12345, not to you"):
        folder.require_own()


def test_a_link_out_of_the_run_is_not_followed(tmp_path: Path) -> None:
    folder, state = run_with_state(tmp_path)
    elsewhere = tmp_path / "elsewhere.pkl"
    state.rename(elsewhere)
    state.symlink_to(elsewhere)
    with pytest.raises(InvalidInput, match="leads out of the run"):
        folder.require_own()
    elsewhere.rename(folder.tune / "moved.pkl")
    state.unlink()
    state.symlink_to(folder.tune / "moved.pkl")
    folder.require_own()
