"""A user's own file: what it may register, and one clear line for everything that can be wrong."""

import dataclasses
import functools
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from search.inputs import load_inputs
from search.parser import parse
from search.plan import passes_of_candidate
from tests.documents import everything
from trainables import plugin
from trainables.base.errors import InvalidInput
from trainables.beside import BesideLoader
from trainables.config import TrainingConfig
from trainables.data import items
from trainables.data.pairs import collected
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES
from trainables.models.registry import MODELS
from trainables.plugin import Plugin

IMPORTS = """
import torch
from torch import nn
from trainables.config import TrainingConfig
from trainables.plugin import register_dataset, register_model
"""


def example() -> str:
    """The one of the documents."""
    (text,) = re.findall(
        r"^```python\n(import torch\n.*?)^```", everything(), re.MULTILINE | re.DOTALL
    )
    return text


@pytest.fixture(autouse=True)
def registries_as_before(monkeypatch):
    """What a test registers is gone after it."""
    registries = MODELS, DATASETS, DEFENSES
    saved = [{**registry} for registry in registries]
    monkeypatch.setattr(plugin, "_LOADED", set())
    yield
    for finder in [one for one in sys.meta_path if isinstance(one, BesideLoader)]:
        finder.remove()
    for registry, before in zip(registries, saved, strict=True):
        registry.clear()
        registry.update(before)


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "my_model.py"
        path.write_text(text)
        return path

    return write


def load(path: Path) -> None:
    Plugin.read(path).load()


def test_the_readmes_example_becomes_a_network_and_a_data_set(written):
    path = written(example())
    config, options = parse(["--plugin", str(path), "--dataset", "mine", "--model", "mine"])
    inputs = load_inputs(config, options)
    assert list(inputs.layers.values()) == [64 * 100, 100 * 10]
    assert inputs.images.pixels.shape == (1797, 1, 8, 8)
    assert inputs.images.pixels.max() == 240
    assert config.plugin == Plugin.read(path).sha256
    assert inputs.plugin == Plugin.read(path)
    assert options.out.name.startswith("mine-mine-")


def test_the_hash_of_the_file_is_part_of_the_runs(written):
    words = ["--dataset", "mine", "--plugin"]
    one, _ = parse([*words, str(written(example()))])
    MODELS.pop("mine")
    DATASETS.pop("mine")
    other, _ = parse([*words, str(written(example() + "\n# another\n"))])
    assert one.key != other.key


def test_a_file_that_changed_since_is_refused(written):
    path = written(example())
    config, options = parse(["--plugin", str(path), "--dataset", "mine"])
    written(example() + "\n# changed\n")
    with pytest.raises(InvalidInput, match="has changed since the run began: restore it"):
        load_inputs(config, options)


def test_one_text_is_run_once_in_a_process(written):
    path = written(example())
    load(path)
    load(path)
    assert {"mine"} <= MODELS.keys() & DATASETS.keys()


def test_what_a_file_draws_when_it_is_read_is_the_same_in_every_process(written, monkeypatch):
    text = IMPORTS + (
        "import random\n"
        "import numpy\n"
        "DRAWN = [*torch.rand(2).tolist(), *numpy.random.rand(2), random.random()]\n"
        "register_model('drawn', lambda k, s: nn.Linear(2, k))\n"
    )
    path, found = written(text), []
    for seed in (1, 2):
        torch.manual_seed(seed)  # noqa: TID251 - as two processes differ
        monkeypatch.setattr(plugin, "_LOADED", set())
        load(path)
        found.append(sys.modules[f"plugin_{Plugin.read(path).sha256[:16]}"].DRAWN)
        MODELS.pop("drawn")
    assert found[0] == found[1]


def test_a_network_of_ones_own_goes_with_our_data_and_the_other_way_round(written):
    text = IMPORTS + (
        "register_model('flat', lambda k, s: nn.Sequential(nn.Flatten(), nn.Linear(784, k)))\n"
        "register_dataset('own', print, n_classes=3, image_shape=(1, 28, 28),"
        " default_model='lenet5', training=TrainingConfig(epochs=7, batch_size=5))\n"
    )
    path = str(written(text))
    assert parse(["--plugin", path, "--model", "flat"])[0].dataset == "mnist5k"
    config, _ = parse(["--plugin", path, "--dataset", "own"])
    assert (config.model, config.min_compression) == ("lenet5", None)
    assert config.training == TrainingConfig(epochs=7, batch_size=5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("raise SystemExit(0)", "cannot be imported: SystemExit"),
        ("x = 1", "register_model, register_dataset, register_defense or register_training of"),
        ("register_model('lenet5', nn.Flatten)", "model 'lenet5' exists already"),
        ("register_model('a', 1); register_model('a', 1)", "model 'a' exists already"),
        ("register_model('A-b', 1)", "a name is small letters, digits and _"),
        (
            "register_dataset('mnist', 1, n_classes=2, image_shape=(1, 8, 8), default_model='a')",
            "data set 'mnist' exists already",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_leaves_nothing_behind(text, says, written):
    before = {*MODELS}, {*DATASETS}, {*DEFENSES}
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        load(written(IMPORTS + text))
    assert "\n" not in str(caught.value)
    assert "my_model.py" in str(caught.value)
    assert before == ({*MODELS}, {*DATASETS}, {*DEFENSES})


DEFENCE = """
from torch.nn import functional
from trainables.plugin import Parameter, register_defense
from trainables.runs.dense import DenseRun


def smoothed(trial, cohort, start):
    share = trial.parameters["share"]
    return DenseRun(
        trial,
        cohort,
        loss=lambda logits, labels: functional.cross_entropy(
            logits, labels, label_smoothing=share
        ),
    )


"""
SHARE = "parameters={'share': Parameter(low=0.1, high=0.8, default=0.2)}"


def test_a_defence_of_ones_own_is_searched_like_any_other(written):
    path = written(f"{DEFENCE}register_defense('smoothing', smoothed, {SHARE}, cost=1.5)")
    config, _ = parse(["--plugin", str(path), "--defense", "smoothing", "--set", "share=0.1:0.5"])
    assert (config.parameters["share"].low, config.parameters["share"].high) == (0.1, 0.5)
    assert (config.min_compression, config.space) == (None, "layer")
    assert passes_of_candidate(config, "admm") == 1.5 * config.training.epochs
    with pytest.raises(InvalidInput, match="did you mean share"):
        parse(["--plugin", str(path), "--defense", "smoothing", "--set", "shore=1"])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("register_defense('dp', smoothed)", "defence 'dp' exists already"),
        ("register_defense('all', smoothed)", "defence 'all' exists already"),
        ("register_defense('a+b', smoothed)", "a name is small letters, digits and _"),
        ("register_defense('a', 'smoothed')", "'smoothed' cannot be called"),
        ("register_defense('a', smoothed, cost=0)", "cost 0 must be a number above 0"),
        ("register_defense('a', smoothed, parameters={'s': 1})", "must be a Parameter"),
        ("register_defense('a', smoothed, parameters={'epochs': 1})", "a number of the recipe"),
        ("register_defense('a', smoothed, parameters={'S': 1})", "a letter first"),
        (f"register_defense('a', smoothed, {SHARE.replace('0.1', '0')})", "numbers above 0"),
        (f"register_defense('a', smoothed, {SHARE.replace('0.1', '0.3')})", "are not low <="),
    ],
)
def test_a_defence_that_cannot_be_used_is_one_line_and_leaves_nothing_behind(call, says, written):
    before = {*DEFENSES}
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        load(written(DEFENCE + call))
    assert "\n" not in str(caught.value)
    assert before == {*DEFENSES}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return start", "defence 'own' makes no run but Start: return one with all that"),
        ("return missing", "fails with --defense own (NameError"),
        (
            "run = DenseRun(trial, cohort); run.predict = lambda i: i; return run",
            "its run predicts (68,) where logits (68, 10) are needed",
        ),
    ],
)
def test_a_defence_that_fails_is_one_line_before_anything_is_trained(body, says, written):
    text = f"{DEFENCE}def own(trial, cohort, start):\n    {body}\nregister_defense('own', own)"
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        parse(["--plugin", str(written(text)), "--defense", "own"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_an_absent_file_and_one_that_is_no_text_are_one_line(content, tmp_path):
    path = tmp_path / "my_model.py"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"--plugin .*my_model.py cannot be read: "):
        load(path)


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("lambda k, s: nn.Flatten()", "has no weight to prune (it has no layers)"),
        ("lambda k, s: 'network'", "is not an nn.Module but str"),
        ("lambda k: nn.Flatten()", "cannot be made: TypeError"),
        ("lambda k, s: nn.Linear(3, k)", "fails on images of (1, 28, 28)"),
        (
            "lambda k, s: nn.Sequential(nn.Flatten(), nn.Linear(784, k + 1))",
            "gives (2, 11) for two images of 10 classes",
        ),
    ],
)
def test_a_network_that_cannot_be_pruned_is_one_line(factory, says, written):
    path = written(f"{IMPORTS}register_model('own', {factory})")
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        parse(["--plugin", str(path), "--model", "own"])
    assert "\n" not in str(caught.value)


PIXELS = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 2, 0])
IMAGE = functools.partial(items.image, (1, 8, 8))


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (TensorDataset(PIXELS.float(), LABELS), "item 0: its image must be uint8, 0 to 255, not"),
        (TensorDataset(PIXELS[:, 0], LABELS), "must have the shape (1, 8, 8), not (8, 8)"),
        (TensorDataset(PIXELS, LABELS + 1), "item 2: its label must be a whole number in 0 to 2"),
        (TensorDataset(PIXELS, LABELS.float()), "whole number in 0 to 2, not 0.0"),
        (TensorDataset(PIXELS), "must be a pair (image, label)"),
        ([(PIXELS[0].numpy(), 0)], "must be a uint8 tensor, not ndarray: convert it with"),
        ([], "has no items"),
        (iter([]), "failed: TypeError"),
        ({0: (PIXELS[0], 0), 2: (PIXELS[0], 0)}, "failed at item 1: KeyError"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_one_line_with_the_first_wrong_item(dataset, says):
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        collected("mine", lambda folder: dataset, Path(), 3, IMAGE)
    assert "\n" not in str(caught.value)
    assert "'mine'" in str(caught.value)


@pytest.mark.parametrize("kind", [int, np.int32, torch.tensor])
def test_labels_may_be_any_whole_numbers(kind):
    pairs = [(image, kind(int(label))) for image, label in zip(PIXELS, LABELS, strict=True)]
    _, labels = collected("mine", lambda folder: pairs, Path(), 3, IMAGE)
    assert labels.tolist() == [0, 1, 2, 0]
    assert labels.dtype == np.int64


def test_the_factory_gets_the_data_folder(tmp_path):
    asked = []

    def make(folder):
        asked.append(folder)
        return TensorDataset(PIXELS, LABELS)

    collected("mine", make, tmp_path, 3, IMAGE)
    assert asked == [tmp_path]


def test_a_plugin_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plugin(path="a", text="b").text = "c"


BESIDE = {
    "my_model.py": IMPORTS
    + """
import layers_of_mine
from parts_of_mine.deep.head import Head
from bare_of_mine import width
def network(n_classes, shape):
    import late_of_mine
    return nn.Sequential(nn.Flatten(), Head(late_of_mine.SIZE, n_classes), layers_of_mine.Last())
register_model("mine", network)
""",
    "layers_of_mine.py": (
        "from torch import nn\nimport more_of_mine\nclass Last(nn.Identity): pass\n"
    ),
    "more_of_mine.py": "import layers_of_mine  # a circle\nPOWER = 2\n",
    "parts_of_mine/__init__.py": "from . import deep\n",
    "parts_of_mine/deep/__init__.py": "",
    "parts_of_mine/deep/head.py": (
        "from torch import nn\nfrom ..names import GREETING\nclass Head(nn.Linear): pass\n"
    ),
    "parts_of_mine/names.py": "GREETING = 'Grüße'\n",
    "bare_of_mine/width.py": "SIZE = 784\n",
    "late_of_mine.py": "from bare_of_mine.width import SIZE\n",
    "unused_of_mine.py": "1 / 0\n",
    "parts_of_mine/.hidden/old.py": "1 / 0\n",
}
"""A plugin with modules, a package, a folder of modules, a circle and an import inside a function,
in their folder."""


@pytest.fixture
def house(tmp_path):
    def write(**changed: str | None) -> Path:
        for name, text in {**BESIDE, **changed}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(text, encoding="utf-8")
        return tmp_path / "my_model.py"

    return write


def test_what_a_plugin_imports_from_beside_it_travels_and_nothing_else(house):
    found = Plugin.read(house())
    assert [name for name, _ in found.beside] == sorted(
        name
        for name in BESIDE
        if "unused" not in name and "hidden" not in name and name != "my_model.py"
    )
    assert dict(found.beside) == {name: BESIDE[name] for name, _ in found.beside}


def test_it_runs_on_a_machine_without_the_files_and_its_classes_can_be_pickled(house, tmp_path):
    plugin_file = house()
    (tmp_path / "sent").write_bytes(pickle.dumps(Plugin.read(plugin_file)))
    house(**dict.fromkeys(BESIDE))
    elsewhere = """
import pickle, sys, torch
from pathlib import Path
from trainables.models.registry import MODELS
pickle.loads(Path(sys.argv[1]).read_bytes()).load()
network = MODELS["mine"].build(10, (1, 28, 28))
again = pickle.loads(pickle.dumps(network))
assert type(again[1]) is type(network[1]) is sys.modules["parts_of_mine.deep.head"].Head
assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
"""
    root = Path(plugin.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", elsewhere, tmp_path / "sent"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", ["layers_of_mine.py", "more_of_mine.py", "parts_of_mine/names.py", "late_of_mine.py"]
)
@pytest.mark.parametrize("change", ["# changed\n", None])
def test_a_run_refuses_a_module_beside_its_plugin_that_changed_or_went(name, change, house):
    config, options = parse(["--plugin", str(house()), "--model", "mine"])
    house(**{name: None if change is None else BESIDE[name] + change})
    with pytest.raises(InvalidInput, match="or a file beside it that it imports, has changed"):
        load_inputs(config, options)


def test_what_is_not_imported_may_change(house):
    config, options = parse(["--plugin", str(house()), "--model", "mine"])
    house(**{"unused_of_mine.py": "2 / 0", "new_of_mine.py": ""})
    assert load_inputs(config, options).plugin == Plugin.read(options.plugin)


def test_the_hash_of_a_file_alone_is_that_of_its_text(written):
    import hashlib

    path = written(example())
    assert Plugin.read(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"random.py": "", "more_of_mine.py": "import random"}, "'random' beside it has the name"),
        ({"torch/__init__.py": ""}, "'torch' beside it has the name of an installed module"),
        ({"trainables.py": ""}, "'trainables' beside it has the name of an installed module"),
        ({"more_of_mine.py": "import my_model"}, "a file beside it imports the plugin itself"),
        ({"more_of_mine.py": "1 / 0"}, "cannot be imported: ZeroDivisionError"),
        ({"more_of_mine.py": "def broken(:"}, "cannot be imported: SyntaxError"),
        ({"more_of_mine.py": "import absent_of_mine"}, "No module named 'absent_of_mine'; it may"),
        ({"more_of_mine.py": "from . import late_of_mine"}, "by import statements, Python files"),
    ],
)
def test_what_cannot_travel_is_one_line_and_leaves_nothing_behind(files, says, house):
    models, modules, finders = {*MODELS}, {*sys.modules}, [*sys.meta_path]
    with pytest.raises(InvalidInput, match=re.escape(says)) as caught:
        load(house(**files))
    assert "\n" not in str(caught.value)
    assert "my_model.py" in str(caught.value)
    left = {name for name in {*sys.modules} - modules if not name.startswith("plugin_")}
    assert not any("of_mine" in name for name in left)
    assert (models, finders) == ({*MODELS}, [*sys.meta_path])


def test_a_file_beside_it_that_is_no_text_is_named(house):
    path = house()
    (path.parent / "late_of_mine.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match=r"imports .*late_of_mine.py, which cannot be read"):
        Plugin.read(path)


def test_a_plugin_may_have_the_name_of_what_it_wraps(tmp_path):
    path = tmp_path / "torchvision.py"
    path.write_text(
        IMPORTS + "import torchvision\nregister_model('mine', torchvision.models.vgg11)"
    )
    load(path)
    assert "mine" in MODELS


def test_a_plugin_in_a_checkout_of_the_project_sends_nothing_of_it(house):
    root = Path(plugin.__file__).parents[1]
    names = ("trainables/__init__.py", "trainables/beside.py", "trainables/config.py")
    path = house(**{name: (root / name).read_text() for name in names})
    assert not any("trainables" in name for name, _ in Plugin.read(path).beside)


def test_a_folder_with_the_name_of_an_installed_package_is_not_what_is_imported(house):
    path = house(**{"yaml/notes.py": "", "more_of_mine.py": "import yaml\nyaml.safe_load('1')"})
    load(path)
    assert not any("yaml/" in name for name, _ in Plugin.read(path).beside)


def test_two_plugins_of_one_process_may_not_differ_in_a_module_of_one_name(house, tmp_path):
    load(house())
    other = house(**{"more_of_mine.py": "POWER = 3", "my_model.py": "import more_of_mine"})
    with pytest.raises(InvalidInput, match=r"another module '.*of_mine' is in use in this process"):
        load(other)


def test_too_much_beside_a_plugin_is_refused(house, monkeypatch):
    monkeypatch.setattr("trainables.beside.MOST_FILES", 3)
    with pytest.raises(InvalidInput, match="more than 3 files or"):
        Plugin.read(house())
