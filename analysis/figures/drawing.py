"""How every picture looks: colours, axes, and the way from a figure to inline SVG.

Kinds of points differ in shape as well as in colour. Text stays text, so that it can be read aloud,
searched and copied.
"""

import html
import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.colours import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, RULE, VERMILLION

SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, INK)


MARKERS = ("o", "s", "^", "v", "P", "X", "D", "<", ">")


STYLE: dict[Any, Any] = {  # the stubs want each key as a literal
    "svg.fonttype": "none",
    "svg.hashsalt": "analysis",
    "text.parse_math": False,  # names come from outside; a "$" in one is not a formula
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: measures the same everywhere
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


TIP = "tip:"
"""What marks the words of a point, which matplotlib can keep as the address of a link only."""


def canvas(height: float, *, width: float = 8.0) -> tuple[Figure, Axes]:
    """A figure of this size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def logarithmic(axes: Axes, which: str, *, percent: bool = False) -> None:
    """Make an axis logarithmic, with plain numbers: powers of ten would be set as formulas."""
    axes.set(**{f"{which}scale": "log"})
    axis: Axis = getattr(axes, f"{which}axis")
    plain = FuncFormatter(lambda value, _: f"{100 * value:g}%" if percent else f"{value:g}")
    axis.set_major_formatter(plain)
    low, high = axis.get_data_interval()
    if low > 0 and high / low < 10:  # no power of ten lies within
        axis.set_minor_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axis.set_minor_formatter(plain)
    else:
        axis.set_minor_formatter(NullFormatter())


def svg(figure: Figure, name: str, description: str) -> str:
    """One self-contained <svg> that refers to nothing outside; its ids are unique in the page."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        # the reader's browser draws the text, in its own fonts
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    markup = buffer.getvalue()
    start = markup.index("<svg")
    opening = markup[start : markup.index(">", start) + 1]
    view_box = re.search(r'viewBox="([^"]+)"', opening)
    if view_box is None:
        raise RuntimeError("matplotlib wrote an SVG without a viewBox")
    width = float(view_box.group(1).split()[2])
    body = markup[start + len(opening) :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(?<=[ ])(id="|xlink:href="#)', rf"\g<1>{name}-", body)
    body = _titled(body.replace("url(#", f"url(#{name}-"))
    return (
        f'<svg class="plot" role="img" aria-label="{html.escape(description, quote=True)}" '
        f'viewBox="{view_box.group(1)}" style="max-width:{width * 1.35:.0f}px" '
        f'stroke-linejoin="round">{body}'
    )


def with_tips(points: PathCollection, tips: Sequence[str]) -> None:
    """Have a browser show each point's words under the pointer, without a script."""
    points.set_urls([TIP + tip for tip in tips])


def _titled(markup: str) -> str:
    """Matplotlib's links around points that have tips, as groups with titles."""
    pattern = rf"""<a xlink:href=(["']){TIP}(.*?)\1[^>]*>(.*?)</a>"""
    return re.sub(pattern, r"<g><title>\2</title>\3</g>", markup, flags=re.DOTALL)


def percent_axis(axes: Axes, label: str) -> None:
    """Show the fractions of the x axis as percent."""
    axes.xaxis.set_major_formatter(lambda value, _position: f"{100 * value:g}")
    axes.set_xlabel(f"{label} (%)")


def label_point(
    axes: Axes, text: str, at: tuple[float, float], *, shift: tuple[float, float]
) -> None:
    """Write `text` beside a point; at: in data units, shift: in points."""
    axes.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        color=INK,
        fontsize=10,
        fontweight="bold",
        ha="left" if shift[0] >= 0 else "right",
        va="center",
    )


def shortened(name: str, length: int = 28) -> str:
    """The end of a name that is longer than `length` characters."""
    return name if len(name) <= length else "…" + name[1 - length :]
