"""Lists of images by index or by name: every format reads alike, every slip is one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search.member_files import read_positions
from trainables.base.errors import InvalidInput
from trainables.data.images import ImageFiles, Images

COUNT = 20
IMAGES = Images(np.zeros((COUNT, 1, 2, 2), dtype=np.uint8), np.zeros(COUNT, dtype=np.int64))
FILES = ImageFiles(
    Path("/data/birds"),
    np.array([f"train/b/{i}.jpg".encode() for i in range(COUNT)]),
    np.zeros(COUNT, dtype=np.int64),
)
WANTED = [1, 3, 7]


def written(folder: Path, kind: str, values: list) -> Path:
    path = folder / f"members.{kind}"
    if kind == "txt":
        path.write_text("\n".join(map(str, values)) + "\n\n")
    elif kind == "npy":
        np.save(path, np.array(values))
    elif kind == "csv":
        pd.DataFrame({"image": values}).to_csv(path, index=False)
    else:
        pd.DataFrame({"image": values}).to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["txt", "npy", "csv", "parquet"])
def test_every_format_gives_the_same_positions_in_order(tmp_path, kind) -> None:
    found = read_positions(written(tmp_path, kind, [7, 1, 3]), IMAGES, "--members")
    assert found.tolist() == WANTED
    assert found.dtype == np.int64
    named = written(tmp_path, kind, [f"train/b/{i}.jpg" for i in (7, 1, 3)])
    assert read_positions(named, FILES, "--members").tolist() == WANTED


def test_names_may_begin_with_the_folder_and_indices_name_files_too(tmp_path) -> None:
    path = written(tmp_path, "txt", ["/data/birds/train/b/7.jpg", "./train/b/1.jpg"])
    assert read_positions(path, FILES, "--members").tolist() == [1, 7]
    assert read_positions(written(tmp_path, "txt", [0]), FILES, "--members").tolist() == [0]


@pytest.mark.parametrize(
    ("kind", "values", "images", "says"),
    [
        ("txt", [1, 20], IMAGES, "index 20 is not in the data set: it has 20 images, 0 to 19"),
        ("txt", [-1], IMAGES, "index -1 is not in the data set"),
        ("txt", [3, 5, 3], IMAGES, "3 is there twice, as entries 1 and 3"),
        ("txt", ["train/b/1.jpg", "./train/b/1.jpg"], FILES, "twice, as entries 1 and 2"),
        ("txt", [1, "x.jpg"], IMAGES, "'x.jpg' is no index: this data set's images have no file"),
        ("txt", ["9" * 30], IMAGES, "is no index"),
        ("txt", ["2.0"], IMAGES, "'2.0' is no index"),
        ("txt", ["b/1.jpg"], FILES, "no image below /data/birds: names are as train/b/0.jpg"),
        ("txt", [], IMAGES, "names nothing"),
        ("npy", [True] * 20, IMAGES, "np.flatnonzero(mask)"),
        ("npy", [[1, 2]], IMAGES, "give one dimension of whole numbers"),
        ("npy", [1.5], IMAGES, "holds float64 (1,)"),
        ("parquet", [1.5], IMAGES, "a column of float64"),
        ("parquet", ["a", None], IMAGES, "1 values are missing"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, kind, values, images, says) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_positions(written(tmp_path, kind, values), images, "--members")
    assert says in str(refused.value)
    assert str(refused.value).startswith("--members ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "contents", "says"),
    [
        ("a.csv", b"5\n7\n", "column name 5: give a name"),
        ("a.csv", b"train/b/1.jpg\ntrain/b/2.jpg\n", "column name train/b/1.jpg"),
        ("a.csv", b"a,b\n1,2\n", "has the columns a, b"),
        ("a.csv", b"", "cannot be read"),
        ("a.npy", b"no array", "cannot be read"),
        ("a.npy", b"", "cannot be read"),
        ("a.parquet", b"no table", "cannot be read"),
        ("a.txt", b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, name, contents, says) -> None:
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(InvalidInput, match=r"\A--members .*" + says) as refused:
        read_positions(tmp_path / name, IMAGES, "--members")
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_an_archive_are_named(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_positions(tmp_path / "none.txt", IMAGES, "--members")
    np.savez(tmp_path / "several.npz", a=np.arange(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(InvalidInput, match="several arrays"):
        read_positions(tmp_path / "several.npy", IMAGES, "--members")
