"""What a run makes on a GPU is what it makes on the CPU: counts, outputs, resumes, attacks.

Digits of scikit-learn at MNIST's size where something is learned, random pixels where not.
"""

import copy
import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from tests import networks
from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.strongest import strongest_attack
from trainables.base.seeding import torch_generator
from trainables.config import ADMMConfig, AttackConfig, TrainingConfig, TrialConfig
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort, reference_halves
from trainables.data.images import Images
from trainables.data.registry import DATASETS
from trainables.data.split import five_way_split
from trainables.defenses.registry import DEFENSES
from trainables.measure import Answers, evidence_of, measure_model, released_logits
from trainables.models.building import build_model, layer_sizes
from trainables.models.prunable import prunable_layers
from trainables.models.registry import MODELS
from trainables.models.weights import load_weights, read_weights, save_weights
from trainables.pruning.masks import Masks
from trainables.pruning.projection import keep_largest, largest_mask
from trainables.records import NETWORKS, NEURAL, EpochRecord
from trainables.runs.dense import DenseRun
from trainables.runs.lookup import new_run
from trainables.runs.protocol import Run
from trainables.runs.pruning import PruningRun
from trainables.runs.start import Start
from trainables.training import predict

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,  # a real training
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a CUDA GPU; torch finds none here"
    ),
]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
IN_TRAINING = torch.bfloat16
"""What the networks compute in while they train on CUDA."""

N = (60, 600, 6000, 1500, 300)
RANDOM_IMAGES = 900
"""Of CIFAR-10's shape; 300 are members."""

Weights = dict[str, Tensor]


def digits() -> Images:
    """1,797 real digits, each pixel three wide and the rest padded: (n, 1, 28, 28)."""
    found = load_digits()
    large = np.kron(found.images * 15, np.ones((1, 3, 3))).astype(np.uint8)
    pixels = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    return Images(pixels[:, None], found.target.astype(np.int64))


def random_images() -> Images:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (RANDOM_IMAGES, 3, 32, 32), dtype=np.uint8)
    return Images(pixels, np.arange(RANDOM_IMAGES) % 10)


def cohort_of(images: Images, dataset: str, device: torch.device) -> Cohort:
    spec = DATASETS[dataset]
    split = five_way_split(images.labels, spec.fractions, 0)
    return Cohort.of(on_device(images, spec, device, 0), split, device)


@pytest.fixture(scope="module")
def on_cuda() -> Cohort:
    return cohort_of(digits(), "mnist5k", CUDA)


@pytest.fixture(scope="module")
def on_cpu() -> Cohort:
    return cohort_of(digits(), "mnist5k", CPU)


@pytest.fixture(scope="module")
def noise() -> Cohort:
    return cohort_of(random_images(), "cifar10", CUDA)


def trial(**changes: object) -> TrialConfig:
    """LeNet-5 on the digits."""
    config = TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=1,
        dataset="mnist5k",
        model="lenet5",
        n=N,
        training=TrainingConfig(epochs=12, batch_size=32, learning_rate=2e-3),
        admm=ADMMConfig(
            iterations=2,
            epochs_per_iteration=2,
            rho=1e-2,
            learning_rate=2e-3,
            retrain_epochs=4,
            weight_decay=0.1,
        ),
        attack=AttackConfig(folds=2, neural_epochs=2),
    )
    return dataclasses.replace(config, **changes)


def on_noise(model: str) -> TrialConfig:
    """Any network on random images, by the recipe of CIFAR but for its length and its rates."""
    sizes = layer_sizes(model, 10, DATASETS["cifar10"].image_shape).values()
    return trial(
        dataset="cifar10",
        model=model,
        n=tuple(max(1, size // 5) for size in sizes),
        training=TrainingConfig(
            epochs=1, batch_size=64, optimizer="sgd", learning_rate=0.01, augment=True
        ),
        admm=ADMMConfig(
            iterations=1,
            epochs_per_iteration=1,
            rho=1e-2,
            learning_rate=0.01,
            retrain_epochs=1,
            retrain_learning_rate=0.01,
        ),
    )


def finish(run: Run) -> list[EpochRecord]:
    records = []
    while not run.finished:
        records.append(run.advance())
    return records


def dense_on(cohort: Cohort, config: TrialConfig) -> DenseRun:
    run = DenseRun(config, cohort)
    finish(run)
    return run


def pruned_on(cohort: Cohort, config: TrialConfig, dense: Weights) -> PruningRun:
    return PruningRun(config, cohort, dense, initial_seed=1)


@pytest.fixture(scope="module")
def dense(on_cuda: Cohort) -> Weights:
    return dense_on(on_cuda, trial()).model.state_dict()


def accuracy_of(run: Run, cohort: Cohort) -> float:
    """On all images that the network has not seen."""
    unseen = torch.cat([cohort.non_members, cohort.validation, cohort.test])
    right = run.predict(unseen).argmax(1) == cohort.images.labels[unseen]
    return float(right.double().mean())


def test_a_run_keeps_exactly_n_weights_and_is_as_accurate_as_on_the_cpu(on_cuda, on_cpu) -> None:
    found = []
    for cohort in (on_cuda, on_cpu):
        start = dense_on(cohort, trial())
        run = pruned_on(cohort, trial(), start.model.state_dict())
        finish(run)
        kept = [int(weight.count_nonzero()) for weight in prunable_layers(run.model).values()]
        assert tuple(kept) == N
        assert tuple(int(mask.sum()) for mask in run.masks.values()) == N
        found.append((accuracy_of(start, cohort), accuracy_of(run, cohort)))
    assert found[1][1] > 0.8
    assert found[0] == pytest.approx(found[1], abs=0.04), "dense and pruned, on cuda and on the CPU"


@pytest.mark.parametrize("model", ["lenet5", "resnet18"])
def test_what_attacks_see_is_a_float32_forward_pass_of_the_released_weights(
    model, on_cuda, noise, tmp_path
) -> None:
    config, cohort = (trial(), on_cuda) if model == "lenet5" else (on_noise(model), noise)
    run = pruned_on(cohort, config, dense_on(cohort, config).model.state_dict())
    finish(run)
    spec = DATASETS[config.dataset]
    file = tmp_path / "model.safetensors"
    save_weights(run.model, file)
    plain = build_model(model, n_classes=10, image_shape=spec.image_shape, seed=5)
    load_weights(plain, read_weights(file))
    images = digits() if model == "lenet5" else random_images()
    expected = predict(plain, on_device(images, spec, CPU, 0), cohort.audited.cpu())
    seen = run.predict(cohort.audited)
    assert seen.dtype == torch.float32
    assert released_logits(run, cohort.audited).dtype == np.float32
    largest = float((seen.cpu() - expected).abs().max())
    assert largest < 1e-4, f"logits up to {float(expected.abs().max()):.1f} differ by {largest:.2e}"


def same_state(found: object, expected: object, where: str) -> None:
    if isinstance(expected, Tensor):
        torch.testing.assert_close(
            found, expected, rtol=0, atol=1e-6, msg=lambda said: f"{where}: {said}"
        )
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            same_state(found[name], value, f"{where} {name}")
    else:
        assert found == expected, where


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5])
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    on_cuda, dense, stop_after, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    run, other = (pruned_on(on_cuda, trial(), dense) for _ in range(2))
    expected = finish(run)
    records = [other.advance() for _ in range(stop_after)]
    torch.save(other.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True, map_location=CUDA)
    resumed = pruned_on(on_cuda, trial(), dense)
    resumed.load_state_dict(state)
    records += finish(resumed)
    same_state(resumed.state_dict(), run.state_dict(), f"after epoch {stop_after}")
    assert [one.loss for one in records] == pytest.approx([one.loss for one in expected])


def test_a_resumed_dense_run_of_sgd_ends_like_an_uninterrupted_one(
    noise, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    config = on_noise("cnn4")
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=3))
    run, other, resumed = (DenseRun(config, noise) for _ in range(3))
    finish(run)
    other.advance()
    torch.save(other.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True, map_location=CUDA))
    finish(resumed)
    same_state(resumed.state_dict(), run.state_dict(), "after epoch 1")


@pytest.fixture(scope="module")
def evidence(on_cuda: Cohort) -> Evidence:
    """A dense model and four references, trained long enough to leak."""

    def logits(cohort: Cohort, seed: int) -> np.ndarray:
        return released_logits(dense_on(cohort, trial(seed=seed)), on_cuda.audited)

    halves = reference_halves(len(on_cuda.audited), 4, 0)
    others = [logits(on_cuda.trained_on(half), seed) for seed, half in enumerate(halves, start=2)]
    reference = ReferenceEvidence(logits=np.stack(others), trained_on=halves)
    return evidence_of(logits(on_cuda, 1), on_cuda, reference)


def test_attacks_gain_the_same_from_the_same_logits_on_either_device(evidence) -> None:
    gains = {
        device: strongest_attack(evidence, AttackConfig(), 0, device=device).attack_gains
        for device in (CPU, CUDA)
    }
    assert NEURAL in gains[CPU]
    networks = {name: gain for name, gain in gains[CPU].items() if name in NETWORKS}
    assert networks
    for name, gain in gains[CPU].items():
        tolerance = 0.01 if name in NETWORKS else 1e-9
        assert gains[CUDA][name] == pytest.approx(gain, abs=tolerance), name


def synchronisations(run: DenseRun | PruningRun) -> list[str]:
    """Where the next epoch waits for the GPU, from the second step to the last: file:line."""
    steps, taken = run._epoch.steps, 0
    assert steps > 2

    def watch(*_: object) -> None:
        nonlocal taken
        taken += 1
        if taken in (1, steps):  # what an epoch reports at its end may wait
            torch.cuda.set_sync_debug_mode("warn" if taken == 1 else "default")

    handle = run._optimizer.register_step_post_hook(watch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run.advance()
        finally:
            torch.cuda.set_sync_debug_mode("default")
            handle.remove()
    assert taken == steps
    return sorted(
        {
            f"{Path(one.filename).name}:{one.lineno}"
            for one in caught
            if "called a synchronizing" in str(one.message)
        }
    )


@pytest.mark.parametrize("phase", ["dense", "admm", "retrain"])
def test_no_training_step_after_the_first_waits_for_the_gpu(noise, phase) -> None:
    config = on_noise("resnet18")
    run = DenseRun(config, noise)
    if phase != "dense":
        finish(run)
        run = pruned_on(noise, config, run.model.state_dict())
    if phase == "retrain":
        run.advance()
        assert run.phase == "retrain"
    assert synchronisations(run) == []


@pytest.mark.parametrize("model", MODELS)
def test_every_network_trains_and_is_pruned_in_the_settings_of_cuda(noise, model) -> None:
    config = on_noise(model)
    run = DenseRun(config, noise)
    dtypes: set[torch.dtype] = set()

    def seen(network: nn.Module, _inputs: object, logits: Tensor) -> None:
        if network.training:
            dtypes.add(logits.dtype)

    run.model.register_forward_hook(seen)
    finish(run)
    assert dtypes == {IN_TRAINING}
    assert all(group["fused"] for group in run._optimizer.param_groups)
    kernels = [weight for weight in run.model.parameters() if weight.dim() == 4]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    assert all(weight.dtype == torch.float32 for weight in run.model.parameters())
    pruned = pruned_on(noise, config, run.model.state_dict())
    records = finish(pruned)
    assert [record.phase for record in records] == ["admm", "retrain"]
    assert tuple(int(mask.sum()) for mask in pruned.masks.values()) == config.n
    answer = pruned.predict(noise.audited)
    assert answer.dtype == torch.float32
    assert answer.isfinite().all()


@pytest.mark.parametrize("defense", DEFENSES)
def test_every_defence_makes_a_model_that_is_measured(on_cuda, dense, defense) -> None:
    if defense == "dp":
        pytest.importorskip("opacus", reason="opacus is not installed here")
    entry, base = DEFENSES[defense], trial()
    training = dataclasses.replace(base.training, epochs=2)
    config = dataclasses.replace(
        base,
        n=N if entry.prunes else (),
        defense=defense,
        training=training,
        admm=dataclasses.replace(base.admm, retrain_epochs=1),
        parameters={
            name: number.default for name, number in entry.numbers(training.epochs).items()
        },
    )
    run = new_run(config, on_cuda, Start(weights=dense, seed=1))
    assert all(np.isfinite(record.loss) for record in finish(run))
    measured = measure_model(Answers(run, on_cuda), config, DATASETS["mnist5k"].image_shape)
    assert np.isfinite(measured["attack_gain"])
    assert 0 <= measured["val_accuracy"] <= 1
    assert measured["nonzero"] == sum(N) or not entry.prunes
    assert run.predict(on_cuda.audited).dtype == torch.float32


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_the_projection_keeps_the_same_weights_on_either_device(ties, share) -> None:
    weight = torch.randn(64, 64, 5, 5, generator=torch_generator(0, "projection"))
    weight = weight.round() if ties else weight
    n = round(share * weight.numel())
    for laid in (weight, weight.contiguous(memory_format=torch.channels_last)):
        mask = largest_mask(laid.to(CUDA), n)
        assert int(mask.sum()) == n
        assert torch.equal(mask.cpu(), largest_mask(weight, n))
        assert torch.equal(keep_largest(laid.to(CUDA), n).cpu(), keep_largest(weight, n))


def test_masks_of_shared_weights_are_the_same_on_either_device() -> None:
    network = networks.tied(networks.CLASSES, networks.SHAPE)
    found = []
    for device in (CPU, CUDA):
        layers = prunable_layers(copy.deepcopy(network).to(device))
        n = tuple(weight.numel() // 3 for weight in layers.values())
        found.append(Masks.of_largest(layers, n).masks)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name].cpu()) for name in found[0])
