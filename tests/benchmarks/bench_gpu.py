"""How long a trial's parts take on a GPU, by the presets' own recipes, on random images.

`python -m tests.benchmarks.bench_gpu [--out F.json] [--device cuda] [--images 10000] [--epochs 3]`

ResNet-18 on CIFAR-100's shapes and LeNet-5 on mnist5k's: median seconds of an epoch as runs train
it, validation included, after one to warm up; each attack on one finished model; how busy the GPU
is within a training step; and what a whole trial would take, its epochs and attacks in proportion
to the images.  Random images say nothing of accuracy or leak.  Run it under OMP_NUM_THREADS=1, as
Ray runs trials of one core.
"""

import argparse
import collections
import dataclasses
import functools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from search.recipes import recipe
from search.search_options import SearchConfig
from trainables.attacks.divergence import output_divergence
from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.folds import stratified_folds
from trainables.attacks.registry import ATTACKS, Setting
from trainables.base.seeding import numpy_generator
from trainables.config import TARGETS_PAIR, TrialConfig
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort, reference_halves
from trainables.data.images import Images
from trainables.data.registry import DATASETS
from trainables.data.split import five_way_split
from trainables.measure import Answers, evidence_of, released_logits, size
from trainables.models.building import layer_sizes
from trainables.records import NETWORKS
from trainables.runs.dense import DenseRun
from trainables.runs.pruning import PruningRun

PROFILED = 20
"""Steps under the profiler."""

KEPT = 0.2
"""Share of each layer's weights; what is masked costs as much as what is not."""

CIFAR_MEMBERS, MNIST5K_MEMBERS = 20_000, 1_000
"""Members of the whole data sets, to which the seconds of a trial are brought."""

Work = Callable[[], object]


def seconds(device: torch.device, work: Work) -> float:
    """What `work` takes, until the device has done it."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def random_cohort(dataset: str, members: int, device: torch.device) -> Cohort:
    """So many members, and the other parts in the data set's proportions."""
    spec = DATASETS[dataset]
    count = round(members / spec.fractions["members"])
    pixels = numpy_generator(0, "pixels").integers(0, 256, (count, *spec.image_shape), np.uint8)
    images = Images(pixels, np.arange(count) % spec.n_classes)
    split = five_way_split(images.labels, spec.fractions, 0)
    return Cohort.of(on_device(images, spec, device, 0), split, device)


def trial(preset: SearchConfig, epochs: int) -> TrialConfig:
    """The preset's trial, of so many epochs and one before them in each phase."""
    spec = DATASETS[preset.dataset]
    layers = layer_sizes(preset.model, spec.n_classes, spec.image_shape)
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=0,
        seed=0,
        dataset=preset.dataset,
        model=preset.model,
        n=tuple(max(1, round(KEPT * size)) for size in layers.values()),
        training=dataclasses.replace(preset.training, epochs=epochs + 1),
        admm=dataclasses.replace(
            preset.admm, iterations=1, epochs_per_iteration=epochs + 2, retrain_epochs=epochs + 1
        ),
        attack=preset.attack,
    )


def dense_epochs(run: DenseRun, device: torch.device) -> dict[str, float]:
    """Median seconds of a dense epoch; the first warms up."""
    taken = [seconds(device, run.advance) for _ in range(run.config.training.epochs)]
    return {"first": taken[0], "dense": statistics.median(taken[1:])}


def pruning_epochs(run: PruningRun, device: torch.device) -> dict[str, float]:
    """Median seconds of an epoch of ADMM and of retraining.

    iteration: the last of ADMM, with the update of Z and U, the gap attack and the hard prune.
    """
    admm = [seconds(device, run.advance) for _ in range(run.admm_epochs)]
    retrain = [seconds(device, run.advance) for _ in range(run.config.admm.retrain_epochs)]
    return {
        "admm": statistics.median(admm[1:-1]),
        "iteration": admm[-1],
        "retrain": statistics.median(retrain[1:]),
    }


def steps_of(run: DenseRun | PruningRun) -> Work:
    """PROFILED training steps of the phase in which `run` is, with its hooks."""
    training = run.config.training
    part = run._pass_over(run.cohort.members[: PROFILED * training.batch_size], training)
    hooks: dict[str, Any] = {}
    if isinstance(run, PruningRun):
        masks, optimizer = run._masks, run._optimizer
        if masks is None:
            hooks = {"before_step": run._admm.add_penalty_gradient}
        else:

            def enforce() -> None:
                masks.apply()
                masks.apply_to_optimizer(optimizer)

            hooks = {"before_step": masks.apply_to_gradients, "after_step": enforce}
    return lambda: part.train(run.model, run._optimizer, learning_rate=lambda _step: 1e-4, **hooks)


def busy(run: DenseRun | PruningRun, device: torch.device) -> dict[str, Any]:
    """Kernel time / wall time, and counts per step; the wall time is without the profiler."""
    work, batch = steps_of(run), run.config.training.batch_size
    steps = min(PROFILED, len(run.cohort.members) // batch)
    work()
    wall = min(seconds(device, work) for _ in range(3))
    cuda = [ProfilerActivity.CUDA] if device.type == "cuda" else []
    with profile(activities=[ProfilerActivity.CPU, *cuda]) as profiled:
        seconds(device, work)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiled.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    return {"ms_per_step": 1e3 * wall / steps, **counted(events, steps, wall)}


def counted(events: Sequence[dict[str, Any]], steps: int, wall: float) -> dict[str, Any]:
    """What a trace says of a step; durations in it are microseconds."""
    kernels = [event for event in events if event.get("cat") == "kernel"]
    copies = [event["name"] for event in events if event.get("cat") == "gpu_memcpy"]
    calls = [event["name"] for event in events if event.get("cat") == "cuda_runtime"]
    by_name: collections.Counter[str] = collections.Counter()
    for kernel in kernels:
        by_name[kernel["name"][:90]] += kernel["dur"]
    total = sum(by_name.values())
    waits = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
    return {
        "busy": total / 1e6 / wall,
        "kernels": len(kernels) / steps,
        "to_device": sum("HtoD" in name for name in copies) / steps,
        "to_host": sum("DtoH" in name for name in copies) / steps,
        "synchronisations": sum(name in waits for name in calls) / steps,
        "longest_kernels": {name: spent / total for name, spent in by_name.most_common(8)},
    }


def with_references(evidence: Evidence, references: int) -> Evidence:
    """Beside models that answer like the target but for noise."""
    generator = numpy_generator(0, "references")
    shape = (references, *evidence.logits.shape)
    noise = generator.standard_normal(shape, np.float32)
    halves = reference_halves(len(evidence.labels), references, 0)
    others = ReferenceEvidence(logits=evidence.logits + noise, trained_on=halves)
    return dataclasses.replace(evidence, reference=others)


def attack_seconds(
    evidence: Evidence, config: TrialConfig, device: torch.device
) -> dict[str, float]:
    """Attack -> seconds, and those of the divergence without an attack."""
    folds = stratified_folds(evidence, config.attack.folds, numpy_generator(0, "attack-folds"))
    setting = Setting(config=config.attack, seed=0, device=device)
    taken = {
        name: seconds(device, functools.partial(attack, evidence, folds, setting))
        for name, attack in ATTACKS.items()
    }
    return {**taken, "divergence": seconds(device, lambda: output_divergence(evidence))}


def bench(
    preset: SearchConfig, members: int, whole: int, epochs: int, device: torch.device
) -> dict[str, Any]:
    """All figures of one preset, trained on so many members; whole: those of its trials."""
    config, cohort = trial(preset, epochs), random_cohort(preset.dataset, members, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    dense = DenseRun(config, cohort)
    taken = dense_epochs(dense, device)
    steps = {"dense": busy(dense, device)}
    run = PruningRun(config, cohort, dense.model.state_dict(), initial_seed=0)
    steps["admm"] = busy(run, device)
    taken |= pruning_epochs(run, device)
    shape = DATASETS[preset.dataset].image_shape

    def measured() -> None:
        size(run.model, shape, preset.defense)
        answers = Answers(run, cohort)
        _ = answers.members, answers.validation

    evidence = with_references(
        evidence_of(released_logits(run, cohort.audited), cohort), preset.models - TARGETS_PAIR
    )
    attacks = attack_seconds(evidence, config, device)
    found = {
        "images": members,
        "batch_size": preset.training.batch_size,
        "epoch_s": taken,
        "attack_s": attacks,
        "measuring_s": seconds(device, measured),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
    }
    steps["retrain"] = busy(run, device)
    whole_trial = trial_seconds(preset, found, whole / members)
    return {**found, "steps": steps, "trial": whole_trial}


def trial_seconds(preset: SearchConfig, found: dict[str, Any], scale: float) -> dict[str, float]:
    """Seconds of a search trial, which leaves the attacking networks out, and of one with all.

    scale: images of the whole data set / those that were timed.
    """
    admm, epoch, attacks = preset.admm, found["epoch_s"], found["attack_s"]
    pruning = admm.iterations * (
        (admm.epochs_per_iteration - 1) * epoch["admm"] + epoch["iteration"]
    )
    training = scale * (pruning + admm.retrain_epochs * epoch["retrain"])
    searched = sum(taken for name, taken in attacks.items() if name not in NETWORKS)
    rest = scale * (found["measuring_s"] + searched)
    return {
        "dense_s": scale * preset.training.epochs * epoch["dense"],
        "training_s": training,
        "search_s": training + rest,
        "with_all_attacks_s": training + scale * (found["measuring_s"] + sum(attacks.values())),
        "trials_per_hour": 3600 / (training + rest),
    }


def said(name: str, found: dict[str, Any]) -> str:
    """A small table."""
    lines = [f"{name}, {found['images']} members, batches of {found['batch_size']}"]
    epochs = ", ".join(f"{phase} {taken:.3f}" for phase, taken in found["epoch_s"].items())
    lines.append(f"  seconds per epoch   {epochs}")
    for phase, step in found["steps"].items():
        took = step["ms_per_step"]
        lines.append(
            f"  {phase:8} steps    {took:.2f} ms, {1e3 / took:.0f}/s, GPU busy {step['busy']:.0%}; "
            f"a step: {step['kernels']:.0f} kernels, {step['to_device']:.1f} copies in, "
            f"{step['to_host']:.1f} out, {step['synchronisations']:.1f} waits"
        )
    attacks = ", ".join(f"{attack} {taken:.2f}" for attack, taken in found["attack_s"].items())
    lines.append(
        f"  seconds per attack  {attacks}; the rest of measuring {found['measuring_s']:.2f}"
    )
    lines.append(
        "  a trial             " + ", ".join(f"{k} {v:.1f}" for k, v in found["trial"].items())
    )
    if found["memory_gib"] is not None:
        lines.append(f"  peak memory         {found['memory_gib']:.2f} GiB")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, time both presets, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, metavar="F.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=10_000, help="members, ResNet-18's epoch")
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args(words)
    device = torch.device(given.device)
    torch.set_num_threads(1)  # as trainables/trial.py
    named = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    found: dict[str, Any] = {"device": named, "torch": torch.__version__}
    print(f"{named}, torch {torch.__version__}, Python {platform.python_version()}", flush=True)
    for preset, members, whole in (
        (recipe("mnist5k", "lenet5"), MNIST5K_MEMBERS, MNIST5K_MEMBERS),
        (recipe("cifar100", "resnet18"), given.images, CIFAR_MEMBERS),
    ):
        name = f"{preset.dataset}-{preset.model}"
        found[name] = bench(preset, members, whole, given.epochs, device)
        print(said(name, found[name]), flush=True)
        if given.out is not None:
            given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
