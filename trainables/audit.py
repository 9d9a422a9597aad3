"""What membership attacks gain from the outputs of any classifier: no Ray, no training, no run.

Five lines from Python, in a notebook too:

>>> generator = np.random.default_rng(0)
>>> labels, is_member = np.arange(500) % 4, np.arange(500) < 400
>>> logits = generator.normal(size=(500, 4)) + 2 * np.eye(4)[labels] * is_member[:, None]
>>> found = audit(logits, labels, is_member)
>>> bool(found.low > 0), found.members, found.non_members
(True, 400, 100)
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.fit_to_members import Fit, fit_to_members
from trainables.attacks.gain import NO_LEAK, attack_gain, least_visible, reach
from trainables.attacks.strongest import Leakage, attacked, leakage
from trainables.base.errors import InvalidInput
from trainables.config import AttackConfig
from trainables.data.split import Indices
from trainables.given_outputs import as_bools, as_labels, as_logits

FEWEST = 50
"""The fewest members, and non-members, from whose outputs anything is said."""

NEURAL_ROWS, FEWEST_EPOCHS = 40_000, 4
"""The neural attack reads about so many rows a fold, in a run's epochs or fewer, but not fewer than
these.  Of 10,000 images with a planted leak it gained 0.027 nats in 4 epochs and 0.029 in 6 or 12,
where the logistic attack gained 0.050, and took 10, 14 and 21 s of one core."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """How a network answers on the members, or on the non-members."""

    images: int
    accuracy: float
    accuracy_se: float
    loss: float
    """Mean cross-entropy in nats."""

    loss_se: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """What attacks gained from a classifier's outputs; gains in nats, rates as fractions."""

    leakage: Leakage
    """The strongest attack and every single one."""

    low: float
    high: float
    """95% interval of `leakage.excess_gain`, over images: this very network, no other training."""

    attack_errors: dict[str, float]
    """Attack -> the standard error of its gain."""

    fit: Fit
    """Whether the members look trained on."""

    on_members: Side
    on_non_members: Side
    references: int
    """Reference models that the attacks learned from."""

    probability: NDArray[np.float64] = dataclasses.field(compare=False, repr=False)
    """(n,) held-out probability of membership of each image, by the attack chosen for its fold."""

    @property
    def members(self) -> int:
        """How many members were attacked; they and the non-members count alike."""
        return self.on_members.images

    @property
    def non_members(self) -> int:
        """How many non-members were attacked."""
        return self.on_non_members.images

    @property
    def excess_gains(self) -> dict[str, float]:
        """Attack -> its own excess gain."""
        return {name: gain - NO_LEAK for name, gain in self.leakage.attack_gains.items()}

    @property
    def leaks(self) -> bool:
        """Whether the gain is distinguishable from none."""
        return self.low > 0

    @property
    def least_visible(self) -> float:
        """The least excess gain that so many images could tell from none."""
        return least_visible(self.members, self.non_members)


def audit(
    outputs: ArrayLike,
    labels: ArrayLike,
    is_member: ArrayLike,
    references: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    copies: Indices | None = None,
    seed: int = 0,
    config: AttackConfig | None = None,
) -> Audited:
    """Attack a classifier by its outputs on images whose membership is known.

    outputs: (n, k) logits, or probabilities.  labels: (n,) in [0, k).  is_member: (n,) bool, or 0
    and 1, of which there may be any number of each: both sides count alike.  references: outputs
    (r, n, k) of models like this one on the same images, and (r, n) which of them each was trained
    on; each image inside one and outside another.  Without them the leak is understated.  copies:
    (n,) equal where two images are copies of one, so that no attack sees one and guesses the other.
    config: how the attacks are fitted [as in a run, the neural one more briefly on many images].
    Raises InvalidInput for anything that cannot be audited.
    """
    table = as_logits(outputs, "the outputs", 2)
    answers = as_labels(labels, *table.shape)
    inside = as_bools(is_member, (len(table),), "is_member")
    require_enough(int(inside.sum()), int((~inside).sum()))
    lessons = None if references is None else _lessons(references, table.shape)
    try:
        evidence = Evidence(table, answers, inside, lessons, copies)
        attack = attacked(evidence, config or _auditing(len(table)), seed)
        found = leakage(attack, evidence)
    except ValueError as error:
        raise InvalidInput(f"these outputs cannot be audited: {error}") from error
    errors = {name: attack_gain(p, inside) for name, p in attack.probabilities.items()}
    return Audited(
        leakage=found,
        low=found.excess_gain - reach(found.attack_gain_se),
        high=found.excess_gain + reach(found.attack_gain_se),
        attack_errors={name: gain.standard_error for name, gain in errors.items()},
        fit=fit_to_members(table, answers, inside),
        on_members=_side(table[inside], answers[inside]),
        on_non_members=_side(table[~inside], answers[~inside]),
        references=0 if lessons is None else len(lessons.logits),
        probability=attack.selected,
    )


def _auditing(images: int) -> AttackConfig:
    usual = AttackConfig()
    epochs = max(FEWEST_EPOCHS, min(usual.neural_epochs, NEURAL_ROWS // images))
    return dataclasses.replace(usual, neural_epochs=epochs)


def require_enough(members: int, non_members: int) -> None:
    """Raise InvalidInput where so few images allow no interval that says anything."""
    if min(members, non_members) >= FEWEST:
        return
    width = least_visible(members, non_members)
    allowed = (
        f", which would allow no interval narrower than {-NO_LEAK:.3f} nats, the full leak"
        if width > -NO_LEAK / 2
        else f": a leak of {width:.3f} nats would have an interval of 0 to {2 * width:.3f}"
    )
    raise InvalidInput(
        f"{members:,} members and {non_members:,} non-members are too few{allowed}; give at least "
        f"{FEWEST} of each"
    )


def _side(table: NDArray[np.float64], labels: NDArray[np.int64]) -> Side:
    count, rows = len(labels), np.arange(len(labels))
    right = table.argmax(axis=1) == labels
    losses = -log_softmax(table, axis=1)[rows, labels]
    return Side(
        images=count,
        accuracy=float(right.mean()),
        accuracy_se=float(right.std() / np.sqrt(count)),
        loss=float(losses.mean()),
        loss_se=float(losses.std() / np.sqrt(count)),
    )


def _lessons(references: tuple[ArrayLike, ArrayLike], shape: tuple[int, ...]) -> ReferenceEvidence:
    outputs, trained_on = references
    table = as_logits(outputs, "the references' outputs", 3)
    if table.shape[1:] != shape:
        raise InvalidInput(
            f"the references' outputs have the shape {table.shape}: give one table {shape} for each"
        )
    inside = as_bools(trained_on, table.shape[:2], "the references' membership")
    try:
        return ReferenceEvidence(table, inside)
    except ValueError as error:
        raise InvalidInput(f"the references cannot be used: {error}") from error
