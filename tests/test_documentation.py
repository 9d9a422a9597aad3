"""What the documents tell a reader to open or type exists."""

import contextlib
import doctest
import functools
import importlib
import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trainables
from search.console import COMMANDS
from tests.documents import DOCUMENTS, ROOT, everything, read

FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
OUR_MODULE = re.compile(r"python3? -m ((?:analysis|search|trainables)\b[\w.]*(?: [a-z]+(?= --))?)")
OUR_SCRIPT = re.compile(r"\bprune-privacy ([a-z]+)((?: [a-z]+(?= --))?)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def code(document):
    """Each line of a fenced block and each inline span; a line ended by a backslash goes on."""
    text = read(document)
    blocks = [block.replace("\\\n", " ") for block in FENCED.findall(text)]
    lines = [line for block in blocks for line in block.splitlines()]
    return lines + INLINE.findall(FENCED.sub("", text))


def slug(heading):
    """The anchor that a heading gets on the usual forges."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def module_of(name):
    """What `python -m` runs of a name: a module, or the __main__ of a package."""
    found = importlib.import_module(name)
    return importlib.import_module(f"{name}.__main__") if hasattr(found, "__path__") else found


@functools.cache
def options_of(module):
    name, *words = module.split()
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit, match="0"):
        module_of(name).main([*words, "--help"])
    return frozenset(OPTION.findall(shown.getvalue()))


def command_of(line):
    """Ours of which a line's options are, as `search.run`, and them; None for another program."""
    if named := OUR_MODULE.search(line):
        return named[1], line[named.end() :]
    if script := OUR_SCRIPT.search(line):
        return COMMANDS[script[1]].module + script[2], line[script.end() :]
    search = line.lstrip().startswith("--") or re.search(r"\bmake search\b", line)
    return ("search.run", line) if search else None


def test_a_newcomer_finds_a_readme():
    assert "README.md" in DOCUMENTS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_and_picture_resolves(document):
    text = FENCED.sub("", read(document))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_to_run_can_be_imported(document):
    for line in code(document):
        for module in re.findall(r"python3? -m ([\w.]+)", line):
            assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_target_to_make_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = {name for line in code(document) for name in re.findall(r"\bmake ([a-z-]+)", line)}
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_is_in_the_help_of_its_command(document):
    for line in code(document):
        module, words = command_of(line) or (None, "")
        for option in OPTION.findall(words):
            assert option in options_of(module), f"{module} {option}"


def test_the_documents_measure_a_vector_as_the_librarys_doctest_does():
    shown = [line for block in FENCED.findall(everything()) for line in block.splitlines()]
    tested = doctest.DocTestParser().get_examples(trainables.__doc__)
    five = [one.source.rstrip() for one in tested if " = " in one.source]
    assert len(five) == 5
    assert set(five) <= set(shown)


def test_the_table_of_options_is_made_from_the_fields():
    from search.machine_options import all_options
    from search.option_fields import in_document

    page = read("docs/options.md")
    assert in_document(page, all_options()) == page, "run `make options`"


@pytest.mark.slow
def test_the_documents_build_into_a_site_without_a_broken_link(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = {path.parent.name for path in (tmp_path / "site").glob("*/index.html")}
    assert {Path(name).stem for name in DOCUMENTS if name.startswith("docs/")} <= pages | {"index"}
