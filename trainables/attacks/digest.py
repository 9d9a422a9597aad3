"""What attacks use of a reference model: two hundred bytes an image, however many classes.

No attack reads all k logits of a reference: `adaptive` and `reference` look at the shared features,
SAMIA at the ten likeliest classes, LiRA and RMIA at one number.  A digest holds these, computed as
they would be from the logits, so that every score is the same, bit for bit.  Of 100,000 images of
1,000 classes it takes 23 MB, the logits 400 MB.
"""

import dataclasses
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.evidence import Digest, DigestedReferences, Evidence
from trainables.attacks.features import log_own, scaled_confidence, shared_features, tempered
from trainables.attacks.tokens import ranked_tokens

ROWS = 8192
"""Images that are reduced at once: the float64 intermediates of all would be a dozen times as
large as their logits."""


def digest_of(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Digest:
    """Reduce one model's logits (n, k); rows that are not finite become features that are not.

    labels: (n,) in [0, k).
    """
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        logits = np.where(finite[:, None], logits, 0)
    typical = tempered(logits, labels)
    parts = [slice(first, first + ROWS) for first in range(0, len(labels), ROWS)]
    features = np.concatenate([shared_features(typical[part], labels[part]) for part in parts])
    features[~finite] = np.nan
    return Digest(
        features=features,
        tokens=np.concatenate([ranked_tokens(typical[part], labels[part]) for part in parts]),
        confidence=np.concatenate(
            [scaled_confidence(logits[part], labels[part]) for part in parts]
        ),
        log_own=np.concatenate([log_own(logits[part], labels[part]) for part in parts]),
    )


def stacked(digests: list[Digest]) -> Digest:
    """(r, n, ...) from r models' (n, ...)."""
    return Digest(
        **{
            field.name: np.stack([getattr(one, field.name) for one in digests])
            for field in dataclasses.fields(Digest)
        }
    )


def digested_references(evidence: Evidence) -> DigestedReferences | None:
    """The references of the evidence, reduced here if they came with their logits."""
    reference = evidence.reference
    if reference is None or isinstance(reference, DigestedReferences):
        return reference
    digests = [digest_of(logits, evidence.labels) for logits in reference.logits]
    return DigestedReferences(stacked(digests), reference.trained_on)


def digested(evidence: Evidence) -> Evidence:
    """The same evidence; several attacks on it reduce its references once."""
    return dataclasses.replace(evidence, reference=digested_references(evidence))


def save_digest(digest: Digest, path: Path) -> None:
    """Write the digest as .npz."""
    np.savez(path, **vars(digest))


def read_digest(file: Path | IO[bytes]) -> Digest:
    """Read what `save_digest` wrote."""
    with np.load(file, allow_pickle=False) as arrays:
        return Digest(**arrays)
