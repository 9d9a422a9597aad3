"""Which defence leaks least at each level of lost accuracy, as a table and in words."""

from collections.abc import Mapping, Sequence

from analysis import tables
from analysis.defenses import LEVELS, NOT_CONFIRMED, NOT_SEARCHED, Least, Task
from analysis.side_by_side import Measured
from analysis.statistics import Interval, difference
from analysis.tables import Table
from trainables.defenses.registry import DEFENSES, named


def table(task: Task, found: Mapping[str, Sequence[Least]]) -> Table:
    """One line per defence, one column per level."""
    return Table(
        caption=f"{task.title}: least excess gain (nats) when test accuracy may fall by",
        headers=["defence", *map(tables.level_name, LEVELS)],
        rows=[[defense, *map(_cell, lines)] for defense, lines in found.items()],
    )


def _cell(found: Least) -> str:
    """The confirmed value, which the page sets in bold; then its interval, price and source."""
    if not found.has_run:
        one = found.by_the_way
        aside = [] if one is None else [f"yet {tables.nats(one.excess().estimate)}", *_price(one)]
        return "\n".join([NOT_SEARCHED, *aside])
    lines = [NOT_CONFIRMED]
    if found.confirmed is not None:
        interval = found.confirmed.excess()
        lines = [
            tables.nats(interval.estimate),
            tables.between(interval.low, interval.high),
            *_price(found.confirmed),
        ]
    if found.search_value is not None:
        lines.append(f"search {tables.nats(found.search_value)}")
    return "\n".join(lines)


def _price(one: Measured) -> list[str]:
    """Test accuracy, its drop from the dense network's with an interval, and the run."""
    lost = one.drop()
    lines = [f"test {tables.percent(one.mean('test_accuracy'))}"]
    if lost is not None:
        low, fall, high = (_points(change) for change in (lost.low, lost.estimate, lost.high))
        lines.append(f"drop {fall} ({low} to {high})")
    return [*lines, one.name, *one.caveats]


def _points(change: float) -> str:
    return f"{100 * change:.1f}".replace("-", "\N{MINUS SIGN}")


def in_words(found: Mapping[str, Sequence[Least]]) -> list[str]:
    """Which defence is best at each level, and where DP-SGD or Min-Max is better than pruning."""
    return [_sentence(index, found) for index in range(len(LEVELS))]


def _sentence(index: int, found: Mapping[str, Sequence[Least]]) -> str:
    at = {defense: lines[index] for defense, lines in found.items()}
    known = _contenders(at)
    start = f"For at most {tables.level_name(LEVELS[index])} of test accuracy"
    left_out = _left_out({name: one for name, one in at.items() if name not in known})
    if not known:
        ran = any(one.has_run for name, one in at.items() if not named(name).is_bare)
        why = "nothing was confirmed" if ran else "no defence was searched"
        return "; ".join([f"{start}: {why}", *(left_out if ran else [])]) + "."
    gains = {name: one.excess() for name, one in known.items()}
    best = min(gains, key=lambda name: gains[name].estimate)
    tight = "" if at[best].has_run else ", searched with a tighter bound only"
    text = (
        f"{start}: {best} leaks least ({tables.nats(gains[best].estimate)} nats at "
        f"{tables.percent(known[best].mean('test_accuracy'))}, {known[best].name}{tight})"
    )
    open_ = [
        name
        for name, interval in gains.items()
        if name != best and difference(gains[best], interval).high >= 0
    ]
    text += f", not distinguishable from {', '.join(open_)}" if open_ else ""
    text += ", the only one confirmed" if len(known) == 1 else ""
    rivals = [_rival(name, gains) for name in RIVALS if {name, "pruning"} <= gains.keys()]
    return "; ".join([text, *rivals, *left_out]) + "."


def _contenders(at: Mapping[str, Least]) -> dict[str, Measured]:
    """The defences compared at one level: those searched, and of the rest one that leaks even less.

    A wider search can only improve on the candidate of a tighter one, which therefore may win but
    must not lose. Where no defence was searched at all, none wins.
    """
    if not any(one.has_run for name, one in at.items() if not named(name).is_bare):
        return {}
    known = {name: one.confirmed for name, one in at.items() if one.confirmed is not None}
    tight = {name: one.by_the_way for name, one in at.items() if one.by_the_way is not None}
    best = min(known | tight, key=lambda n: (known | tight)[n].excess().estimate, default=None)
    return known if best is None else known | {best: (known | tight)[best]}


def _left_out(silent: Mapping[str, Least]) -> list[str]:
    """The defences that are not compared at a level, and why; "none" is listed like any other."""
    groups = {
        NOT_SEARCHED: [name for name, one in silent.items() if not one.has_run],
        "nothing confirmed within it": [
            name for name, one in silent.items() if one.has_run and one.confirmed is None
        ],
    }
    return [f"{reason}: {', '.join(names)}" for reason, names in groups.items() if names]


RIVALS = sorted(name for name, defense in DEFENSES.items() if defense.is_rival)
"""The defences that each level compares with pruning, one by one."""


def _rival(name: str, known: Mapping[str, Interval]) -> str:
    """Whether a rival leaks less than pruning."""
    gap = difference(known[name], known["pruning"])
    if gap.high < 0:
        return f"{name} beats pruning"
    return f"pruning beats {name}" if gap.low > 0 else f"{name} and pruning are not distinguishable"
