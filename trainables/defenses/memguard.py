"""MemGuard (Jia et al. 2019): noise on the released confidences that leaves an attacker at 0.5.

Notation: z (n, k) logits of the network, s = softmax(z), g the defender's own attacker, e noise on
z, d = ||softmax(z + e) - s||_1 the distortion. The label, argmax z, never changes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.base.seeding import seeded_torch, torch_generator

STEP = 0.1
"""Length of one step on e."""

STEPS = 300
"""Steps for each distortion weight, as in the paper; undoing a margin of 15 takes 150."""

LABEL_WEIGHT = 10.0
"""c2: weight of the term that keeps the label during the search."""

DISTORTION_WEIGHTS = (0.01, 0.1, 1.0, 10.0)
"""c3, from small to large, until one no longer fools g.

The paper begins at 0.1.  Where g is nearly undecided, the distortion is then steeper than g: with a
LeNet-5 of 6 epochs 76% of 2,000 images got no noise, and 0.1% when beginning at 0.01.
"""

EPOCHS = 60
BATCH = 128
LEARNING_RATE = 1e-3


class Attacker(nn.Module):
    """g: a confidence vector, largest first, to a logit of membership (their section 4.2)."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_classes, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 1),
        )

    def forward(self, confidences: Tensor) -> Tensor:
        """(n, k) -> (n,)."""
        scores: Tensor = self.layers(confidences.sort(dim=1, descending=True).values).squeeze(1)
        return scores


def fit_attacker(members: Tensor, others: Tensor, seed: int) -> Attacker:
    """Train g on confidences (m, k) of members and (r, k) of others; each side weighs one half."""
    with seeded_torch(seed, "memguard"):
        attacker = Attacker(members.shape[1])
    attacker.to(members.device)
    rows = torch.cat([members, others])
    is_member = torch.cat([torch.ones(len(members)), torch.zeros(len(others))]).to(rows.device)
    weight = torch.where(is_member > 0, 0.5 / len(members), 0.5 / len(others)) * len(rows)
    optimizer = torch.optim.Adam(attacker.parameters(), lr=LEARNING_RATE)
    generator = torch_generator(seed, "memguard-batches")
    for _ in range(EPOCHS):
        for part in torch.split(torch.randperm(len(rows), generator=generator), BATCH):
            batch = part.to(rows.device)
            loss = functional.binary_cross_entropy_with_logits(
                attacker(rows[batch]), is_member[batch], weight=weight[batch]
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return attacker.requires_grad_(False).eval()


def fooling_noise(attacker: Attacker, logits: Tensor) -> Tensor:
    """Noise e (n, k) that moves g across 0.5 with little distortion; 0 where none does.

    Phase I of the paper (their Algorithm 1), all images at once; the label stays.
    """
    best = torch.zeros_like(logits)
    pending = torch.arange(len(logits), device=logits.device)
    for weight in DISTORTION_WEIGHTS:
        found, fooled = _search(attacker, logits[pending], weight)
        pending = pending[fooled]
        best[pending] = found[fooled]
    return best


def _search(attacker: Attacker, logits: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Noise (n, k) at the end of each search, and (n,) whether it fools g."""
    before = attacker(logits.softmax(1)).sign()
    noise = torch.zeros_like(logits)
    active = torch.arange(len(logits), device=logits.device)
    for _ in range(STEPS):
        if not len(active):
            break
        rows = logits[active]
        moved = noise[active] - STEP * _uphill(attacker, rows, noise[active], weight)
        noise[active] = moved
        kept = (rows + moved).argmax(1) == rows.argmax(1)
        fooled = attacker((rows + moved).softmax(1)).sign() != before[active]
        active = active[~(kept & fooled)]
    settled = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    settled[active] = False
    return noise, settled


def _uphill(attacker: Attacker, logits: Tensor, noise: Tensor, weight: float) -> Tensor:
    """(n, k) unit gradient of |h(softmax(z + e))| + c2 relu(max of the others - label's) + c3 d."""
    moved = noise.clone().requires_grad_()
    noisy = logits + moved
    label = logits.argmax(1, keepdim=True)
    others = noisy.scatter(1, label, -math.inf).amax(1)
    lost = functional.relu(others - noisy.gather(1, label)[:, 0])
    distortion = (noisy.softmax(1) - logits.softmax(1)).abs().sum(1)
    loss = attacker(noisy.softmax(1)).abs() + LABEL_WEIGHT * lost + weight * distortion
    (gradient,) = torch.autograd.grad(loss.sum(), moved)
    unit: Tensor = gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit


def released(attacker: Attacker, logits: Tensor, distortion: float, uniform: Tensor) -> Tensor:
    """Log confidences (n, k) as released, with the noise added or not (Phase II).

    distortion: the expected L1 distance per image that is allowed.  uniform: (n,) in [0, 1), one
    fixed number per image, so that repeated queries reveal nothing new.
    """
    plain = logits.log_softmax(1)
    noisy = (logits + fooling_noise(attacker, logits)).log_softmax(1)
    length = (noisy.exp() - plain.exp()).abs().sum(1)
    before, after = (attacker(rows.exp()).sigmoid() - 0.5 for rows in (plain, noisy))
    chance = torch.where(
        after.abs() < before.abs(), (distortion / length.clamp_min(1e-12)).clamp_max(1.0), 0.0
    )
    return torch.where((uniform < chance)[:, None], noisy, plain)
