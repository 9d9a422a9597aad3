"""A run's outcome in words: the report's headline, the terminal's last lines, a card."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import run_kind, statistics, tables
from analysis.front import front
from analysis.in_short import in_short
from analysis.load import RunRecord, in_its_words
from analysis.verdict import verdict
from trainables.base import noun
from trainables.defenses.registry import named


@in_its_words
def headline(run: RunRecord) -> str:
    """The outcome for a terminal: the verdict, dense and winner side by side, and the front."""
    found = verdict(run)
    shown = [table for table in (_main_figures(run), front_in_short(run)) if table is not None]
    return "\n".join([found.title, found.text, *map(tables.as_text, shown)])


def front_in_short(run: RunRecord) -> tables.Table | None:
    """The front as a terminal has room for it; None for a run that looked at its bound alone."""
    records = front(run)
    if not records:
        return None
    table = tables.front(records)
    columns = [table.headers.index(name) for name in table.headers if not name.startswith(_LONG)]
    return dataclasses.replace(
        table,
        headers=[table.headers[column] for column in columns],
        rows=[[row[column] for column in columns] for row in table.rows],
    )


_LONG = ("ratio to dense", "accuracy lost on unseen ")
"""How columns of the front begin that only the report has room for."""


@in_its_words
def card(run: RunRecord) -> str:
    """Markdown that travels with the winner's weights; `{trial_id}` stands for their trial's name.

    Raises ValueError when the run has no winner.
    """
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    table = _main_figures(run)
    if best is None or table is None:
        raise ValueError("a run without a winner has no card")
    found, short, search = verdict(run), in_short(run), run.config["search"]
    pruned = best["nonzero"] < sum(best["layer_weights"])
    return "\n\n".join(
        [
            f"# {search.get('model')} on {search.get('dataset')}{_promise(run, found.tone)}",
            f"**{found.title}.** {found.text}",
            *(["\n".join(f"- {sentence}" for sentence in short)] if short else []),
            *said_of_the_run(run.config),
            *_of_level(run),
            tables.as_markdown(table),
            f"Intervals are 95%. {_means(best)}; the largest of a family of attacks is flattered "
            "by the choice, the strongest attack's is not. The weights beside this card are those "
            f"of trial {{trial_id}} of {run.config['run_id']}.",
            f"Made by: {made_by(run.config, best)}.",
            *([tables.as_markdown(tables.layer_counts(best))] if pruned else []),
            *([tables.as_markdown(left)] if (left := tables.unpruned(run.config)) else []),
            _limits(search.get("defense"), best),
            f"Reproduce with:\n\n```\n{run.config.get('command', 'not recorded')}\n```\n",
        ]
    )


def _of_level(run: RunRecord) -> list[str]:
    search = run.config["search"]
    if not search.get("levels"):
        return []
    level = tables.level_name(float(search["max_accuracy_drop"]))
    return [
        f"It is the run's winner when accuracy may fall by {level}: the least leak, or a smaller "
        "network that leaks alike."
    ]


def _means(best: pd.Series) -> str:
    """What the figures are means over."""
    if math.isnan(best["drop"]):  # a run of an older release, without a cross-audit
        return "The figures are means over fresh seeds"
    return (
        f"Excess gain and accuracies are means over {best['seeds']} models, one per half of the "
        f"audited {noun.many()}; the other figures are those of the one that trained on the members"
    )


def _promise(run: RunRecord, tone: str) -> str:
    """What the card's title adds to the network's name."""
    if run_kind.is_smoke(run):
        return f", {run_kind.SMOKE}"
    return " that leaks less about its members" if tone == "good" else ""


def said_of_the_run(config: Mapping[str, Any]) -> list[str]:
    """Sentences that a run's settings carry for whoever reads its figures.

    config: config.json.  First comes the start of pretrained networks, then the data and a network
    that the user gave, then that the run decided more than once.
    """
    start, search = config.get("pretrained_start"), config["search"]
    added = [str(models) for models in search.get("more_models") or []]
    again = (
        f"The run began with {search.get('models')} models of each vector and took more, to "
        f"{', then '.join(added)}, because of what these had shown."
    )
    return [
        *([start] if start else []),
        *(config.get("notes") or []),
        *((config.get("given") or {}).get("said") or []),
        *([again] if added else []),
    ]


def defense_in_words(search: Mapping[str, Any]) -> str:
    """The defence of a run's settings, with the pruner where it prunes."""
    name = str(search.get("defense", "pruning"))
    return f"{name} by {search.get('pruner', 'admm')}" if named(name).prunes else name


def made_by(config: Mapping[str, Any], best: pd.Series) -> str:
    """The winner's defence in words: its name, its numbers, and what it spent.

    config: config.json.  best: a row of `statistics.confirmed`.
    """
    name = defense_in_words(config["search"])
    asked, spent = best["defense_parameters"], best["defense_spent"]
    parts = [
        f"{number} {value:.4g}" + (f", spent {spent[number]:.4g}" if number in spent else "")
        for number, value in asked.items()
    ]
    parts += [f"{number} {value:.4g}" for number, value in spent.items() if number not in asked]
    return f"{name} ({', '.join(parts)})" if parts else name


def _limits(defense: str | None, best: pd.Series) -> str:
    entry = named(defense)
    guarantee = entry.proof_in_words(best["defense_spent"])
    lines = [
        "## Limits",
        "",
        f"- The figures hold for the attacks that were run, on these {noun.many()}. {guarantee}; "
        f"unusual training {noun.many()} can leak much more than the mean.",
        "- **Do not release the dense network together with this one**: whoever has both learns "
        "more.",
    ]
    if entry.on_weights is not None:
        lines.append(f"- {entry.on_weights}")
    if best["nonzero"] < sum(best["layer_weights"]):
        lines.append(
            "- Pruned weights are stored as zeros: they save size, not time on ordinary hardware."
        )
    return "\n".join(lines)


def _main_figures(run: RunRecord) -> tables.Table | None:
    dense = statistics.dense(run.trials, run.crossed)
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    if dense is None or best is None:
        return None
    table = tables.dense_and_winner(dense, best, run.config["split_sizes"])
    wanted = ("test accuracy", "excess gain", "largest", "attack accuracy", "compression")
    rows = [row for row in table.rows if row[0].startswith(wanted)]
    return dataclasses.replace(table, rows=rows)
