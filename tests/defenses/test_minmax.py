"""Min-Max: who moves when, in which direction, on which images; and a run resumed in any phase."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.base.seeding import torch_generator
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.cohort import Cohort
from trainables.data.device import DeviceImages
from trainables.data.registry import DATASETS
from trainables.defenses.minmax import LEARNING_RATE, Adversary
from trainables.models.building import build_model
from trainables.models.membership import NeuralAttack
from trainables.runs.lookup import new_run
from trainables.runs.protocol import Run
from trainables.runs.start import Start

N = (40, 600, 9000, 2000, 300)
BATCH = 16
EVALUATED = ("non_members", "validation", "test")


@pytest.fixture(scope="module")
def cohort(mnist5k_cohort: Cohort) -> Cohort:
    """96 members, 64 images in reserve and as few of the others."""
    sizes = {"members": 96, "reserve": 64, **dict.fromkeys(EVALUATED, 40)}
    parts = {}
    for name, size in sizes.items():
        whole = getattr(mnist5k_cohort, name)  # in order of class: take evenly
        parts[name] = whole[torch.linspace(0, len(whole) - 1, size).long()]
    audited = torch.cat([parts["members"], parts["non_members"]])
    return dataclasses.replace(mnist5k_cohort, **parts, audited=audited)


class WithBatchNorm(nn.Module):
    """A small network whose outputs depend on batch statistics while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=3)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4 * 9 * 9, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(self.conv(images)).relu().flatten(1))
        return logits


def classifier(seed: int = 0) -> nn.Module:
    return build_model("lenet5", n_classes=10, image_shape=(1, 28, 28), seed=seed)


def adversary(
    network: nn.Module, cohort: Cohort, *, gamma: float = 1.0, inner_steps: int = 2, seed: int = 0
) -> Adversary:
    return Adversary(
        network,
        cohort,
        gamma=gamma,
        inner_steps=inner_steps,
        batch_size=BATCH,
        n_classes=10,
        seed=seed,
    )


def some_members(network: nn.Module, cohort: Cohort) -> tuple[Tensor, Tensor]:
    chosen = cohort.members[:BATCH]
    return network(cohort.images.batch(chosen)), cohort.images.labels[chosen]


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def steps_taken(state: dict) -> int:
    """Of f_A, as its optimiser counts them."""
    counts = {int(entry["step"]) for entry in state["optimizer"]["state"].values()}
    return counts.pop() if counts else 0


# --- who moves ------------------------------------------------------------------------------------


def test_the_inner_steps_move_the_attacker_alone(cohort: Cohort) -> None:
    network = classifier()
    beside = adversary(network, cohort)
    before, attacker = values(network), values(beside.attack)
    beside.loss(*some_members(network, cohort))
    assert same(values(network), before)
    assert all(weight.grad is None for weight in network.parameters())
    moved = values(beside.attack)
    assert not any(torch.equal(moved[name], attacker[name]) for name in moved)


def test_the_classifier_s_step_sees_no_gradient_of_the_attacker(cohort: Cohort) -> None:
    network = classifier()
    beside = adversary(network, cohort)
    loss = beside.loss(*some_members(network, cohort))
    gradients = [weight.grad.clone() for weight in beside.attack.parameters()]
    attacker = values(beside.attack)
    loss.backward()
    assert all(weight.grad is not None for weight in network.parameters())
    after = [weight.grad for weight in beside.attack.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(gradients, after, strict=True))
    assert same(values(beside.attack), attacker)


def test_batch_statistics_are_those_of_the_members_it_trains_on(cohort: Cohort) -> None:
    network = WithBatchNorm()
    beside = adversary(network, cohort)
    logits, labels = some_members(network, cohort)
    before = values(network)
    beside.loss(logits, labels).backward()
    assert same(values(network), before)
    assert all(module.training for module in network.modules())


def test_the_attacker_sees_the_classifier_in_evaluation_mode(cohort: Cohort) -> None:
    network = WithBatchNorm()
    seen: list[bool] = []
    network.register_forward_hook(lambda module, *_: seen.append(module.training))
    beside = adversary(network, cohort)
    beside.loss(*some_members(network, cohort))
    assert seen[0]  # the classifier's own batch
    assert seen[1:]
    assert not any(seen[1:])


@pytest.mark.parametrize("inner_steps", [1, 3, 7])
def test_the_attacker_takes_k_steps_for_each_of_the_classifier(
    cohort: Cohort, inner_steps: int
) -> None:
    network = classifier()
    beside = adversary(network, cohort, inner_steps=inner_steps)
    for count in (1, 2):
        beside.loss(*some_members(network, cohort))
        assert steps_taken(beside.state_dict()) == count * inner_steps


# --- what is computed -----------------------------------------------------------------------------


def algorithm_1(network: nn.Module, cohort: Cohort, inner_steps: int, seed: int) -> NeuralAttack:
    """Oracle: lines 3 to 7 one by one, each mini-batch through the classifier by itself."""
    attack = copy.deepcopy(adversary(network, cohort, seed=seed).attack)
    optimizer = torch.optim.Adam(attack.parameters(), lr=LEARNING_RATE)
    generator = torch_generator(seed, "adversary-batches")
    network.eval()
    for _ in range(inner_steps):
        terms = []
        for part in (cohort.members, cohort.reserve):
            chosen = part[torch.randint(len(part), (BATCH,), generator=generator)]
            with torch.no_grad():
                answer = network(cohort.images.batch(chosen)).softmax(1)
            one_hot = functional.one_hot(cohort.images.labels[chosen], 10).float()
            terms.append(attack(answer, one_hot).sigmoid())
        member, other = terms
        optimizer.zero_grad()
        (-(member.log().mean() + (1 - other).log().mean())).backward()
        optimizer.step()
    network.train()
    return attack


@pytest.mark.parametrize("inner_steps", [1, 4])
def test_the_inner_maximisation_is_algorithm_1(cohort: Cohort, inner_steps: int) -> None:
    network = classifier()
    expected = algorithm_1(network, cohort, inner_steps, seed=5)
    beside = adversary(network, cohort, inner_steps=inner_steps, seed=5)
    beside.loss(*some_members(network, cohort))
    for ours, oracle in zip(beside.attack.parameters(), expected.parameters(), strict=True):
        # Adam's first steps are the signs of gradients: those near zero may come out either way
        far = (ours - oracle).abs() > 1e-5
        assert far.double().mean() < 0.01


@pytest.fixture(scope="module")
def memorised(cohort: Cohort) -> dict[str, Tensor]:
    """A classifier that knows its members by heart."""
    run = new_run(trial("none", epochs=15), cohort, start())
    finish(run)
    return values(run.model)


def remembering(memorised: dict[str, Tensor]) -> nn.Module:
    network = classifier()
    network.load_state_dict(memorised)
    return network


@pytest.mark.slow
def test_the_attacker_climbs(cohort: Cohort, memorised: dict[str, Tensor]) -> None:
    network = remembering(memorised)
    beside = adversary(network, cohort, inner_steps=40)

    def gain() -> float:
        terms = []
        for part, sign in ((cohort.members, 1), (cohort.reserve, -1)):
            with torch.no_grad():
                answer = network(cohort.images.batch(part)).softmax(1)
                one_hot = functional.one_hot(cohort.images.labels[part], 10).float()
                terms.append(functional.logsigmoid(sign * beside.attack(answer, one_hot)).mean())
        return float(sum(terms))

    before = gain()
    for _ in range(5):
        beside.loss(*some_members(network, cohort))
    assert gain() > before + 0.05


def exact_loss(attack: nn.Module, gamma: float, logits: Tensor, labels: Tensor) -> Tensor:
    """Oracle in float64: cross-entropy + gamma E log f_A."""
    answer = logits.softmax(1)
    one_hot = functional.one_hot(labels, 10).double()
    own = -answer[torch.arange(len(labels)), labels].log().mean()
    return own + gamma * attack(answer, one_hot).sigmoid().log().mean()


def test_the_gradient_is_that_of_finite_differences(cohort: Cohort) -> None:
    gamma = 4.0
    network = classifier()
    beside = adversary(network, cohort, gamma=gamma, inner_steps=20)
    labels = cohort.images.labels[cohort.members[:4]]
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = beside.loss(logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    attack = copy.deepcopy(beside.attack).double().requires_grad_(False)
    point = logits.detach().double()
    exact = float(exact_loss(attack, gamma, point, labels))
    assert float(loss.detach()) == pytest.approx(exact, abs=1e-5)
    step = 1e-5
    for row in range(4):
        for column in range(10):
            nudge = torch.zeros_like(point)
            nudge[row, column] = step
            ends = [exact_loss(attack, gamma, point + s * nudge, labels) for s in (1, -1)]
            slope = float(ends[0] - ends[1]) / (2 * step)
            assert float(gradient[row, column]) == pytest.approx(slope, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("seed", "gamma"), [(0, 30.0), (1, 100.0), (2, 1000.0), (3, 100.0)])
def test_a_classifier_s_step_under_a_large_gamma_lowers_the_attacker_s_gain(
    cohort: Cohort, memorised: dict[str, Tensor], seed: int, gamma: float
) -> None:
    network = remembering(memorised)
    beside = adversary(network, cohort, gamma=gamma, inner_steps=100, seed=seed)
    chosen = cohort.members[:BATCH]
    labels = cohort.images.labels[chosen]
    one_hot = functional.one_hot(labels, 10).float()

    def gain() -> float:
        with torch.no_grad():
            answer = network(cohort.images.batch(chosen)).softmax(1)
            return float(functional.logsigmoid(beside.attack(answer, one_hot)).mean())

    beside.loss(*some_members(network, cohort)).backward()
    before = gain()
    norm = torch.cat([weight.grad.flatten() for weight in network.parameters()]).norm()
    with torch.no_grad():
        for weight in network.parameters():
            weight -= 0.05 * weight.grad / norm
    assert gain() < before


def test_without_weight_the_loss_is_cross_entropy(cohort: Cohort) -> None:
    network = classifier()
    logits, labels = some_members(network, cohort)
    loss = adversary(network, cohort, gamma=0.0).loss(logits, labels)
    expected = functional.cross_entropy(logits, labels)
    torch.testing.assert_close(loss, expected)


# --- on which images ------------------------------------------------------------------------------


def with_noise_instead_of(cohort: Cohort, parts: tuple[str, ...]) -> Cohort:
    """The cohort with every image of `parts` replaced by random pixels and a random label."""
    pixels, labels = cohort.images.pixels.clone(), cohort.images.labels.clone()
    generator = torch.Generator().manual_seed(0)
    for part in parts:
        where = getattr(cohort, part)
        shape = (len(where), *pixels.shape[1:])
        pixels[where] = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        labels[where] = torch.randint(10, (len(where),), generator=generator)
    spec = DATASETS["mnist5k"]
    return dataclasses.replace(cohort, images=DeviceImages(pixels, labels, spec.mean, spec.std))


def trial(defense: str, seed: int = 3, epochs: int = 3) -> TrialConfig:
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=seed,
        dataset="mnist5k",
        model="lenet5",
        n=N,
        defense=defense,
        parameters={"gamma": 2.0, "inner_steps": 2.0},
        training=TrainingConfig(epochs=epochs, batch_size=BATCH, learning_rate=2e-3),
        admm=ADMMConfig(iterations=2, epochs_per_iteration=2, rho=1e-2, retrain_epochs=2),
        attack=AttackConfig(),
    )


def start() -> Start:
    return Start(weights=classifier(1).state_dict(), seed=1)


def finish(run: Run) -> list:
    records = []
    while not run.finished:
        records.append(run.advance())
    return records


@pytest.mark.slow
@pytest.mark.parametrize("defense", ["minmax", "pruning+minmax"])
def test_no_image_that_anything_is_measured_on_changes_the_model(
    cohort: Cohort, defense: str
) -> None:
    models = []
    for seen in (
        cohort,
        with_noise_instead_of(cohort, EVALUATED),
        with_noise_instead_of(cohort, ("reserve",)),
    ):
        run = new_run(trial(defense), seen, start())
        finish(run)
        models.append(values(run.model))
    clean, poisoned, other_reserve = models
    assert same(clean, poisoned)
    assert not same(clean, other_reserve)


# --- in a run -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defense", "stop_after"),
    [("minmax", 1), ("minmax", 2), *(("pruning+minmax", epoch) for epoch in range(1, 6))],
)
def test_a_run_resumed_in_any_phase_ends_with_the_same_numbers(
    cohort: Cohort, defense: str, stop_after: int, tmp_path: Path
) -> None:
    whole = new_run(trial(defense), cohort, start())
    expected = finish(whole)
    first = new_run(trial(defense), cohort, start())
    records = [first.advance() for _ in range(stop_after)]
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = new_run(trial(defense), cohort, start())
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert records + finish(second) == expected
    assert same(values(second.model), values(whole.model))
    one, two = (run.state_dict()["adversary"] for run in (whole, second))
    assert same(one["attack"], two["attack"])


@pytest.mark.slow
def test_the_attacker_trains_through_admm_and_retraining_and_n_is_kept(cohort: Cohort) -> None:
    run = new_run(trial("pruning+minmax"), cohort, start())
    counts, phases = [], []
    while not run.finished:
        phases.append(run.advance().phase)
        counts.append(steps_taken(run.state_dict()["adversary"]))
    each = 2 * -(-len(cohort.members) // BATCH)  # two inner steps for each batch of members
    assert counts == [each * (epoch + 1) for epoch in range(6)]
    assert phases == ["admm"] * 4 + ["retrain"] * 2
    kept = [int(mask.sum()) for mask in run.masks.values()]
    nonzero = [
        int(torch.count_nonzero(run.model.get_parameter(f"{name}.weight"))) for name in run.masks
    ]
    assert tuple(kept) == tuple(nonzero) == N


@pytest.mark.slow
@pytest.mark.parametrize("defense", ["minmax", "pruning+minmax"])
def test_the_seed_decides_all(cohort: Cohort, defense: str) -> None:
    models = []
    for seed in (3, 3, 4):
        run = new_run(trial(defense, seed), cohort, start())
        finish(run)
        models.append(values(run.model))
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


# --- what is recorded -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("defense", ["minmax", "pruning+minmax"])
def test_the_loss_of_an_epoch_is_the_cross_entropy_without_the_attacker_s_term(
    cohort: Cohort, defense: str
) -> None:
    """A weight of a thousand would make it negative by hundreds of nats."""
    heavy = dataclasses.replace(trial(defense), parameters={"gamma": 1000.0, "inner_steps": 1.0})
    run = new_run(heavy, cohort, start())
    assert run.advance().loss > 0
    one_step = dataclasses.replace(
        heavy, training=dataclasses.replace(heavy.training, batch_size=len(cohort.members))
    )
    run = new_run(one_step, cohort, start())
    with torch.no_grad():
        logits = run.model(cohort.images.batch(cohort.members))
        before = functional.cross_entropy(logits, cohort.images.labels[cohort.members])
    assert run.advance().loss == pytest.approx(float(before), rel=1e-4)


def test_the_attacker_s_accuracy_is_balanced_and_of_the_answers_in_evaluation_mode(
    cohort: Cohort, memorised: dict[str, Tensor]
) -> None:
    network = remembering(memorised)
    beside = adversary(network, cohort, inner_steps=300)
    beside.loss(*some_members(network, cohort))
    right = []
    for part, is_member in ((cohort.members, True), (cohort.reserve, False)):
        for index in part:  # oracle: one image at a time
            with torch.no_grad():
                answer = network.eval()(cohort.images.batch(index[None])).softmax(1)
                one_hot = functional.one_hot(cohort.images.labels[index[None]], 10).float()
                guess = float(beside.attack(answer, one_hot).sigmoid()) > 0.5
            right.append((is_member, guess == is_member))
    halves = [[hit for side, hit in right if side == which] for which in (True, False)]
    expected = sum(sum(half) / len(half) for half in halves) / 2
    assert beside.accuracy() == pytest.approx(expected, abs=1e-9)
    assert expected > 0.55
    with_norm = WithBatchNorm()
    before = values(with_norm)
    adversary(with_norm, cohort).accuracy()
    assert same(values(with_norm), before)


@pytest.mark.parametrize("defense", ["minmax", "pruning+minmax"])
def test_every_epoch_says_how_well_the_inner_attacker_does(cohort: Cohort, defense: str) -> None:
    records = finish(new_run(trial(defense), cohort, start()))
    assert all(0 <= record.attack_accuracy <= 1 for record in records)
    assert new_run(trial("none"), cohort, start()).advance().attack_accuracy is None


def test_plain_pruning_keeps_the_gap_attack_at_the_ends_of_its_stages(cohort: Cohort) -> None:
    records = finish(new_run(trial("pruning"), cohort, start()))
    said = [record.attack_accuracy is not None for record in records]
    assert said == [False, True, False, True, False, True]
