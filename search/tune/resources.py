"""What a trial takes of a cluster, and how many have room at a time."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import ray
from ray.util import placement_group, remove_placement_group

from trainables.base.errors import InvalidInput

GROWTH_S = 1200.0
"""Seconds within which a machine that a cloud has is up and set up."""

Nodes = Sequence[Mapping[str, float]]
"""What each machine of a cluster has: {"CPU": cores, "GPU": GPUs, ...}."""


_COUNTED = ("CPU", "GPU")
_GROW = ", or give --concurrency to have the cluster grow to that many trials"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What one trial takes and how many run at a time."""

    cpus_per_trial: float
    gpus_per_trial: float
    concurrency: int
    as_asked: bool = False
    """Whether the user said how many run at a time."""

    def slots(self, nodes: Nodes) -> int:
        """How many trials have room; one trial has all of its share on one machine."""
        shares = {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial}
        return sum(
            min(
                int(node.get(name, 0.0) / share + 1e-9)
                for name, share in shares.items()
                if share > 0
            )
            for node in nodes
        )


def plan_resources(
    nodes: Nodes,
    *,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
    concurrency: int | None,
    may_grow: bool = False,
    usual_gpus: float = 1.0,
) -> Resources:
    """Fill the cluster: by default `usual_gpus` a trial where there are GPUs, else one core.

    may_grow: a given `concurrency` is believed; `wait_for_room` asks for what is not there yet.
    Raises InvalidInput when not a single trial fits: Tune would wait for ever.
    """
    cores, gpus = (max((node.get(name, 0.0) for node in nodes), default=0.0) for name in _COUNTED)
    gpu_share = gpus_per_trial if gpus_per_trial is not None else usual_gpus * (gpus > 0)
    cpu_share = cpus_per_trial if cpus_per_trial is not None else 1.0
    resources = Resources(
        cpus_per_trial=cpu_share,
        gpus_per_trial=gpu_share,
        concurrency=concurrency or 1,
        as_asked=concurrency is not None,
    )
    if may_grow and concurrency is not None:
        return resources
    hint = _GROW if may_grow else ""
    if gpu_share > gpus:
        raise InvalidInput(
            f"--gpus-per-trial {gpu_share:g} but the cluster has {gpus:g} GPUs on its largest "
            f"machine: lower it, or use 0 to run on the CPU{hint}"
        )
    if cpu_share > cores:
        raise InvalidInput(
            f"--cpus-per-trial {cpu_share:g} but the cluster has {cores:g} CPU cores on its "
            f"largest machine: lower it{hint}"
        )
    slots = resources.slots(nodes)
    if not slots:
        raise InvalidInput(
            f"no machine of the cluster has {cpu_share:g} CPU cores and {gpu_share:g} GPUs "
            f"together: lower --cpus-per-trial or --gpus-per-trial{hint}"
        )
    return dataclasses.replace(resources, concurrency=max(1, min(concurrency or slots, slots)))


def wait_for_room(
    resources: Resources,
    nodes: Nodes,
    say: Callable[[str], None],
    patience_s: float = GROWTH_S,
) -> None:
    """Ask the autoscaler of a cluster without room for room for all trials, until one has it.

    Raises InvalidInput when no room comes. What is asked for ends with this program, however it
    ends, so that no machine stays up for it.
    """
    if resources.slots(nodes):
        return
    minutes = f"{patience_s / 60:.0f} minutes"
    say(
        f"The cluster has no room for a trial yet: it is asked for {resources.concurrency}, and "
        f"{minutes} at most are waited for the first"
    )
    share = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    bundle = {name: count for name, count in share.items() if count}
    groups = [placement_group([bundle]) for _ in range(resources.concurrency)]
    try:
        if not ray.wait([group.ready() for group in groups], timeout=patience_s)[0]:
            wanted = " and ".join(f"{count:g} {name}" for name, count in bundle.items())
            raise InvalidInput(
                f"--concurrency {resources.concurrency}: no machine with {wanted} came within "
                f"{minutes}; `ray status` on the head says why"
            )
    finally:
        for group in groups:
            remove_placement_group(group)
