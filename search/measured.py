"""What was measured of one network: in words, and as a folder with a card and a page."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.measured_page import CARD, PAGE, RESULT, SCORES, write_page
from trainables.attacks.gain import reach
from trainables.audit import Audited, Side
from trainables.base import noun
from trainables.base.errors import InvalidInput

WITHOUT = "Without reference models, trained alike on other halves, the leak is understated"


def doubts(found: Audited) -> list[str]:
    """What speaks against the lists, with the figures; said first, for nothing else means much."""
    doubt = found.fit.doubt
    return [] if doubt is None else [f"{doubt.rstrip('.')} ({found.fit.in_words})"]


def described(found: Audited, notes: Sequence[str] = ()) -> str:
    """The figures as lines of text: what is doubtful, the answer, what it rests on."""
    leakage, width = found.leakage, max(map(len, found.leakage.attack_gains))
    best = sorted(found.excess_gains.items(), key=lambda pair: -pair[1])
    lines = [
        *doubts(found),
        answer(found),
        f"Attacked   {found.members:,} members and {found.non_members:,} non-members, which count "
        f"alike; so many tell a leak of {found.least_visible:.4f} nats or more from none",
        f"Accuracy   {_with_error(found.on_members)} on members, "
        f"{_with_error(found.on_non_members)} on non-members",
        f"Loss       {found.on_members.loss:.4f} nats on members, {found.on_non_members.loss:.4f} "
        "on non-members",
        f"Attacker   {leakage.attack_accuracy:.1%} balanced accuracy, AUC "
        f"{leakage.attack_auc:.3f}, {leakage.tpr_at_1pct_fpr:.1%} of members found at 1% false "
        f"alarms; the strongest attack is {leakage.strongest_attack}",
        "Excess gain of each attack (nats, 95% interval):",
        *(
            f"  {name:{width}}  {gain:z8.4f}  ({gain - error:z.4f} to {gain + error:z.4f})"
            for name, gain in best
            for error in [reach(found.attack_errors[name])]
        ),
        *notes,
        *([] if found.references else [WITHOUT]),
    ]
    return "\n".join(lines)


def answer(found: Audited) -> str:
    """The one sentence that matters."""
    known = f"{found.references} reference models" if found.references else "no references"
    tell = "tell members from non-members"
    if not found.leaks:
        tell = "do not measurably tell members from non-members"
    return (
        f"The outputs {tell}: excess gain {found.leakage.excess_gain:z.4f} nats, 95% interval "
        f"{found.low:z.4f} to {found.high:z.4f} ({known}; 1.386 would be a full leak)"
    )


def _with_error(side: Side) -> str:
    return f"{side.accuracy:.1%} ± {100 * reach(side.accuracy_se):.1f} points"


def write_folder(
    folder: Path, found: Audited, scores: pd.DataFrame, source: dict[str, Any], notes: Sequence[str]
) -> None:
    """Make the folder with figures, card, scores and page. Raises InvalidInput where it cannot.

    scores: position, label and is_member of each image.  source: what was measured, for the page.
    """
    plain = dataclasses.asdict(found)
    del plain["probability"]
    figures = {
        "source": source,
        "noun": noun.many(),
        **plain,
        "least_visible": found.least_visible,
        "doubts": doubts(found),
        "answer": answer(found),
        "notes": [*notes, *([] if found.references else [WITHOUT])],
    }
    card = f"# Membership leak of {source['name']}\n\n```\n{described(found, notes)}\n```\n"
    try:
        folder.mkdir(parents=True)
        (folder / RESULT).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        scores.assign(probability=found.probability).to_parquet(folder / SCORES)
        (folder / CARD).write_text(card, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out {folder} cannot be written: {error.strerror}") from error
    write_page(folder)


__all__ = ["CARD", "PAGE", "RESULT", "SCORES", "WITHOUT", "described", "doubts", "write_folder"]
