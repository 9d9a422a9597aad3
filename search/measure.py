"""`python -m search.measure FILE`: what attacks gain from a network's outputs, without a search."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.base.commandline import BAD_INPUT, OK, OneLineParser, as_command
from trainables.base.errors import InvalidInput, one_line

if TYPE_CHECKING:
    from trainables.audit import Audited

RESULT, CARD = "measured.json", "measured.md"


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = OneLineParser(
        prog="python -m search.measure",
        description="Attack a classifier by its outputs on images (or rows) whose membership is "
        "known, and print what the attacks gain. Nothing is trained but the attacks.",
        epilog="exit status: 0 measured, 2 the outputs cannot be read or audited",
    )
    parser.add_argument(
        "outputs",
        metavar="FILE",
        type=Path,
        help="a .csv or .parquet with the columns label, is_member (1 or 0, true or false) and, in "
        "their order, one per class, logits or probabilities; or an .npz with the arrays outputs, "
        "labels and is_member",
    )
    parser.add_argument(
        "--references",
        metavar="NPZ",
        type=Path,
        help="outputs (models, images, classes) of models trained alike on other halves of these "
        "images, in their order, and trained_on (models, images) [none: the leak is understated]",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of folds and draws [0]")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help=f"a new folder for {RESULT} and {CARD} [nothing is written]",
    )
    try:
        given = parser.parse_args(arguments)
        _require(given.seed >= 0, f"--seed must be 0 or more, got {given.seed}")
        is_new = given.out is None or not given.out.exists()
        _require(is_new, f"--out {given.out} exists: choose a new folder")
        # scikit-learn and torch: a mistake need not wait
        from search.outputs import read_outputs, read_references
        from trainables.audit import audit

        outputs, labels, is_member = read_outputs(given.outputs)
        references = None if given.references is None else read_references(given.references)
        found = audit(outputs, labels, is_member, references, seed=given.seed)
        sys.stdout.write(f"{described(found)}\n")
        if given.out is not None:
            _write(given.out, given.outputs.name, found)
            sys.stdout.write(f"{given.out / CARD}\n")
    except InvalidInput as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
        return BAD_INPUT
    return OK


def _write(folder: Path, name: str, found: "Audited") -> None:
    figures = json.dumps(dataclasses.asdict(found), indent=2)
    card = f"# Membership leak of {name}\n\n```\n{described(found)}\n```\n"
    try:
        folder.mkdir(parents=True)
        (folder / RESULT).write_text(figures + "\n", encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out {folder} cannot be written: {error.strerror}") from error


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInput(message)


def described(found: "Audited") -> str:
    """The figures as lines of text, the answer first."""
    leakage, width = found.leakage, max(map(len, found.leakage.attack_gains))
    known = f"{found.references} reference models" if found.references else "no references"
    answer = "tell members from non-members"
    if not found.leaks:
        answer = "do not measurably tell members from non-members"
    best = sorted(found.excess_gains.items(), key=lambda pair: -pair[1])
    excess = round(leakage.excess_gain, 4) + 0  # no -0.0000
    return "\n".join(
        [
            f"The outputs {answer}: excess gain {excess:.4f} nats, 95% interval {found.low:.4f} "
            f"to {found.high:.4f} ({known}; 1.386 would be a full leak)",
            f"Attacked   {found.members:,} members and {found.non_members:,} non-members"
            + (f"; {found.left_out:,} of the larger side left out" if found.left_out else ""),
            f"Accuracy   {found.member_accuracy:.1%} on members, {found.non_member_accuracy:.1%} "
            "on non-members",
            f"Attacker   {leakage.attack_accuracy:.1%} balanced accuracy, AUC "
            f"{leakage.attack_auc:.3f}, {leakage.tpr_at_1pct_fpr:.1%} of members found at 1% false "
            f"alarms; the strongest attack is {leakage.strongest_attack}",
            "Excess gain of each attack (nats):",
            *(f"  {name:{width}}  {round(excess, 4) + 0:8.4f}" for name, excess in best),
            *([] if found.references else [WITHOUT]),
        ]
    )


WITHOUT = (
    "Without reference models, trained alike on other halves of the images, the leak is understated"
)


if __name__ == "__main__":
    sys.exit(main())
