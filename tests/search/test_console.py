"""The console script: every command by its name, what it answers at once, and what Tab offers."""

import argparse
import os
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import shtab

from search import completion
from search.console import COMMANDS, build_parser, main
from trainables.base.commandline import OneLineParser, called_as

ROOT = Path(__file__).resolve().parents[2]
QUICK_S = 1.0
"""Of processor time, for an answer that needs no data and no network."""

SHELL = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def refused(words: str, capsys) -> str:
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_parser_of_its_own_name_and_a_main(name) -> None:
    module = COMMANDS[name].load()
    assert callable(module.main)
    with called_as(f"prune-privacy {name}"):
        parser = module.build_parser()
    assert isinstance(parser, OneLineParser)
    assert parser.prog == f"prune-privacy {name}"
    assert module.build_parser().prog.startswith("python -m ")


def test_the_help_names_every_command(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([])
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and one.help in shown for name, one in COMMANDS.items())
    assert "%" not in build_parser().format_help()


def test_a_mistake_is_said_in_the_words_that_were_typed(capsys) -> None:
    assert refused("reprot", capsys).startswith(
        "error: command 'reprot' is unknown: did you mean report? There are run, report, "
    )
    assert "(see prune-privacy --help)" in refused("--nope", capsys)
    assert "(see prune-privacy run --help)" in refused("run --nope", capsys)
    assert "(see prune-privacy cluster local --help)" in refused("cluster local", capsys)


def test_the_script_is_the_one_that_pyproject_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"prune-privacy": "search.console:main"}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("", 0),
        ("--version", 0),
        *((f"{name} --help", 0) for name in COMMANDS),
        ("run --version", 0),
        ("completion bash", 0),
        ("rnu", 2),
        ("run --nope", 2),
        ("run --trials 0", 2),
        ("run --dataset cifar1O", 2),
        ("run --preset smok", 2),
        ("run --set rho", 2),
        ("run --defense all --comparators", 2),
        ("run --defense all --dry-run --probe", 2),
        ("run --pretrained-start", 2),
        ("run --config absent.yaml", 2),
        ("run --plugin absent.py", 2),
        ("run --dense absent.pt --members absent.txt", 2),
        ("run --members absent.txt", 2),
        ("run --resume absent", 2),
        ("run --study-storage study.db", 2),
        ("run --out taken", 2),
        ("report absent", 2),
        ("compare absent taken", 2),
        ("paper absent", 2),
        ("measure absent.csv", 2),
        ("measure --dense absent.pt --dataset mnist5k --members absent.txt", 2),
        ("cluster local", 2),
        ("completion basj", 2),
    ],
)
def test_what_needs_no_data_is_answered_at_once(words, status, tmp_path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "search.console", *words.split()],
        cwd=tmp_path,
        env={**SHELL, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == status, done.stderr
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert spent <= QUICK_S
    if status == 2:
        assert done.stderr.startswith("error: ")
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def offered(script: Path, *words: str) -> list[str]:
    """What bash offers when Tab is pressed behind the last word."""
    pressed = (
        f"source '{script}'; COMP_WORDS=({' '.join(map(repr, words))}); "
        f"COMP_CWORD={len(words) - 1}; _shtab_prune_privacy; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", pressed], capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


def test_tab_offers_commands_options_names_and_files(tmp_path, monkeypatch, capsys) -> None:
    assert completion.main(["bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert offered(script, "prune-privacy", "re") == ["report"]
    assert offered(script, "prune-privacy", "run", "--max-a") == ["--max-accuracy-drop"]
    assert offered(script, "prune-privacy", "run", "--model", "res") == ["resnet18"]
    assert offered(script, "prune-privacy", "run", "--plugin", "comp") == ["completion.bash"]
    assert offered(script, "prune-privacy", "run", "--data-dir", "") == ["folder"]
    assert offered(script, "prune-privacy", "cluster", "l") == ["local"]


@pytest.mark.parametrize("shell", shtab.SUPPORTED_SHELLS)
def test_every_shell_has_a_completion_of_every_command(shell, capsys) -> None:
    assert completion.main([shell]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_completion_leaves_the_command_line_as_it_was() -> None:
    completion.whole_parser()
    flags = [
        a for a in COMMANDS["run"].load().build_parser()._actions if "--model" in a.option_strings
    ]
    assert isinstance(flags[0], argparse.Action)
    assert flags[0].choices is None
