"""A run and its data: what is said of them, and that a resumed run has the same again."""

import contextlib
import dataclasses
import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import search.pipeline
import search.run
from search.inputs import Inputs, load_inputs
from search.parser import parse
from search.record.runfolder import RunFolder, describe
from search.run import main
from trainables import plugin
from trainables.base.errors import InvalidInput
from trainables.data.registry import DATASETS
from trainables.models.registry import MODELS

PLUGIN = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset
from trainables.plugin import register_dataset, register_model


def own(folder):
    data = np.load(folder / "own.npz")
    return TensorDataset(torch.tensor(data["pixels"]), torch.tensor(data["labels"]))


register_dataset("own", own, n_classes=3, image_shape=(1, 4, 4), default_model="flat")
register_model("flat", lambda k, s: nn.Sequential(nn.Flatten(), nn.Linear(16, k)))
"""


@pytest.fixture(autouse=True)
def no_ray_and_no_network(monkeypatch: pytest.MonkeyPatch):
    @contextlib.contextmanager
    def cluster(address, *_):
        yield [{"CPU": 2.0}]

    def refuse(*_args, **_kwargs):
        pytest.fail("something was to be downloaded")

    saved = {**MODELS}, {**DATASETS}
    monkeypatch.setattr(plugin, "_LOADED", set())
    monkeypatch.setattr(search.pipeline, "cluster", cluster)
    monkeypatch.setattr(search.pipeline.signal, "signal", lambda *_: None)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    yield
    for registry, before in zip((MODELS, DATASETS), saved, strict=True):
        registry.clear()
        registry.update(before)


@dataclasses.dataclass
class Own:
    """A data set of one's own in one file, which a test can change."""

    folder: Path
    pixels: np.ndarray
    labels: np.ndarray

    def write(self, pixels: np.ndarray | None = None, labels: np.ndarray | None = None) -> None:
        np.savez(
            self.folder / "own.npz",
            pixels=self.pixels if pixels is None else pixels,
            labels=self.labels if labels is None else labels,
        )

    @property
    def words(self) -> list[str]:
        file = self.folder / "plugin.py"
        file.write_text(PLUGIN)
        return ["--plugin", str(file), "--dataset", "own", "--data-dir", str(self.folder)]

    def inputs(self, *words: str) -> Inputs:
        config, options = parse([*self.words, *words])
        assert config is not None
        return load_inputs(config, options)


@pytest.fixture
def own(tmp_path: Path) -> Own:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (300, 1, 4, 4)).astype(np.uint8)
    found = Own(folder=tmp_path, pixels=pixels, labels=np.repeat(np.arange(3), 100))
    found.write()
    return found


def sides(inputs: Inputs) -> tuple[set[bytes], set[bytes]]:
    pixels = inputs.images.pixels
    members, others = (
        {pixels[i].tobytes() for i in part}
        for part in (inputs.split.members, inputs.split.non_members)
    )
    return members, others


def test_images_on_both_sides_are_said_with_both_counts_and_kept_only_on_request(own) -> None:
    own.write(np.repeat(own.pixels[:75], 4, axis=0), np.repeat(np.arange(75) % 3, 4))
    kept = own.inputs("--duplicates", "keep")
    members, others = sides(kept)
    both = len(members & others)
    assert both > 5
    assert kept.notes[-1].startswith(
        f"75 images occur more than once, {both} of them as member and non-member (300 copies"
    )
    together = own.inputs()
    members, others = sides(together)
    assert not members & others
    assert 55 <= len(together.split.members) == len(together.split.non_members) <= 60
    assert ", 0 of them as member and non-member" in together.notes[-1]
    assert together.describe()["notes"] == list(together.notes)
    dropped = own.inputs("--duplicates", "drop")
    members, others = sides(dropped)
    assert not members & others
    assert len(members) == len(dropped.split.members) == 15


def test_an_image_with_two_labels_is_a_duplicate_too(own) -> None:
    pixels = own.pixels.copy()
    pixels[100:105] = pixels[:5]
    own.write(pixels)
    found = own.inputs()
    assert found.describe()["duplicates"] == {
        "images": 5,
        "occurrences": 10,
        "labelled_differently": 5,
        "most": found.duplicates.most,
        "member_and_non_member": 0,
    }
    assert "5 with different labels" in found.notes[-1]


def test_differential_privacy_of_an_image_with_copies_is_said(own) -> None:
    own.write(np.repeat(own.pixels[:150], 2, axis=0), np.repeat(np.arange(150) % 3, 2))
    assert (
        "epsilon does not hold for an image that occurs up to 2 times"
        in own.inputs("--defense", "dp").notes[-1]
    )
    notes = own.inputs("--defense", "dp", "--duplicates", "drop").notes
    assert not any("epsilon" in note for note in notes)


def test_without_copies_every_policy_gives_one_split_and_nothing_to_say(own) -> None:
    found = [own.inputs("--duplicates", policy) for policy in ("keep", "drop", "together")]
    hashes = [inputs.describe()["split_hashes"] for inputs in found]
    assert hashes[0] == hashes[1] == hashes[2]
    assert not any("occur more than once" in note for note in found[0].notes)


def test_what_is_odd_about_the_data_reaches_the_terminal_and_the_runs_folder(
    own, monkeypatch, capsys
) -> None:
    def interrupted(context):
        raise KeyboardInterrupt

    monkeypatch.setattr(search.pipeline, "train_dense", interrupted)
    monkeypatch.setattr(search.pipeline, "wait_for_room", lambda *_: None)
    pixels = own.pixels.copy()
    pixels[0], pixels[200] = 77, pixels[201]
    own.write(pixels, own.labels % 2)
    out = own.folder / "run"
    assert main([*own.words, "--out", str(out)]) == 130
    lines = capsys.readouterr().err.splitlines()
    notes = json.loads((out / "config.json").read_text())["notes"]
    assert [note[:40] for note in notes] == [
        "1 of 300 images are of one colour throug",
        "1 of 3 classes have no images",
        "1 images occur more than once, 0 of them",
    ]
    assert set(notes) <= set(lines)


# ---------------------------------------------------------------- a resumed run


@pytest.fixture
def stored(own: Own) -> RunFolder:
    """A run that was interrupted before its first training."""
    config, options = parse(own.words)
    assert config is not None
    inputs = load_inputs(config, options)
    folder = RunFolder(own.folder / "run")
    folder.create()
    written = {"data_dir": str(own.folder), "plugin": str(options.plugin), "preset": "default"}
    folder.write_config(describe(config, "run", written, inputs.describe()))
    return folder


def resume(folder: RunFolder, capsys, *words: str) -> tuple[int, list[str]]:
    """The exit status and the lines on stderr; nothing in the folder may have changed."""
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    status = main(["--resume", str(folder.path), *words])
    assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    return status, capsys.readouterr().err.splitlines()


def reordered(values: np.ndarray) -> np.ndarray:
    """Two images of one class exchanged."""
    order = np.arange(len(values))
    order[[3, 7]] = [7, 3]
    return values[order]


def test_the_same_data_are_taken_again(own, stored, capsys) -> None:
    assert resume(stored, capsys, "--dry-run")[0] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels, labels: (np.roll(pixels, 1, axis=3), labels),  # all images, same labels
        lambda pixels, labels: (reordered(pixels), labels),  # two images in each other's places
        lambda pixels, labels: (pixels, np.roll(labels, 100)),  # classes renamed, counts alike
        lambda pixels, labels: (pixels, labels[::-1].copy()),
        lambda pixels, labels: (pixels[::-1].copy(), labels[::-1].copy()),
        lambda pixels, labels: (pixels[:-3], labels[:-3]),
        lambda pixels, labels: (pixels ^ (np.arange(300) == 5)[:, None, None, None], labels),
    ],
)
def test_other_images_labels_or_order_are_refused_and_nothing_is_written(
    own, stored, capsys, change
) -> None:
    pixels, labels = change(own.pixels, own.labels)
    own.write(pixels, labels)
    status, lines = resume(stored, capsys)
    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith(f"error: --resume {stored.path}: the ")
    assert "are not those of the run" in lines[0]


def test_a_run_from_before_the_hashes_goes_on_and_says_what_was_not_checked(
    own, stored, capsys
) -> None:
    values = stored.read_config()
    for name in ("image_hashes", "duplicates", "notes"):
        del values[name]
    del values["search"]["duplicates"]
    stored.write_config(values)
    own.write(np.roll(own.pixels, 1, axis=3))
    status, lines = resume(stored, capsys, "--dry-run")
    assert status == 0
    assert sum("what its images were" in line for line in lines) == 1
    own.write(own.pixels[:-3], own.labels[:-3])
    status, lines = resume(stored, capsys, "--dry-run")
    assert status == 2
    assert "split hashes differ" in lines[-1]


def test_a_run_from_before_the_option_left_copies_where_chance_dealt_them(
    own, stored, capsys
) -> None:
    own.write(np.repeat(own.pixels[:75], 4, axis=0), np.repeat(np.arange(75) % 3, 4))
    values = {**stored.read_config(), **own.inputs("--duplicates", "keep").describe()}
    del values["search"]["duplicates"], values["image_hashes"]
    stored.write_config(values)
    assert resume(stored, capsys, "--dry-run")[0] == 0


def test_a_resumed_run_takes_no_other_policy(stored) -> None:
    with pytest.raises(InvalidInput, match="leave out --duplicates"):
        parse(["--resume", str(stored.path), "--duplicates", "keep"])


def test_the_policy_is_written_down(own, stored) -> None:
    values = json.loads(stored.config.read_text())
    assert values["search"]["duplicates"] == "together"
    assert "--duplicates together" in values["command"]
    assert set(values["image_hashes"]) == set(values["split_hashes"])


def test_an_unknown_policy_is_refused_with_the_nearest(own) -> None:
    with pytest.raises(InvalidInput, match="--duplicates 'dropp' is unknown: did you mean drop"):
        parse(["--duplicates", "dropp"])


# ---------------------------------------------------------------- a part of the data


def test_a_limit_leaves_a_part_of_each_class_and_is_said_and_written_down(own) -> None:
    own.write(labels=np.repeat(np.arange(3), [150, 100, 50]))
    found = own.inputs("--limit", "120", "--seed", "3")
    assert np.bincount(found.images.labels).tolist() == [60, 40, 20]
    assert found.sizes["members"] == 12 + 8 + 4
    assert found.notes[0] == (
        "120 of 300 images are used (--limit), each class in its proportion, drawn by the seed"
    )
    again, other = own.inputs("--limit", "120", "--seed", "3"), own.inputs("--limit", "120")
    assert again.describe() == found.describe()
    assert other.image_hashes != found.image_hashes
    config, _ = parse([*own.words, "--limit", "120"])
    assert config is not None
    values = describe(config, "run", {}, found.describe())
    assert values["search"]["limit"] == 120
    assert "--limit 120" in values["command"]
    assert values["notes"][0].startswith("120 of 300")


def test_a_limit_of_all_images_is_the_run_without_one(own) -> None:
    assert own.inputs("--limit", "300").describe() == own.inputs().describe()


def test_copies_are_looked_for_among_the_images_that_are_used(own) -> None:
    own.write(np.repeat(own.pixels[:150], 2, axis=0))
    whole, part = own.inputs(), own.inputs("--limit", "150")
    assert whole.duplicates.images == 150
    pixels = [image.tobytes() for image in part.images.pixels]
    assert part.duplicates.images == len(pixels) - len(set(pixels)) < 75
    members, others = sides(part)
    assert not members & others


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("301", "--limit 301 is more than the 300 images of own: give at most 300"),
        ("14", "too few to split five ways: give at least 15"),
        ("0", "--limit must be at least 1"),
        ("-5", "--limit must be at least 1"),
        ("many", "argument --limit: invalid int value: 'many'"),
    ],
)
def test_a_limit_that_does_not_fit_is_one_line_and_nothing_is_written(
    own, capsys, limit, says
) -> None:
    words = [*own.words, f"--limit={limit}", "--out", str(own.folder / "new")]
    for more in ([], ["--dry-run"]):
        assert main([*words, *more]) == 2
        assert says in capsys.readouterr().err.splitlines()[-1]
    assert not (own.folder / "new").exists()


def test_a_resumed_run_takes_no_other_limit_and_has_its_own_again(own, stored, capsys) -> None:
    with pytest.raises(InvalidInput, match="leave out --limit"):
        parse(["--resume", str(stored.path), "--limit", "120"])
    config, options = parse([*own.words, "--limit", "120"])
    values = {**stored.read_config(), **load_inputs(config, options).describe()}
    stored.write_config({**values, "search": config.to_dict()})
    assert resume(stored, capsys, "--dry-run")[0] == 0
    stored.write_config({**values, "search": {**config.to_dict(), "limit": 150}})
    status, lines = resume(stored, capsys)
    assert (status, len(lines)) == (2, 1)
    assert "the data are not those of the run" in lines[0]


def test_a_run_from_before_the_limit_used_all_images_and_is_resumed_so(stored, capsys) -> None:
    values = stored.read_config()
    del values["search"]["limit"]
    stored.write_config(values)
    assert resume(stored, capsys, "--dry-run")[0] == 0


# ---------------------------------------------------------------- a dry run


def planned(capsys, *words: str) -> str:
    assert main([*words, "--dry-run"]) == 0
    return capsys.readouterr().out


def test_a_dry_run_shows_classes_parts_copies_and_a_sample(own, capsys) -> None:
    pixels, labels = own.pixels.copy(), own.labels.copy()
    pixels[1], labels[250:270] = pixels[0], 0
    own.write(pixels, labels)
    lines = dict(line.split(maxsplit=1) for line in planned(capsys, *own.words).splitlines())
    assert lines["Data"].startswith("own: ")
    assert lines["Classes"].startswith("3 of 3 have images: 300 in all, 80 / 100 / 120 a class")
    assert lines["Classes"].endswith("the fewest in 2")
    assert "16 / 20 / 24 members" in lines["A"]
    assert lines["Duplicates"].startswith("1 images occur more than once, 0 of them as member and")
    assert lines["Sample"].startswith("300 images, 4 high and 4 wide, values 0 to 255; mean 0.")


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("mnist", "of 70,000 published: about 23333 members, 23333 non_members"),
        ("fashion-mnist", "of 15,000 of 70,000 published: about 5000 members, 5000 non_members"),
        ("cifar10", "of 60,000 published: about 20000 members, 20000 non_members"),
        ("imagenet", "imagenet: not looked at, its number of images unknown"),
    ],
)
def test_a_dry_run_plans_without_the_data_and_downloads_nothing(
    tmp_path, capsys, dataset, says
) -> None:
    words = ["--dataset", dataset, "--data-dir", str(tmp_path / "none")]
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert says in shown.out
    assert ("Cost       unknown" in shown.out) == (dataset == "imagenet")
    assert "Trainings  " in shown.out
    assert "were not looked at" in shown.err
    assert not (tmp_path / "none").exists()


def test_a_dry_run_without_the_data_knows_the_limit(tmp_path, capsys) -> None:
    words = ["--data-dir", str(tmp_path / "none"), "--dry-run"]
    assert main(["--dataset", "imagenet", "--limit", "9000", *words]) == 0
    assert "of 9,000 of an unknown number: about 900 members" in capsys.readouterr().out
    assert main(["--dataset", "cifar10", "--limit", "60001", *words]) == 2
    assert "is more than the 60,000 images of cifar10" in capsys.readouterr().err


def test_a_dry_run_shows_the_limit(own, capsys) -> None:
    shown = planned(capsys, *own.words, "--limit", "120")
    assert "Data       own: 24 members" in shown
    assert "Note       120 of 300 images are used (--limit)" in shown


def test_a_dry_run_plans_without_a_file_of_ones_own_and_says_which(own, capsys) -> None:
    (own.folder / "own.npz").unlink()
    assert main([*own.words, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "own: not looked at" in shown.out
    assert "FileNotFoundError" in shown.err
    assert main([*own.words, "--out", str(own.folder / "new")]) == 2
    assert not (own.folder / "new").exists()


def test_a_dry_run_of_damaged_data_is_refused_as_a_run_would_be(own, capsys) -> None:
    own.write(np.zeros_like(own.pixels))
    assert main([*own.words, "--dry-run"]) == 2
    assert "all 300 images are the same one" in capsys.readouterr().err
