"""Rows like those of a shop go through a whole run that nowhere calls them images."""

import json
import re
from pathlib import Path

import pytest

from tests.own_rows import PURCHASE
from tests.system.program import Program, rows

pytestmark = [pytest.mark.slow, pytest.mark.system]

COMMAND = "--plugin shop.py --dataset purchase --preset smoke --audit rmia --out run"


def test_a_run_on_rows_speaks_of_rows(program: Program, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PURCHASE)
    done = program(*COMMAND.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    (best,) = rows(run, "confirm").to_dict("records")
    assert best["nonzero"] == sum(best["n"])
    assert (run / "audit" / "scores.parquet").is_file()
    config = json.loads((run / "config.json").read_text())
    assert config["noun"] == "rows"
    page = re.sub(
        "<(style|script).*?</\\1>", "", (run / "report.html").read_text(), flags=re.DOTALL
    )
    card = (run / "winner" / "card.md").read_text()
    for said in (done.stdout, done.stderr, page, card, " ".join(config["notes"])):
        assert not re.search("image|pixel", said, re.IGNORECASE)
    assert "half of the audited rows" in page
    assert "on these rows" in card
    assert "Rows reach the network as the data set gives them" in done.stderr
