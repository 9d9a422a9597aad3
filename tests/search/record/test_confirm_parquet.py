"""What the cross-audit found is on disk as it was, in the schema that readers know."""

import dataclasses

import numpy as np
import pandas as pd

from analysis.statistics.crossed_models import CrossedModels
from search.record.confirm_parquet import has_terms, remove_terms, write_correct, write_terms
from trainables.attacks.cross_audit import CrossAudit
from trainables.attacks.gain import gain_terms
from trainables.records import CORRECT_SCHEMA, TERM_SCHEMA, read_part

IMAGES = np.array([7, 2, 40, 11, 5, 9])
LABELS = np.array([0, 1, 0, 1, 0, 1])
INSIDE = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]])
PROBABILITY = np.random.default_rng(0).uniform(0.1, 0.9, INSIDE.shape)
AUDIT = CrossAudit(PROBABILITY, gain_terms(PROBABILITY, INSIDE == 1), INSIDE == 1)
RIGHT = {"validation": np.eye(4, 3) > 0, "test": np.eye(4, 2) > 0}
PARTS = {"validation": np.array([1, 3, 4]), "test": np.array([6, 8])}


def test_a_vector_that_was_written_is_read_back_whole(tmp_path):
    write_correct(tmp_path, "confirm-0003", RIGHT, PARTS)
    assert not has_terms(tmp_path, "confirm-0003", 4)
    write_terms(tmp_path, "confirm-0003", AUDIT, IMAGES, LABELS)
    assert has_terms(tmp_path, "confirm-0003", 4)
    assert not has_terms(tmp_path, "confirm-0003", 6), "a resume adds two"
    schemas = {"terms.parquet": TERM_SCHEMA, "correct.parquet": CORRECT_SCHEMA}
    terms, correct = (
        read_part((tmp_path / name / "confirm-0003.parquet").read_bytes(), schema)
        for name, schema in schemas.items()
    )
    found = CrossedModels.of(terms, correct)
    np.testing.assert_array_equal(found.terms.term, AUDIT.term)
    np.testing.assert_array_equal(found.terms.trained_on, AUDIT.trained_on)
    assert found.terms.copies is None
    for part, right in RIGHT.items():
        np.testing.assert_array_equal(found.right[part], right)


def test_a_vector_whose_terms_are_torn_or_removed_is_written_again(tmp_path):
    write_correct(tmp_path, "confirm-0003", RIGHT, PARTS)
    write_terms(tmp_path, "confirm-0003", AUDIT, IMAGES, LABELS)
    part = tmp_path / "terms.parquet" / "confirm-0003.parquet"
    part.write_bytes(part.read_bytes()[:-8])
    assert not has_terms(tmp_path, "confirm-0003", 4)
    for _ in range(2):
        remove_terms(tmp_path, "confirm-0003")
        assert not part.exists()


def test_pandas_alone_reads_the_gain_and_who_was_inside(tmp_path):
    write_terms(tmp_path, "baseline-0000", AUDIT, IMAGES, LABELS)
    terms = pd.read_parquet(tmp_path / "terms.parquet")
    assert list(terms.columns) == TERM_SCHEMA.names
    per_model = terms.pivot_table("term", "half", "inside").sum(axis=1)
    expected = [
        AUDIT.term[model][INSIDE[model] == 1].mean() + AUDIT.term[model][INSIDE[model] == 0].mean()
        for model in range(4)
    ]
    np.testing.assert_allclose(per_model, expected)
    image = terms[(terms["image"] == 40) & (terms["half"] == 2)].iloc[0]
    assert image["inside"]
    assert image["label"] == 0
    assert image["copy_of"] == 40
    assert image["probability"] == PROBABILITY[2, 2]


def test_copies_of_an_image_name_the_first(tmp_path):
    copies = np.array([7, 7, 40, 11, 5, 9])
    write_terms(tmp_path, "v", dataclasses.replace(AUDIT, copies=copies), IMAGES, LABELS)
    terms = pd.read_parquet(tmp_path / "terms.parquet")
    assert terms.loc[terms["image"] == 2, "copy_of"].eq(7).all()
