"""The paper's f_A has the published size and learns."""

import numpy as np
import pytest
import torch

from trainables.attacks.folds import stratified_folds
from trainables.attacks.gain import NO_LEAK, attack_gain
from trainables.attacks.neural import NeuralAttack, neural_attack

CPU = torch.device("cpu")


def test_it_has_the_published_parameters_at_ten_classes():
    assert sum(p.numel() for p in NeuralAttack(10).parameters()) == 652_801


def test_every_parameter_takes_part():
    model = NeuralAttack(4)
    labels = torch.eye(4)[torch.arange(64) % 4]
    model(torch.rand(64, 4), labels).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_it_finds_a_planted_leak(planted):
    evidence = planted(n=1200, leak=4.0)
    folds = stratified_folds(evidence, 2, np.random.default_rng(0))
    gain = attack_gain(
        neural_attack(evidence, folds, epochs=8, seed=0, device=CPU), evidence.is_member
    )
    assert gain.value > NO_LEAK + 0.1


@pytest.mark.parametrize("seed", range(2))
def test_it_finds_next_to_nothing_in_outputs_without_leak(planted, seed):
    evidence = planted(n=800, seed=seed)
    folds = stratified_folds(evidence, 2, np.random.default_rng(0))
    p = neural_attack(evidence, folds, epochs=8, seed=seed, device=CPU)
    gain = attack_gain(p, evidence.is_member)
    assert -0.1 < gain.value - NO_LEAK < max(3 * gain.standard_error, 0.01)


def test_the_seed_decides_it(planted):
    evidence = planted(n=200, leak=2.0)
    folds = np.arange(200) % 2
    one, other = (
        neural_attack(evidence, folds, epochs=2, seed=seed, device=CPU) for seed in (0, 1)
    )
    assert (one != other).any()
