"""The options of `python -m search.run` as argparse knows them, made from the declared fields."""

import argparse
from collections.abc import Sequence
from typing import Any

from search.machine_options import all_options
from search.option_fields import GROUPS
from trainables.base.commandline import OneLineParser, version
from trainables.base.errors import InvalidInput

RENAMED = {"--references": "--models", "--confirm-seeds": "--models"}
"""Options of earlier releases, each with the one that took its place."""


def build_parser() -> argparse.ArgumentParser:
    """The parser for every option, with the defaults in its help."""
    parser = OneLineParser(
        prog="python -m search.run",
        description="Search the per-layer non-zero counts {n_i} that leak least about who was in "
        "the training set while accuracy holds. Without options: LeNet-5 on 5,000 MNIST images.",
        epilog="Exit status: 0 a feasible, confirmed winner; 2 bad input; 3 no feasible trial; "
        "130 interrupted (the resume command is printed); 1 a fault, with the place of its log.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=version(),
        help="print the version and leave",
    )
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    for one in all_options():
        words: dict[str, Any] = {"help": one.help.replace("%", "%%"), "default": None}
        if one.option.metavar is None:
            words["action"] = "store_true"
        else:
            words |= {"type": one.kind, "metavar": one.option.metavar}
            words["action"] = "append" if one.option.repeated else "store"
        groups[one.option.group].add_argument(one.flag, **words)
    return parser


def refuse_renamed(words: Sequence[str]) -> None:
    """Raise InvalidInput for an option of an earlier release, with the one in its place."""
    for word in words:
        if (now := RENAMED.get(old := word.partition("=")[0])) is not None:
            raise InvalidInput(
                f"{old} is now {now} N: how many fully trained models a confirmed vector has, each "
                "of them target and reference; an even number from 4"
            )
