"""The five sentences that a report and a card begin with."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis import run_page
from analysis.in_short import in_short
from analysis.load import load_run
from analysis.summary import card
from tests.analysis.test_cross_audit import winner, write

pytestmark = pytest.mark.usefixtures("pictures_drawn_once")


@pytest.fixture
def run(write_run: Callable[..., Path], make: SimpleNamespace) -> Path:
    folder = write_run(make.full())
    write(folder, "baseline-0000", knows=0.70, accuracy=0.95)
    write(folder, winner(folder), knows=0.60, accuracy=0.945)
    return folder


def changed(run: Path, **values: object) -> Path:
    config = json.loads((run / "config.json").read_text())
    config["search"].update(values.pop("search", {}))
    (run / "config.json").write_text(json.dumps({**config, **values}))
    return run


def test_they_say_whose_network_what_each_attacker_learns_how_sure_and_the_price(run: Path) -> None:
    whose, alone, references, sure, price = in_short(load_run(run))
    assert whose.startswith("Whose network: a network that the run trained, lenet5, which learnt ")
    assert "from 1,000 examples of mnist5k; for 1,000 of them" in whose
    assert "only sees the network's answers" in alone
    assert "also trains 6 networks like it" in references
    assert "of the leak remain, by 8 trainings of each" in sure
    assert "points lower" in price
    assert "no promise beyond these measurements" in price


def test_the_shares_are_those_of_full_knowledge(run: Path) -> None:
    """Who is right for a share q of the images, and knows it, gains 2 (log 2 - H(q))."""
    *_, references, _, _ = in_short(load_run(run))
    before, after = re.search(r"data: (.*)% before, (.*)% after", references).groups()
    excess = [2 * (q * math.log(q) + (1 - q) * math.log(1 - q)) + math.log(4) for q in (0.7, 0.6)]
    assert [float(before), float(after)] == pytest.approx(
        [100 * one / math.log(4) for one in excess], abs=1.5
    )


def test_a_network_that_was_given_is_called_so_and_its_common_members_count(run: Path) -> None:
    parts = ("members", "non_members", "validation", "test", "reference")
    sizes = dict.fromkeys(parts, 1000) | {"common": 250}
    folder = changed(run, search={"dense": "0" * 64}, split_sizes=sizes)
    (whose, *_) = in_short(load_run(folder))
    assert "the network that was given, lenet5, which learnt from 1,250 examples" in whose


def test_report_and_card_begin_with_them(run: Path) -> None:
    record = load_run(run)
    sentences = in_short(record)
    page, text = run_page._values(record), card(record)
    assert page["short"] == sentences
    assert all(f"- {sentence}" in text for sentence in sentences)
    assert text.index(sentences[0]) < text.index("| ")


def test_a_smoke_run_has_none(run: Path) -> None:
    assert in_short(load_run(changed(run, options={"preset": "smoke"}))) == []


def test_a_run_without_a_winner_has_none(
    write_run: Callable[..., Path], make: SimpleNamespace
) -> None:
    assert in_short(load_run(write_run([make.dense(), *make.searched()]))) == []
