"""Numbers as a reader wants them: percent, nats, factors, sizes, durations, intervals."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

UNKNOWN = "\N{EN DASH}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as a percentage.

    >>> percent(0.9314)
    '93.1%'
    """
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    return f"{100 * fraction:.{digits}f}%"


def nats(gain: float | None) -> str:
    """A gain to four decimals; zero never has a minus sign.

    >>> nats(0.01234), nats(-0.00001)
    ('0.0123', '0.0000')
    """
    return UNKNOWN if gain is None or not math.isfinite(gain) else f"{gain:z.4f}"


def times(factor: float | None) -> str:
    """A factor to two decimals.

    >>> times(4.0567)[:4]
    '4.06'
    """
    return (
        UNKNOWN
        if factor is None or not math.isfinite(factor)
        else f"{factor:.2f}\N{MULTIPLICATION SIGN}"
    )


def prunable_share(weights: float, parameters: float | None) -> str | None:
    """The share of all parameters that is prunable; None where it is unknown or all of them.

    It is rounded down, so that a part never reads 100%.

    >>> prunable_share(61_470, 61_706), prunable_share(4_000, 100_000), prunable_share(7, 7)
    ('99.6%', '4.0%', None)
    """
    if parameters is None or not math.isfinite(parameters) or not 0 < weights < parameters:
        return None
    share = 100 * weights / parameters
    return f"{math.floor(10 * share) / 10:.1f}%" if share >= 1 else f"{share:.2g}%"


def compression_of(row: Mapping[str, Any] | pd.Series) -> str:
    """The name of the figure `compression`, which says what is compressed.

    row: a row of trials.parquet or of `statistics.confirmed`.
    """
    parameters = row["parameters"]
    if parameters is None or not parameters >= row["weights"]:  # NaN too
        return "compression of the prunable weights"
    share = prunable_share(row["weights"], parameters)
    return (
        "compression" if share is None else f"compression of the prunable {share} of the parameters"
    )


def compressed(factor: float, weights: float, parameters: float) -> str:
    """A compression for a table of several networks; the second line says of which part."""
    share = prunable_share(weights, parameters) if factor != 1 else None  # at 1 nothing was removed
    return times(factor) + ("" if share is None else f"\nof the prunable {share}")


def size_in_words(best: pd.Series) -> str:
    """How much smaller the winner is than the dense network, counting all that ships.

    best: a row of `statistics.confirmed`. Tables of older releases count only the prunable weights.

    >>> row = {"compression": 12.76, "weights": 61470, "nonzero": 4817, "parameters": 61706}
    >>> size_in_words(pd.Series(row))
    'with 12.2 times fewer parameters'
    """
    kept, whole = float(best["compression"]), float(best["parameters"])
    if kept < 1:
        return f"with {_factor(1 / kept)} times as many prunable weights"
    if kept == 1:
        return "with all its weights"
    if not whole >= float(best["weights"]):  # NaN too
        return f"with {_factor(kept)} times fewer prunable weights"
    ships = max(1.0, whole - float(best["weights"]) + float(best["nonzero"]))
    return f"with {_factor(whole / ships)} times fewer parameters"


def _factor(value: float) -> str:
    return f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def between(low: float, high: float, kind: str = "nats") -> str:
    """An interval as text, without brackets.

    >>> between(0.912, 0.945, "percent")
    '91.2% to 94.5%'
    """
    show = percent if kind == "percent" else nats
    return f"{show(low)} to {show(high)}"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> duration(3725)
    '1 h 2 min 5 s'
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return " ".join(
        f"{value} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if value
    ) or ("0 s")


def with_bounds(row: pd.Series, column: str, kind: str = "nats") -> str:
    """An estimate of a row of `confirmed`; its 95% interval in the second line."""
    show = percent if kind == "percent" else nats
    return f"{show(row[column])}\n{between(row[f'{column}_low'], row[f'{column}_high'], kind)}"


def level_name(level: float) -> str:
    """A level of lost accuracy, a fraction, in words.

    >>> level_name(0.005), level_name(0.01)
    ('0.5 points', '1 point')
    """
    return f"{100 * level:g} point{'s' * (level != 0.01)}"


def three_digits(value: float | None) -> str:
    """A number with three digits behind the point."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.3f}"
