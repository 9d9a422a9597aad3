"""The budget that the defences of a comparison share, said before it starts."""

from search.comparison import Comparison
from search.inputs import Inputs
from search.plan import (
    at_what_cost,
    idle_operations,
    operations_of_pass,
    passes,
    passes_of_candidate,
    trained_on,
    trainings,
    what_is_pruned,
)
from search.search_options import SearchConfig
from search.tune.resources import Resources


def plan_of_comparison(comparison: Comparison, inputs: Inputs | None, resources: Resources) -> str:
    """The plan of a comparison in words; the data and the network are those of every run."""
    first = comparison.widest
    members = trained_on(first, inputs)
    operations, idle = None, 0.0
    if members is not None:
        idle = sum(idle_operations(run, members, resources) for run in comparison.runs)
        operations = _all_passes(comparison) * operations_of_pass(first, members)
    return "\n".join(
        [
            *what_is_pruned(first, inputs),
            *budget(comparison),
            *at_what_cost(operations, resources, idle),
        ]
    )


def budget(comparison: Comparison) -> list[str]:
    """What is trained, a line each: the shared numbers, and the models of every defence at most."""
    first = max(comparison.runs, key=lambda run: run.distinct_trials)
    dense, own = comparison.widest.dense_models, [*map(_own_models, comparison.runs)]
    levels = ", ".join(f"{level:g}" for level in comparison.levels)
    vectors = max(len(run.every_level) for run in comparison.runs) - 1 + first.confirm_top
    return [
        f"Budget     the same for each of {len(own)} defences: {first.trials} trials, "
        f"{'a' if first.race_models else 'no'} race, then at most {vectors} candidates confirmed "
        f"with {first.models_each} models each, on the same halves and without more models later",
        f"Levels     the least leak is looked for where accuracy may fall by {levels}",
        f"Trainings  {dense} dense models, shared by all, and at most {sum(own)} of the defences:",
        *(_line(run) for run in comparison.runs),
    ]


def _own_models(run: SearchConfig) -> int:
    """All but the dense ones."""
    return sum(count for stage, count in trainings(run).items() if stage != "dense")


def _line(run: SearchConfig) -> str:
    counts, models = trainings(run), _own_models(run)
    each = passes_of_candidate(run, run.pruner) / run.training.epochs
    searched = [name for name, number in run.parameters.items() if number.searched]
    chosen = [*(["{n_i}"] if run.prunes else []), *searched]
    return (
        f"  {run.defense}: {models} ({counts['search']} search, {counts['race']} race, "
        f"{counts['confirm']} confirmed, {counts['audit']} shadows), each as long as {each:.2g} "
        f"dense; it searches {', '.join(chosen) or 'nothing'}"
    )


def _all_passes(comparison: Comparison) -> float:
    """The training passes over the members, the dense models trained once."""
    epochs = comparison.runs[0].training.epochs
    apart = sum(passes(run) - run.dense_models * epochs for run in comparison.runs)
    return apart + comparison.widest.dense_models * epochs
