"""The result of a run in words: the headline on the terminal and the winner's card."""

import math

import pandas as pd

from analysis.load import Run
from analysis.statistics import (
    Interval,
    accuracy_over_seeds,
    baseline,
    excess_interval,
    family_excess,
    images_behind,
    ratio,
    winner,
)


def headline(run: Run) -> str:
    """Dense beside winner, a line per figure, with 95% intervals."""
    dense, best = _pair(run)
    leak = ratio(excess_interval(best), excess_interval(dense))
    return "\n".join(
        [
            f"{'':22}{'dense':>26}{'winner':>26}",
            _row("test accuracy", _test(run, dense), _of(best, "test_accuracy"), ".4f"),
            _row("excess gain (nats)", excess_interval(dense), excess_interval(best), ".4f"),
            f"{'  by the family':22}{family_excess(dense['attack_gains']):>26.4f}"
            f"{best['family_excess']:>26.4f}",
            _row("attack accuracy", _attacked(run, dense), _of(best, "attack_accuracy"), ".4f"),
            f"{'compression':22}{1.0:>26.2f}{best['compression']:>26.2f}",
            f"Leak that is left: {_interval(leak, '.2f')} of the dense model's, strongest attack: "
            f"{best['strongest_attack']}, {best['seeds']} fresh seeds, 95% intervals.",
        ]
    )


def card(run: Run) -> str:
    """The winner's card in Markdown; `{trial_id}` stands for the trial whose model is exported."""
    dense, best = _pair(run)
    search = run.config["search"]
    layers = "\n".join(
        f"| {name} | {weights} | {n} | {n / weights:.3f} |"
        for name, weights, n in zip(
            best["layer_names"], best["layer_weights"], best["n"], strict=True
        )
    )
    references = (
        f"{search['references']} matched references, pruned with the same vector and recipe"
        if search["references"]
        else "no matched references: the leak of a pruned model is understated"
    )
    return f"""# {search["model"]} on {search["dataset"]}, pruned to leak less about its members

Files: `model.safetensors` (weights of {{trial_id}}, the seed with the median excess gain) and
`masks.safetensors` (True where a weight may be non-zero).

```
{headline(run)}
```

Measured on {images_behind("attack_accuracy", run.config["split_sizes"])} images of known
membership under the attack family and {references}. Excess gain is G + log 4 in nats (eq. 1 and 10
of Wang et al., IJCAI 2021): 0 is no leak, 1.386 a full one.

| layer | weights | n | keep ratio |
|---|---|---|---|
{layers}

Dense strongest attack: {dense["strongest_attack"]}. Run `{run.config["run_id"]}`, made by
`{run.config["command"]}`.

Limits: the figures hold for this data, split and recipe, on average over members; single members
may leak more. Do not release the dense model, or several pruned versions, beside this one:
together they leak more than each alone.
"""


def _pair(run: Run) -> tuple[pd.Series, pd.Series]:
    dense, best = baseline(run.trials), winner(run.trials, run.config)
    if dense is None or best is None:
        raise ValueError("a run without a baseline or a winner has no headline")
    return dense, best


def _test(run: Run, row: pd.Series) -> Interval:
    images = images_behind("test_accuracy", run.config["split_sizes"])
    return accuracy_over_seeds([float(row["test_accuracy"])], images)


def _attacked(run: Run, row: pd.Series) -> Interval:
    images = images_behind("attack_accuracy", run.config["split_sizes"])
    return accuracy_over_seeds([float(row["attack_accuracy"])], images)


def _of(best: pd.Series, name: str) -> Interval:
    return Interval(
        estimate=float(best[name]),
        low=float(best[f"{name}_low"]),
        high=float(best[f"{name}_high"]),
        standard_error=math.nan,
    )


def _interval(interval: Interval, form: str) -> str:
    return f"{interval.estimate:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _row(name: str, dense: Interval, best: Interval, form: str) -> str:
    return f"{name:22}{_interval(dense, form):>26}{_interval(best, form):>26}"
