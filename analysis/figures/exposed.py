"""The images that leak most, each with its own excess gain before and after."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from analysis.colours import INK
from analysis.figures.drawing import STYLE, svg
from analysis.statistics.exposure import Exposed
from trainables.base import noun


def exposed(found: Mapping[str, Exposed], pixels: np.ndarray) -> str:
    """One strip of images for each kind of models that chose them.

    found: whose most exposed images -> those images.  pixels: (N, height, width) of the data set,
    dark where large.
    """
    columns = max(len(one.images) for one in found.values())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 1.95 * len(found)), layout="constrained")
        strips = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
        for strip, (whose, one) in zip(strips, found.items(), strict=True):
            strip.suptitle(f"Most exposed by {whose}", fontsize=11, x=0.01, ha="left", color=INK)
            for at, axes in enumerate(strip.subplots(1, columns, squeeze=False)[0]):
                axes.set_axis_off()
                if at < len(one.images):
                    axes.imshow(pixels[one.images[at]], cmap="gray_r", interpolation="nearest")
                    words = f"{one.dense[at]:.2f} → {one.winner[at]:.2f}"
                    axes.set_title(words, fontsize=9, y=-0.32, color=INK)
        return svg(
            figure,
            "exposed",
            f"The most exposed {noun.many()} with their own excess gains in nats: "
            + "; ".join(
                f"by {whose} "
                + ", ".join(f"{a:.2f} and {b:.2f}" for a, b in zip(o.dense, o.winner, strict=True))
                for whose, o in found.items()
            ),
        )
