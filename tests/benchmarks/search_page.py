"""The Markdown of docs/bench-search.md: plain sentences and tables from the simulated searches."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tests.benchmarks import scores
from tests.benchmarks.best_known import Front
from tests.benchmarks.blackbox import FIGURES, Blackbox
from tests.benchmarks.methods import GRID, PUBLISHED_BEST, RACE, space_of
from tests.benchmarks.scores import Estimated
from tests.benchmarks.surrogate import HeldOut

PAIRS = (
    (RACE, "flat TPE"),
    (RACE, PUBLISHED_BEST),
    (RACE, GRID),
    (RACE, "grid, uniform"),
    (RACE, "OptunaSearch"),
    ("flat TPE", "flat TPE, no anchors"),
    ("flat TPE", "random"),
    ("race, clusters", RACE),
)
"""Differences that the page states."""

WIDTH = 118
"""Characters of a line of prose."""

SHOWN_KEEPS = (0.7, 0.4, 0.2, 0.12, 0.08)
"""Uniform keep ratios at which both blackboxes are shown."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Story:
    """All that the page tells."""

    frame: pd.DataFrame
    """With the column `matched`."""

    blackboxes: Sequence[Blackbox]
    fronts: Mapping[str, Front]
    held_out: Mapping[str, Mapping[str, HeldOut]]
    surrogate_error: float
    """Nats: median standard error of the surrogate's leak at the winners of the race."""

    budget: int
    """Trained models at which methods are compared."""

    vectors: int
    command: str
    machine: str
    afresh: pd.DataFrame
    """Results whose winners were trained for real, beside what was measured."""

    pictures: Mapping[str, Mapping[str, str]]
    """Blackbox -> what it shows -> its file, beside the page."""


def page(story: Story) -> str:
    """The whole document."""
    parts = [_opening(story)]
    parts += [_of_blackbox(story, blackbox) for blackbox in story.blackboxes]
    parts += [_afresh(story), _of_surrogate(story), _how(story)]
    return "\n\n".join(wrapped(part) for part in parts) + "\n"


def wrapped(text: str) -> str:
    """Paragraphs filled to WIDTH; tables, pictures, headings and code stay as they are."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        paragraph
        if paragraph.startswith(("|", "!", "#", "    "))
        else textwrap.fill(" ".join(paragraph.split()), WIDTH, break_long_words=False)
        for paragraph in paragraphs
    )


def _opening(story: Story) -> str:
    config = story.blackboxes[0].config
    seeds, budgets = story.frame["seed"].nunique(), sorted(story.frame["budget"].unique())
    return f"""# What the search buys

Every method gets the same number of trained models, {budgets[0]} to {budgets[-1]}, of which the
confirmation takes {config.confirm_top * config.models}: {config.models} for each of the
{config.confirm_top} vectors that the method likes best. The searches are simulated: a trained model
is an expectation, from {story.vectors} tabulated vectors of LeNet-5 on mnist5k with eight models
each, plus noise of the size that those models show. {seeds} seeds a method. Winners are judged by
what is true of them, the expectation, which no search saw, so all are measured afresh.

*Leak* is the excess gain of a cross-audit with eight models, in nats. A winner that truly loses
more than {100 * config.max_accuracy_drop:g} point of accuracy is charged what it would have leaked
at that loss; a run without a winner keeps the dense network. All intervals are 95%."""


def _of_blackbox(story: Story, blackbox: Blackbox) -> str:
    frame = story.frame[story.frame["blackbox"] == blackbox.name]
    front, bound = story.fronts[blackbox.name], blackbox.config.max_accuracy_drop
    pictures, budget = story.pictures[blackbox.name], story.budget
    return f"""## {blackbox.name}

{len(blackbox.layer_weights)} layers, {sum(blackbox.layer_weights):,} prunable weights. The dense
network leaks {blackbox.dense_leak:.4f}, the best vector known at the allowed loss
{front.at(bound):.4f}.

![Leak of the winner against trained models]({pictures["by budget"]})

**At {budget} trained models**

{_summary(frame, budget)}

*First and third* are the quartiles between seeds; *none* is the share of runs that confirmed no
feasible vector, *lost* the mean true loss of the winners.

**Trained models to match the per-layer grid's {budget}**

{_matching(frame, budget)}

**Differences at {budget} trained models**, mean of paired seeds; negative: the first leaks less

{_differences(frame, budget)}

![True loss and leak of every winner at {budget} models]({pictures["winners"]})"""


def _summary(frame: pd.DataFrame, budget: int) -> str:
    rows = [
        [
            row.method,
            f"{row.trials}",
            f"{row.seeds}",
            f"{row.matched:.4f} ({row.low:.4f} to {row.high:.4f})",
            f"{row.first:.4f} to {row.third:.4f}",
            f"{row.feasible:.0%}",
            f"{row.none:.0%}",
            _points(row.lost),
            f"{row.compression:.1f}",
        ]
        for row in scores.summary(frame, budget).itertuples()
    ]
    return _table(
        [
            "method",
            "vectors",
            "seeds",
            "leak, median",
            "first to third",
            "truly feasible",
            "none",
            "lost (points)",
            "compression",
        ],
        rows,
    )


def _matching(frame: pd.DataFrame, budget: int) -> str:
    rows = []
    for method in frame["method"].drop_duplicates():
        found = scores.models_to_match(frame, method, (GRID, budget))
        smallest = int(frame.loc[frame["method"] == method, "budget"].min())
        largest = int(frame.loc[frame["method"] == method, "budget"].max())
        models = [_models(one, smallest, largest) for one in dataclasses.astuple(found)]
        ratio = "-" if math.isinf(found.value) else f"{found.value / budget:.2f}"
        rows.append([method, f"{models[0]} ({models[1]} to {models[2]})", ratio])
    return _table(["method", "trained models", f"of {budget}"], rows)


def _models(value: float, smallest: int, largest: int) -> str:
    if math.isinf(value):
        return f"more than {largest}"
    return f"at most {smallest}" if value <= smallest else f"{value:.0f}"


def _differences(frame: pd.DataFrame, budget: int) -> str:
    there = set(frame.loc[frame["budget"] == budget, "method"])
    rows = [
        [f"{first} less {second}", _estimated(scores.difference(frame, first, second, budget))]
        for first, second in PAIRS
        if {first, second} <= there
    ]
    return _table(["methods", "leak (nats)"], rows)


def _afresh(story: Story) -> str:
    rows = []
    for method in story.afresh["method"].drop_duplicates():
        own = story.afresh[story.afresh["method"] == method]
        leak = scores.mean(own["measured_leak"].to_numpy())
        lost = scores.mean(100 * own["measured_lost"].to_numpy())
        rows.append(
            [
                str(method),
                f"{len(own)}",
                _spread(leak, 4),
                f"{own['leak'].mean():.4f}",
                _spread(lost, 1),
                f"{100 * own['lost'].mean():.1f}",
            ]
        )
    head = ["method", "winners", "leak, measured", "expected", "points lost, measured", "expected"]
    return f"""## Winners trained for real

The winners at {story.budget} trained models of the first {story.afresh["seed"].nunique()} seeds on
{story.blackboxes[0].name.partition(",")[0]}, eight new models each on halves that neither the table
nor a search used. Means over winners; the intervals hold the seeds' spread, while the luck of these
halves is common to all methods.

{_table(head, rows)}"""


def _spread(one: Estimated, digits: int) -> str:
    return f"{one.value:.{digits}f} ({one.low:.{digits}f} to {one.high:.{digits}f})"


def _of_surrogate(story: Story) -> str:
    first = story.blackboxes[0]
    rows = [
        [figure, name, _in_unit(figure, one.root_mean_square), f"{one.rank_correlation:.2f}"]
        for figure in FIGURES
        for name, one in story.held_out[figure].items()
    ]
    noise = first.noise
    return f"""## How far to believe it

Errors of five-fold cross-validation, over tabulated vectors that lose less than 10 points; they
hold the noise of the eight models of a held-out vector too, and for `family` of two. The Gaussian
process is what is searched.

{_table(["figure", "regressor", "root mean square", "Spearman"], rows)}

At the winners of the race the surrogate's own standard error of the leak is
{story.surrogate_error:.4f} (median). A search also finds the surrogate's errors: differences of
that size between methods may not be there in real networks. Published allocations are judged by
models of their own that no search saw, not by the surrogate.

Noise of a single model: accuracy lost {100 * noise.lost.floor:.2f} points plus
{100 * noise.lost.slope:.1f}% of the loss, and {100 * noise.images:.2f} points from the validation
images; the leak that a search trial sees {noise.family.floor:.4f} nats plus
{100 * noise.family.slope:.0f}%; the cross-audited leak of a pair of models {noise.gain.floor:.4f}
plus {100 * noise.gain.slope:.0f}%.

Expectations where every layer keeps the same ratio, accuracy lost in points : leak in nats:

{_curves(story.blackboxes)}

The synthetic network was not trained; its formula is in `tests/benchmarks/synthetic.py`, its noise
that of the table."""


def _in_unit(figure: str, value: float) -> str:
    return f"{100 * value:.2f} points" if figure == "lost" else f"{value:.4f} nats"


def _curves(blackboxes: Sequence[Blackbox]) -> str:
    rows = []
    for blackbox in blackboxes:
        space = space_of(blackbox, "global")
        means = blackbox.means([space.counts({"keep/all": keep}) for keep in SHOWN_KEEPS])
        cells = zip(means["lost"], means["leak"], strict=True)
        rows.append([blackbox.name, *(f"{_points(lost)} : {leak:.3f}" for lost, leak in cells)])
    return _table(["network", *(f"{keep:.0%}" for keep in SHOWN_KEEPS)], rows)


def _how(story: Story) -> str:
    return f"""## How it was made

    {story.command}

{story.machine}. `race` and `flat TPE` are this tool, the latter with `--no-race`; they, `random`,
`QMC`, `GP` and `NSGA-II` are its own searcher and samplers, with the anchors that it tries first.
`grid` is Algorithm 1, `per layer` a full factorial in random order, `uniform` one level for all
layers. `OptunaSearch` is Ray's, started from the same anchors; it takes no constraints, so that
each unit of a violated bound, one point of accuracy, adds the dense network's leak. `published` is
the best of uniform, uniform+, ERK and LAMP at evenly spread levels, four models each, ordered as a
race is.
Not simulated: trials that end early because their accuracy is hopeless, further rounds of
confirmation, and luck that neighbouring vectors share: each vector has its own. GP takes
only so many models, and on many layers fewer seeds, because its own computation takes minutes a
search."""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _estimated(one: Estimated) -> str:
    return f"{one.value:+.4f} ({one.low:+.4f} to {one.high:+.4f})"


def _points(fraction: float) -> str:
    return "-" if np.isnan(fraction) else f"{100 * fraction:.1f}"
