"""The cross-audit of one kind of models: each is the target once, the others are its references.

A confirmed vector, and the dense network, has one model per half of the audited images; the first
is the one that ships.  Every term is kept (`search/record/confirm_parquet.py`), so that any
difference between two vectors can be computed in pairs, image by image.
"""

import numpy as np
from ray import tune

from search.context import Context
from search.record.confirm_parquet import has_terms, remove_terms, write_correct, write_terms
from search.tune.kept import kept_correct, kept_digest
from trainables.attacks.cross_audit import (
    FEWEST_FOLDS,
    CrossAudit,
    CrossConfidence,
    cross_audit,
    image_folds,
)
from trainables.base.seeding import numpy_generator
from trainables.data.cohort import copies_of_audited
from trainables.data.split import Indices


def keep_cross_audit(context: Context, vector: str, models: list[tune.Result]) -> None:
    """Audit the models of a vector, one per half in order, and write what was found.

    vector: the trial_id of its row in trials.parquet.  Nothing is done where a killed program had
    written it all.
    """
    if has_terms(context.folder.confirm, vector, len(models)):
        return
    split = context.inputs.split
    try:
        found = found_by_cross_audit(context, models, context.halves[context.config.halves_each])
    except ValueError as error:  # logits that are not finite, too few images for the folds
        context.say(f"No cross-audit of {vector}: {error}")
        remove_terms(context.folder.confirm, vector)  # of fewer models
        return
    audited, labels = _audited(context)
    parts = {"validation": split.validation, "test": split.test, "audited": audited}
    right = [kept_correct(model) for model in models]
    correct = {part: np.stack([one[part] for one in right]) for part in right[0]}
    remove_terms(context.folder.confirm, vector)  # they are not of these models
    write_correct(context.folder.confirm, vector, correct, parts)
    write_terms(context.folder.confirm, vector, found, audited, labels)


def found_by_cross_audit(
    context: Context, models: list[tune.Result], halves: np.ndarray
) -> CrossAudit:
    """Audit models that trained on these halves, (models, |D| + |D'|) bool, in their order.

    Raises ValueError for outputs or numbers of images that cannot be audited.
    """
    _, labels = _audited(context)
    copies = copies_of_audited(context.inputs.split)
    confidence = np.stack([kept_digest(model).typical_confidence for model in models])
    evidence = CrossConfidence(
        confidence=confidence, labels=labels, trained_on=halves, copies=copies
    )
    count = max(FEWEST_FOLDS, context.config.attack.folds)
    generator = numpy_generator(context.config.seed, "cross-audit-folds")
    return cross_audit(evidence, image_folds(labels, count, generator, copies))


def _audited(context: Context) -> tuple[Indices, Indices]:
    """The audited images, D then D', and their labels."""
    split = context.inputs.split
    audited: Indices = np.concatenate([split.members, split.non_members])
    labels: Indices = context.inputs.images.labels[audited]
    return audited, labels
