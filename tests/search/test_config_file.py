"""Options from a file: any run's config.json or YAML; what is wrong is named with its line."""

import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.comparison import Comparison
from search.config_file import ConfigFile
from search.parser import parse
from search.record.runfolder import describe, describe_comparison
from search.run import main
from search.saved_config import changed_settings
from search.stored_settings import recorded
from trainables.base.errors import InvalidInput

WORDS = (
    "--trials 7 --levels 0.02,0 --set rho=0.1 --set training.epochs=30 --comparators",
    "--dataset cifar100 --model resnet18 --time-budget 90m --seed 3 --space recipe+cluster",
    "--defense dp --epsilon 8 --cpus-per-trial 2 --trial-timeout 2h --data-dir elsewhere",
    "--defense none,pruning --trials 8 --preset smoke",
    "--preset paper-table1-cifar10-vgg16 --audit lira --concurrency 1",
    "--study-storage sqlite:///study.db --image-cache none --limit 3000 --no-race --quiet",
)


def config_json(words: str, file: Path) -> Path:
    """The config.json that a run of these words begins with."""
    config, options = parse(words.split())
    values = recorded(options)
    begun = (
        describe_comparison(config, "run", values)
        if isinstance(config, Comparison)
        else describe(config, "run", values, {"split_hashes": {}})
    )
    file.write_text(json.dumps(begun, indent=2))
    return file


@pytest.mark.parametrize("words", WORDS)
def test_the_config_of_a_run_asks_for_the_same_run_from_any_folder(
    words, tmp_path, monkeypatch
) -> None:
    expected, options = parse(words.split())
    file = config_json(words, tmp_path / "config.json")
    monkeypatch.chdir(tmp_path)
    found, again = parse(["--config", str(file)])
    assert found == expected
    assert again.data_dir == options.data_dir
    assert again.study_storage == options.study_storage
    assert changed_settings(found, again) is None


@pytest.mark.parametrize("words", WORDS)
def test_saved_settings_ask_for_the_same_run_again(words, tmp_path, capsys) -> None:
    expected, options = parse(words.split())
    file = tmp_path / "saved.yaml"
    assert main([*words.split(), "--save-config", str(file)]) == 0
    assert capsys.readouterr().out.strip() == str(file)
    found, again = parse(["--config", str(file)])
    assert found == expected
    for name in ("data_dir", "cpus_per_trial", "trial_timeout_s", "image_cache", "concurrency"):
        assert getattr(again, name) == getattr(options, name), name
    assert [path.name for path in tmp_path.iterdir()] == ["saved.yaml"]


def saved(text: str, folder: Path) -> str:
    file = folder / "my.yaml"
    file.write_text(text)
    return str(file)


def test_yaml_reads_as_the_command_line_does(tmp_path) -> None:
    text = """
        # a comment
        trials: 7
        time-budget: 90m
        max_accuracy_drop: 1e-2
        levels: [0, 0.02]
        set: {rho: 0.1, training.epochs: 30}
        comparators: yes
        no-race: false
        min-compression: null
        study-storage: sqlite:///study.db
    """
    words = """--trials 7 --time-budget 90m --max-accuracy-drop 1e-2 --levels 0,0.02 --set rho=0.1
        --set training.epochs=30 --comparators"""
    found, options = parse(["--config", saved(text, tmp_path)])
    assert found == parse(words.split())[0]
    assert options.study_storage == "sqlite:///study.db"


def test_the_command_line_wins(tmp_path) -> None:
    file = saved("trials: 7\nseed: 3\nset: [rho=0.1, retrain_learning_rate=0.002]\n", tmp_path)
    found, _ = parse(["--config", file, "--trials", "9", "--set", "rho=0.5"])
    expected, _ = parse(
        ["--trials", "9", "--seed", "3", "--set", "rho=0.5", "--set", "retrain_learning_rate=0.002"]
    )
    assert found == expected
    given = saved("defense: dp\nepsilon: 8\n", tmp_path)
    assert parse(["--config", given, "--set", "epsilon=2"])[0].parameters["epsilon"].default == 2
    given = saved("defense: dp\nset: [epsilon=8]\n", tmp_path)
    assert parse(["--config", given, "--epsilon", "2"])[0].parameters["epsilon"].default == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trials: 20\ntrails: 7\n", "line 2: option 'trails' is unknown: did you mean trials?"),
        ("seed: 1\n\ntrials: many\n", "line 3: argument --trials: invalid int value: 'many'"),
        ("seed: 1\ntrials: 0\n", "line 2: --trials must be at least 1, got 0"),
        ("model: resnet\n", "line 1: --model 'resnet' is unknown: did you mean resnet18"),
        ("trials: 1\ntrials: 2\n", "line 2: trials is no option, or stands twice"),
        ("no-race: true\nno_race: true\n", "line 2: no_race stands on line 1 already"),
        ("comparators: maybe\n", "line 1: comparators is true or false, got 'maybe'"),
        ("trials: [1, 2]\n", "line 1: trials takes one value, not a list"),
        ("set: [[rho]]\n", "line 1: set is a list within a list"),
        ("trials: 7\nset: [rho\n", "line 3 is neither YAML nor JSON"),
        ('{"trials": 7,\n "seed" 3}', "line 2 is neither YAML nor JSON"),
        ("resume: runs/a\n", "line 1: option 'resume' is unknown"),
        ("- trials\n", "has no options: write one a line, as trials: 20"),
        ("", "has no options"),
        ("[" * 5000, "is no text file in YAML or JSON"),
        ("study-storage: postgresql://me:***@host/runs\n", "its password was not recorded"),
        ("track: mlflow://http://me:***@host\n", "its password was not recorded"),
        ("no-race: [1, 2]\n", "no-race is true or false, got a list"),
        ("? [trials]\n: 3\n", "a list is no option"),
        ("min-compression: 1000\nseed: 1\n", "line 1: --min-compression 1000.0 cannot be reached"),
    ],
)
def test_a_broken_file_is_one_line_with_line_and_key(text, says, tmp_path, capsys) -> None:
    file = saved(text, tmp_path)
    assert main(["--config", file]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert says in shown.err
    assert file in shown.err
    assert shown.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda values: values | {"version": 2}, "line 2: version is not 1"),
        (lambda values: values | {"command": "ls"}, "line 5: command is none of this program's"),
        (lambda values: values | {"command": 5}, "line 5: command is none of this program's"),
        (lambda values: values | {"command": ["a"]}, "line 5: command is none of this program's"),
        (
            lambda values: values | {"command": "python -m search.run --references 8"},
            "line 5: command is none of this program's (--references is now --models N",
        ),
        (
            lambda values: values | {"command": values["command"].replace("trials 7", "trials 0")},
            "line 5: --trials must be at least 1, got 0",
        ),
    ],
)
def test_a_damaged_config_of_a_run_is_one_line(damage, says, tmp_path) -> None:
    file = config_json("--trials 7", tmp_path / "config.json")
    file.write_text(json.dumps(damage(json.loads(file.read_text())), indent=2))
    with pytest.raises(InvalidInput) as raised:
        parse(["--config", str(file)])
    assert says in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="absent cannot be read: No such file"):
        parse(["--config", str(tmp_path / "absent")])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InvalidInput, match="binary is no text file"):
        parse(["--config", str(tmp_path / "binary")])
    with pytest.raises(InvalidInput, match="leave out --config"):
        parse(["--resume", "runs/x", "--config", str(tmp_path / "absent")])


@given(st.one_of(st.text(max_size=40).map(str.encode), st.binary(max_size=20)))
def test_arbitrary_files_are_options_or_one_line(content) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        with contextlib.suppress(InvalidInput):
            assert ConfigFile.read(file.name).values


def test_what_the_command_line_made_otherwise_is_said(tmp_path) -> None:
    file = config_json("--trials 7", tmp_path / "config.json")
    config, options = parse(["--config", str(file), "--trials", "9", "--seed", "1"])
    said = changed_settings(config, options)
    assert said == f"Not as in {file}: seed 1 instead of 0, trials 9 instead of 7"


def test_the_recipe_of_another_release_is_said(tmp_path) -> None:
    file = config_json("--trials 7", tmp_path / "config.json")
    stored = json.loads(file.read_text())
    stored["search"]["training"]["epochs"] = 15
    file.write_text(json.dumps(stored))
    assert "training.epochs 40 instead of 15" in str(
        changed_settings(*parse(["--config", str(file)]))
    )


def test_settings_are_saved_to_a_new_file_only(tmp_path, capsys) -> None:
    file = tmp_path / "there"
    file.write_text("mine")
    assert main(["--save-config", str(file)]) == 2
    assert "cannot be made (File exists): choose another file" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert main(["--trials", "0", "--save-config", str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new").exists()


def test_a_password_is_not_saved(tmp_path) -> None:
    url = "postgresql://ada:s3cret@host/runs"
    assert main(["--study-storage", url, "--save-config", str(tmp_path / "new")]) == 0
    assert "s3cret" not in (tmp_path / "new").read_text()
    assert ConfigFile.read(str(tmp_path / "new")).values["study_storage"] == (
        "postgresql://ada:***@host/runs"
    )
