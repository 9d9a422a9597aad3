"""Command-line options, each declared with the field of the settings that it fills.

The parser, the command in config.json and the table of docs/options.md are all made from these
fields, so an option's flag, default and help are written only once.
"""

import dataclasses
import re
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from trainables.base.annotations import without_none
from trainables.base.errors import InvalidInput

WHAT, SEARCH, CONFIRMATION, MACHINE = GROUPS = (
    "what is pruned",
    "the search",
    "the confirmation",
    "the run and the machine",
)
"""The headings of the help, in order."""

LONGEST_S = 1000 * 86_400.0
"""The longest duration in seconds; the clocks that watch trials cannot hold over 300 years."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """How the command line asks for one field."""

    group: str
    """The heading in the help, one of GROUPS."""

    help: str
    """What the option does; the help puts the choices before it and the default after it."""

    metavar: str | None = None
    """The placeholder for the value in the help; None for a flag without a value."""

    flag: str | None = None
    """The option's name if it is not the field's, such as --time-budget for `time_budget_s`."""

    choices: Callable[[], Iterable[str]] | None = None
    """The names that the option takes, looked up only when needed, since a plugin may add some."""

    names: Callable[[], str] | None = None
    """All choices in words, if a list of them would be too long."""

    without: str | None = None
    """What happens without the option, in words, if the field's default does not say so."""

    besides: str | None = None
    """Where a recipe has another default, in words; they stand behind the field's own."""

    read: Callable[[str], Any] | None = None
    """The conversion of text to a value; None converts to the field's own type."""

    repeated: bool = False
    """Whether the option may be given several times."""

    decides: bool = True
    """Whether it decides a run's results, so that a resumed run takes it from config.json."""

    in_command: bool = True
    """Whether the command in config.json repeats the option."""


def option(default: Any = dataclasses.MISSING, **words: Any) -> Any:  # noqa: ANN401 - stands in a field of any type
    """Declare a field that an option fills; `words` are those of `Option`."""
    return dataclasses.field(default=default, metadata={"options": (Option(**words),)})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """An option together with the field that declares it."""

    field: str
    option: Option
    kind: Callable[[str], Any]
    """The conversion of text to a value, as argparse calls it."""

    default: Any
    """The field's default; MISSING or None if it has none."""

    @property
    def flag(self) -> str:
        """The option's name on the command line."""
        return self.option.flag or "--" + self.field.replace("_", "-")

    @property
    def name(self) -> str:
        """The option's name among the parsed arguments."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def choices(self) -> tuple[str, ...]:
        """The names that the option takes; empty if it takes any value."""
        return tuple(self.option.choices()) if self.option.choices else ()

    @property
    def help(self) -> str:
        """The names to choose from, what the option does, and the default in brackets."""
        names = self.option.names() if self.option.names else " | ".join(self.choices)
        what = ": ".join(part for part in (names, self.option.help) if part)
        return f"{what} [{self.shown_default}]" if self.shown_default else what

    @property
    def shown_default(self) -> str | None:
        """What happens without the option, in words."""
        if self.option.without is not None:
            return self.option.without
        if self.option.metavar is None or self.default in (None, dataclasses.MISSING):
            return None
        shown = f"{self.default:g}" if isinstance(self.default, float) else str(self.default)
        return f"{shown}; {self.option.besides}" if self.option.besides else shown

    def words(self, value: object) -> list[str]:
        """The words of a command that ask for this value; none if the value is not set."""
        if value is None or value is False:
            return []
        return [self.flag] if value is True else [self.flag, str(value)]


def declared(*settings: type) -> list[Declared]:
    """Every option of these dataclasses, in the order of their fields."""
    found = []
    for kind in settings:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            for one in field.metadata.get("options", ()):
                value_type = one.read or without_none(hints[field.name])
                found.append(
                    Declared(field=field.name, option=one, kind=value_type, default=field.default)
                )
    return found


def exactly(number: float) -> str:
    """A number with all its digits; fewer would ask for other settings.

    >>> exactly(8.0), exactly(0.1 + 0.2)
    ('8', '0.30000000000000004')
    """
    return repr(float(number)).removesuffix(".0")


def duration(text: str, flag: str = "--time-budget") -> float:
    """Seconds in `90s`, `30m`, `1.5h`, `2d` or a plain number of seconds.

    Raises InvalidInput for any other text, for zero or less, and for more than LONGEST_S.

    >>> duration("30m")
    1800.0
    """
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if match is None:
        raise InvalidInput(f"{flag} {text!r} is not a duration: write 90s, 30m, 1.5h or 2d")
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    if not seconds > 0:
        raise InvalidInput(f"{flag} {text!r} must be longer than 0")
    if seconds > LONGEST_S:
        raise InvalidInput(f"{flag} {text!r} must be at most {LONGEST_S / 86_400:.0f}d")
    return seconds


def fractions(text: str, flag: str = "--levels") -> tuple[float, ...]:
    """The numbers in `0,0.005,0.01`, least first, each once. Raises InvalidInput for other text.

    >>> fractions("0.05,0,0.05")
    (0.0, 0.05)
    """
    try:
        return tuple(sorted({float(part) + 0.0 for part in text.split(",")}))  # -0 is 0
    except ValueError as error:
        raise InvalidInput(
            f"{flag} {text!r} is not a list of fractions: write 0,0.005,0.01"
        ) from error


def table(options: Sequence[Declared]) -> str:
    """All options as one Markdown table."""
    rows = [
        f"| `{one.flag} {one.option.metavar or ''}".rstrip() + f"` | {_cell(one.help)} |"
        for one in options
    ]
    return "\n".join(["| option | what it does, and its default |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


BEGIN, END = "<!-- options: written by `make options` -->", "<!-- end of options -->"
"""The marks before and after the table of options in a document."""


def in_document(text: str, options: Sequence[Declared]) -> str:
    """A document with its table of options written anew. Raises ValueError without its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the marks of a table of options: {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{table(options)}\n\n{END}{after}"
