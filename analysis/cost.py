"""What each stage of a run cost."""

from analysis.tables import Table, duration, percent
from trainables.progress import MEASURES, RunProgress, StageProgress, kind_of

NAMES = {
    "dense": "dense models of all halves",
    "fit": "recipe of the references",
    "search": "search",
    "race": "race",
    "confirm": "confirmation",
    "compare": "comparators",
    "audit": "audit",
}


def costs(progress: RunProgress) -> Table | None:
    """One line for each kind of stage; None where nothing was timed.

    A slot's time counts, not the clock's: with two slots an hour of the run is two.
    """
    kinds: dict[str, list[StageProgress]] = {}
    for stage in progress.stages:
        kinds.setdefault(kind_of(stage.name), []).append(stage)
    total = sum(stage.busy_s for stage in progress.stages)
    if not total:
        return None
    rows = [
        [
            NAMES.get(kind, kind),
            str(sum(stage.done for stage in stages if stage.name not in MEASURES)),
            duration(sum(stage.busy_s for stage in stages)),
            percent(sum(stage.busy_s for stage in stages) / total, 0),
        ]
        for kind, stages in kinds.items()
    ]
    counts = f"{progress.cpus_per_trial:g} cores"
    if progress.gpus_per_trial:
        counts += f" and {progress.gpus_per_trial:g} GPUs"
    return Table(
        caption=f"Time of all slots, each of {counts}; together {duration(total)}",
        headers=["stage", "models", "slot time", "share"],
        rows=rows,
    )
