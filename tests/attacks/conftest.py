"""Evidence whose leak is known because it was planted."""

import numpy as np
import pytest

from trainables.attacks.evidence import Evidence, ReferenceEvidence


def _planted(*, n=400, k=4, leak=0.0, seed=0, references=0):
    """The true label's logit of every image that a model trained on is raised by `leak`.

    References come in complementary pairs, so every image is inside half of them.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(k, size=n)
    is_member = generator.permutation(np.arange(n) < n // 2)
    images = generator.normal(size=(n, k)) * 2 + np.eye(k)[labels]

    def outputs(inside):
        noise = generator.normal(size=(n, k)) * 0.5
        return images + noise + leak * inside[:, None] * np.eye(k)[labels]

    logits = outputs(is_member)
    if not references:
        return Evidence(logits, labels, is_member)
    halves = [generator.permutation(np.arange(n) < n // 2) for _ in range(references // 2)]
    inside = np.array([side for half in halves for side in (half, ~half)])
    reference = ReferenceEvidence(np.stack([outputs(each) for each in inside]), inside)
    return Evidence(logits, labels, is_member, reference)


@pytest.fixture(scope="session")
def planted():
    return _planted
