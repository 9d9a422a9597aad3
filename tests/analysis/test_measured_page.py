"""The page of a measured network: made of its files alone, doubts first, all text escaped."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.measured_page import PAGE, RESULT, SCORES, write_page
from tests.analysis.test_figures import parsed

SIDE = {"accuracy_se": 0.01, "loss_se": 0.02}


def files(folder: Path, **changes: object) -> None:
    """What `search.measure --out` leaves, of 200 members and 50 non-members."""
    is_member = np.arange(250) < 200
    probability = np.where(is_member, 0.6, 0.4) + np.linspace(-0.2, 0.2, 250)
    found = {
        "source": {"name": "<net>.pt", "dataset": "mine", "model": "", "seed": 0},
        "leakage": {
            "attack_gain": -1.2863,
            "attack_gain_se": 0.01,
            "excess_gain": 0.1,
            "js_divergence": 0.055,
            "js_divergence_se": 0.01,
            "attack_accuracy": 0.61,
            "attack_auc": 0.66,
            "tpr_at_1pct_fpr": 0.05,
            "tpr_at_01pct_fpr": 0.01,
            "strongest_attack": "logistic",
            "attack_gains": {"logistic": -1.2863, "constant": -1.3863},
        },
        "low": 0.08,
        "noun": "images",
        "attack_errors": {"logistic": 0.01, "constant": 0.0},
        "on_members": {"images": 200, "accuracy": 0.99, "loss": 0.05, **SIDE},
        "on_non_members": {"images": 50, "accuracy": 0.9, "loss": 0.4, **SIDE},
        "references": 0,
        "least_visible": 0.096,
        "doubts": [],
        "answer": "The outputs tell members from non-members",
        "notes": ["2 non-members are copies of members"],
        **changes,
    }
    (folder / RESULT).write_text(json.dumps(found))
    table = {"position": np.arange(250), "label": 0, "is_member": is_member}
    pd.DataFrame({**table, "probability": probability}).to_parquet(folder / SCORES)


@pytest.mark.parametrize(
    ("changes", "tone", "headline"),
    [
        ({}, "bad", "The network leaks 0.1000 nats about who was in its training set"),
        ({"low": -0.01}, "good", "No leak is visible with these images and attacks"),
        ({"doubts": ["They do not look trained on"]}, "warn", "Check the lists of images first"),
    ],
)
def test_the_headline_says_what_was_found(tmp_path: Path, changes, tone, headline) -> None:
    files(tmp_path, **changes)
    page = write_page(tmp_path).read_text()
    assert f'<div class="verdict {tone}">\n<h1>{headline}</h1>' in page
    for sentence in changes.get("doubts", []):
        assert page.index(sentence) < page.index("The outputs tell members")


def test_the_page_shows_both_sides_the_gap_every_attack_and_what_was_measured(
    tmp_path: Path,
) -> None:
    files(tmp_path)
    write_page(tmp_path)
    page = (tmp_path / PAGE).read_text()
    for text in ("99.0%", "90.0%", "9.0%", "6.2% to 11.8%", "copies of members", "&lt;net&gt;.pt"):
        assert text in page, text
    assert "<net>" not in page
    assert "http" not in page.replace("http-equiv", "")
    pictures = [part.split("</svg>")[0] for part in page.split("<svg")[1:]]
    texts = [parsed(f"<svg{picture}</svg>") for picture in pictures]
    assert "logistic" in texts[0]
    assert "network: strongest" in texts[1]


def test_rows_are_called_rows(tmp_path: Path) -> None:
    files(tmp_path, noun="rows", low=-0.01)
    page = write_page(tmp_path).read_text()
    assert "No leak is visible with these rows and attacks" in page
    assert "image" not in page.split("</style>")[1]
