"""MemGuard (Jia et al. 2019): noise on the released confidences that leaves an attacker at 0.5.

Notation: z (n, k) logits of the network, s = softmax(z), g the defender's own attacker, e noise on
z, d = ||softmax(z + e) - s||_1 the distortion. The label, argmax z, never changes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.seeding import seeded_torch, torch_generator

STEP = 0.1
"""Length of one step on e."""

STEPS = 60
"""Per weight of the distortion; nearly all images are settled after 30."""

LABEL_WEIGHT = 10.0
"""c2: keeps the label while the search is under way."""

DISTORTION_WEIGHTS = (0.1, 1.0, 10.0)
"""c3, tried from small to large: the last one that still fools g gives the least distortion."""

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
    """G on confidences (m, k) of members and (r, k) of images outside, each class counted half."""
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
    """E (n, k) that brings g to the other side of 0.5 with little distortion; 0 where none does.

    Phase I of the paper (their Algorithm 1), all images at once.
    """
    best = torch.zeros_like(logits)
    for weight in DISTORTION_WEIGHTS:
        found, fooled = _search(attacker, logits, weight)
        best = torch.where(fooled[:, None], found, best)
    return best


def _search(attacker: Attacker, logits: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    confidences = logits.softmax(1)
    label = logits.argmax(1, keepdim=True)
    before = attacker(confidences).sign()
    noise = torch.zeros_like(logits)
    done = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    for _ in range(STEPS):
        moved = noise.clone().requires_grad_()
        loss = _loss(attacker, logits, moved, label, confidences, weight)
        (gradient,) = torch.autograd.grad(loss.sum(), moved)
        length = gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)
        step = torch.where(done[:, None], 0.0, STEP / length * gradient)
        noise = noise - step
        noisy = logits + noise
        kept = noisy.argmax(1, keepdim=True).eq(label)[:, 0]
        done = done | (kept & (attacker(noisy.softmax(1)).sign() != before))
    return noise, done


def _loss(
    attacker: Attacker,
    logits: Tensor,
    noise: Tensor,
    label: Tensor,
    confidences: Tensor,
    weight: float,
) -> Tensor:
    """(n,) |h(softmax(z + e))| + c2 relu(max of the others - the label's) + c3 d."""
    noisy = logits + noise
    others = noisy.scatter(1, label, -math.inf).amax(1)
    lost = functional.relu(others - noisy.gather(1, label)[:, 0])
    distortion = (noisy.softmax(1) - confidences).abs().sum(1)
    fooled: Tensor = attacker(noisy.softmax(1)).abs()
    return fooled + LABEL_WEIGHT * lost + weight * distortion


def released(attacker: Attacker, logits: Tensor, distortion: float, uniform: Tensor) -> Tensor:
    """Logits (n, k) with the noise added or not (Phase II).

    distortion: the expected L1 distance per image that is allowed.  uniform: (n,) in [0, 1), one
    fixed number per image, so that asking twice tells nothing new.
    """
    noise = fooling_noise(attacker, logits)
    confidences, noisy = logits.softmax(1), (logits + noise).softmax(1)
    length = (noisy - confidences).abs().sum(1)
    plain = (attacker(confidences).sigmoid() - 0.5).abs()
    better = (attacker(noisy).sigmoid() - 0.5).abs() < plain
    chance = torch.where(better, (distortion / length.clamp_min(1e-12)).clamp_max(1.0), 0.0)
    added = (uniform < chance)[:, None]
    return torch.where(added, logits + noise, logits)
