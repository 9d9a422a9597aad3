"""--config FILE: the options of a run from a file, each with the line that it stands on.

The file is the config.json of a run, whose command holds them, or YAML: `trials: 20`. Values are
read as the text that they are written as, so that they mean what they mean on the command line.
"""

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from search.machine_options import all_options
from search.option_fields import Declared
from search.option_parser import build_parser, refuse_renamed
from search.record.runfolder import VERSION
from trainables.base.errors import InvalidInput, one_line
from trainables.base.names import known
from trainables.base.storage import place
from trainables.records import COMPARISON

ONLY_TYPED = ("config", "save_config", "resume")
"""Options that a file cannot give."""

LISTS = ("defense", "levels")
"""Options whose value may be a list in the file, where the command line has commas."""

PATHS = ("plugin", "dense", "members", "data_dir")
"""Options of config.json, absolute there, that its command may name from another folder."""

YES, NO = ("true", "yes", "on"), ("false", "no", "off")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConfigFile:
    """What a file asks for."""

    name: str
    values: dict[str, Any]
    """Option -> value, as the parser of the command line gives them."""

    lines: dict[str, int]
    """Option -> the line that it stands on, from 1."""

    @classmethod
    def read(cls, path: str) -> Self:
        """Raises InvalidInput, with the line and the key, for whatever is wrong with the file."""
        entries = _entries(path)
        if "command" in entries and entries.keys() & {"search", COMPARISON}:
            return cls._of_a_run(path, entries)
        options = {one.name: one for one in all_options() if one.name not in ONLY_TYPED}
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, (node, line) in entries.items():
            name, where = key.replace("-", "_"), f"{path} line {line}"
            known(name, options, f"{where}: option", "those of --help, without their dashes")
            if name in lines:
                raise InvalidInput(f"{where}: {key} stands on line {lines[name]} already")
            lines[name] = line
            try:
                words = list(_words(options[name], key, node))
                values[name] = vars(build_parser().parse_args(words))[name]
            except InvalidInput as error:
                raise InvalidInput(f"{where}: {error}") from error
        return cls(name=path, values=values, lines=lines)

    @classmethod
    def _of_a_run(cls, path: str, entries: "Mapping[str, tuple[Any, int]]") -> Self:
        version, at = entries.get("version", (None, 1))
        if getattr(version, "value", None) != str(VERSION):
            raise InvalidInput(
                f"{path} line {at}: version is not {VERSION}, the only one that is read here: use "
                "the release that wrote the file"
            )
        node, line = entries["command"]
        try:
            words = shlex.split(node.value)
            asked = words[words.index("search.run") + 1 :]
            refuse_renamed(asked)
            values = vars(build_parser().parse_args(asked))
        except (AttributeError, ValueError) as error:  # InvalidInput is a ValueError
            raise InvalidInput(
                f"{path} line {line}: command is none of this program's ({one_line(error)[:200]})"
            ) from error
        values |= {name: Path(text) for name, text in _paths(entries).items()}
        return cls(name=path, values=values, lines=dict.fromkeys(values, line))

    def under(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the command line gives, and what the file gives besides."""
        both = {
            name: self.values.get(name) if value is None else value for name, value in given.items()
        }
        typed = [word.partition("=")[0] for word in given["set"] or []]
        if "epsilon" in typed:
            both["epsilon"] = None
        if given["epsilon"] is not None:
            typed.append("epsilon")
        kept = [
            word for word in self.values.get("set") or [] if word.partition("=")[0] not in typed
        ]
        both["set"] = [*kept, *(given["set"] or [])] or None
        return both

    def located(self, message: str, given: Mapping[str, Any]) -> str:
        """The message, with the line of the first option in it that the file gave."""
        for flag in re.findall(r"--[a-z][a-z-]*", message):
            name = flag.removeprefix("--").replace("-", "_")
            if self.values.get(name) is not None and given[name] is None:
                return f"{self.name} line {self.lines[name]}: {message}"
        return message


def _entries(path: str) -> dict[str, tuple[Any, int]]:
    """Key -> its value's node and its line."""
    import yaml  # only here is it needed

    try:
        root = yaml.compose(place(path).read_bytes().decode(), Loader=yaml.SafeLoader)
    except OSError as error:
        why = error.strerror or one_line(error)
        raise InvalidInput(f"--config {path} cannot be read: {why}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f" line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"{path}{at} is neither YAML nor JSON: {error.problem}") from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"--config {path} is no text file in YAML or JSON") from error
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise InvalidInput(f"--config {path} has no options: write one a line, as trials: 20")
    found: dict[str, tuple[Any, int]] = {}
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.value in found:
            shown = one_line(key.value)[:50] if isinstance(key, yaml.ScalarNode) else "a list"
            raise InvalidInput(f"{path} line {line}: {shown} is no option, or stands twice")
        found[key.value] = value, line
    return found


def _words(one: Declared, key: str, node: Any) -> Iterator[str]:  # noqa: ANN401 - a node of YAML
    """The words of the command line that give the option the value of a node."""
    text = node.value if isinstance(node.value, str) else None
    if text is not None and node.tag.endswith(":null"):
        return
    if one.option.metavar is None:
        if text is None or text.lower() not in (*YES, *NO):
            shown = "a list" if text is None else repr(one_line(text)[:50])
            raise InvalidInput(f"{key} is true or false, got {shown}")
        if text.lower() in YES:
            yield one.flag
        return
    parts = [text] if text is not None else [_part(key, item) for item in node.value]
    if one.option.repeated:
        yield from (f"{one.flag}={part}" for part in parts)
    elif text is not None or one.name in LISTS:
        yield f"{one.flag}={','.join(parts)}"
    else:
        raise InvalidInput(f"{key} takes one value, not a list")


def _part(key: str, item: Any) -> str:  # noqa: ANN401 - a node, or the two of a key and its value
    """An item of a list, or NAME=VALUE of a key and its value."""
    nodes = item if isinstance(item, tuple) else (item,)
    if not all(isinstance(node.value, str) for node in nodes):
        raise InvalidInput(f"{key} is a list within a list: write one value an item")
    return "=".join(node.value for node in nodes)


def _paths(entries: "Mapping[str, tuple[Any, int]]") -> dict[str, str]:
    """The files and folders that a run was given, absolute."""
    node, _ = entries.get("options", (None, 0))
    pairs = node.value if node is not None and isinstance(node.value, list) else []
    return {
        key.value: value.value
        for key, value in pairs
        if key.value in PATHS and isinstance(value.value, str) and not value.tag.endswith(":null")
    }
