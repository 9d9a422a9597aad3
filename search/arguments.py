"""The command line of `python -m search.run`: words -> SearchConfig and Options."""

import argparse
import dataclasses
import datetime
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.config import NO_BOUND, SearchConfig
from search.presets import paper, paper_presets, paper_presets_in_words, recipe, smoke
from search.samplers import SAMPLERS
from search.space import default_kind
from trainables.base.commandline import OneLineParser
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.base.storage import Place, place
from trainables.config import TrialConfig
from trainables.data.duplicates import POLICIES
from trainables.data.registry import DATASETS
from trainables.defenses.registry import DEFENSES, Parameter
from trainables.models import MODELS, Outline, outline
from trainables.plugin import Plugin
from trainables.pruning.registry import PRUNERS
from trainables.rehearsal import rehearse
from trainables.runs.registry import BUILDERS

SHADOWS = {"none": 0, "rmia": 4, "lira": 16}
"""Audit -> how many shadow models it takes by default."""

TRIAL_TIMEOUT = "1h"
"""Far longer than an epoch of any trial that this program is made for."""

LONGEST_S = 1000 * 86_400.0
"""Of a duration; the clocks that watch trials take no more than some three hundred years."""

SPACES = ("layer", "cluster", "global")
PRESETS = ("default", "smoke")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is asked of the machine; none of it changes what a trial measures."""

    out: Place
    resume: Place | None
    address: str
    concurrency: int | None
    cpus_per_trial: float | None
    gpus_per_trial: float | None
    trial_timeout_s: float
    data_dir: Path | None
    plugin: Path | None
    study_storage: str | None
    dry_run: bool
    quiet: bool
    preset: str


def duration(text: str, option: str = "--time-budget") -> float:
    """Seconds in `90s`, `30m`, `1.5h`, `2d` or a plain number of seconds.

    >>> duration("30m")
    1800.0
    """
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if match is None:
        raise InvalidInput(f"{option} {text!r} is no duration: write 90s, 30m, 1.5h or 2d")
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    if not seconds > 0:
        raise InvalidInput(f"{option} {text!r} must be longer than 0")
    if seconds > LONGEST_S:
        raise InvalidInput(f"{option} {text!r} must be at most {LONGEST_S / 86_400:.0f}d")
    return seconds


def build_parser() -> argparse.ArgumentParser:
    """Every option, with its default in the help."""
    parser = OneLineParser(
        prog="python -m search.run",
        description="Search the per-layer non-zero counts {n_i} that leak least about who was in "
        "the training set while accuracy holds. Without options: LeNet-5 on 5,000 MNIST images.",
        epilog="Exit status: 0 a feasible, confirmed winner; 2 bad input; 3 no feasible trial; "
        "130 interrupted (the resume command is printed); 1 a fault, with the place of its log.",
        allow_abbrev=False,
    )
    _add_what(parser.add_argument_group("what is pruned"))
    _add_search(parser.add_argument_group("the search"))
    _add_confirmation(parser.add_argument_group("the confirmation"))
    _add_machine(parser.add_argument_group("the run and the machine"))
    return parser


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dataset", metavar="NAME", help=f"{' | '.join(DATASETS)} [mnist5k]")
    group.add_argument("--model", metavar="NAME", help=f"{' | '.join(MODELS)} [the data set's own]")
    group.add_argument(
        "--plugin",
        type=Path,
        metavar="FILE",
        help="a file of your own that registers networks and data sets for the two options above",
    )
    group.add_argument(
        "--pretrained-start",
        action="store_true",
        default=None,
        help="the network of --plugin starts from given weights, and these never saw any image of "
        "the data set; the report repeats it",
    )
    group.add_argument("--defense", metavar="NAME", help=f"{' | '.join(BUILDERS)} [pruning]")
    group.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="fix a number of the defence, as gamma=2, or search it in another range, as "
        "gamma=0.1:10; may be given several times",
    )
    group.add_argument(
        "--epsilon", type=float, metavar="E", help="of --defense dp, short for --set epsilon=E"
    )
    group.add_argument("--pruner", metavar="NAME", help=f"{' | '.join(PRUNERS)} [admm]")
    group.add_argument(
        "--preset",
        metavar="NAME",
        help="default: the data set's full recipe; smoke: the same path with budgets of a minute, "
        f"whose figures mean nothing; {paper_presets_in_words()} [default]",
    )
    group.add_argument(
        "--duplicates",
        metavar="NAME",
        help=f"{' | '.join(POLICIES)}: of an image that occurs more than once every copy is dealt "
        "for itself, only the first takes part, or all go to one part of the split [together]",
    )
    group.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where data sets lie or are downloaded [data]"
    )


def _add_search(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--sampler", metavar="NAME", help=f"{' | '.join(SAMPLERS)} [tpe]")
    group.add_argument(
        "--space",
        metavar="KIND",
        help="layer | cluster | global: one keep ratio per layer, per group of layers, or in all "
        "[layer up to 8 layers, else cluster]",
    )
    group.add_argument(
        "--trials", type=int, metavar="N", help="anchors and suggested trials together [40]"
    )
    group.add_argument(
        "--time-budget", metavar="TIME", help="start no trial after this long: 30m, 2h [no limit]"
    )
    group.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="FRACTION",
        help="feasible: validation accuracy >= dense - this, in [0, 1); --defense none, which the "
        "others are compared with, has no bound [0.01]",
    )
    group.add_argument(
        "--min-compression",
        type=float,
        metavar="RATIO",
        help="feasible: prunable weights / non-zero ones >= this [2 for mnist5k, else no bound]",
    )
    group.add_argument("--seed", type=int, metavar="N", help="of the whole run [0]")


def _add_confirmation(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--confirm-top", type=int, metavar="N", help="vectors that are measured again [3]"
    )
    group.add_argument("--confirm-seeds", type=int, metavar="N", help="fresh seeds of each [3]")
    group.add_argument(
        "--references",
        type=int,
        metavar="N",
        help="reference models of the matched attack, an even number; 0 turns it off [8]",
    )
    group.add_argument(
        "--comparators",
        action="store_true",
        default=None,
        help="measure uniform, uniform+, ERK, LAMP and global magnitude at the winner's total "
        "count just like the winner, its own counts by the other pruners, and the recipe with "
        "nothing removed, to see what the search and the pruner buy",
    )
    group.add_argument(
        "--audit",
        metavar="NAME",
        help=f"{' | '.join(SHADOWS)}: attack the dense model and the winner with shadow models "
        "made the same way, and report ROC curves [none]",
    )
    group.add_argument(
        "--shadows",
        type=int,
        metavar="N",
        help="shadow models of the audit, an even number [4 for rmia, 16 for lira]",
    )
    group.add_argument(
        "--canaries",
        type=float,
        metavar="FRACTION",
        help="share of members and of non-members that get a wrong label; audited apart [0]",
    )


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out",
        metavar="DIR",
        help="the run's folder, or s3://BUCKET/RUN [runs/DATASET-MODEL-TIME]",
    )
    group.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with an interrupted run; takes no other option that decides its results",
    )
    group.add_argument(
        "--address", metavar="ADDRESS", help="of a Ray cluster, or local or auto [local]"
    )
    group.add_argument(
        "--concurrency",
        type=int,
        metavar="N",
        help="trials at a time; with --address a cluster that has no room for so many yet is "
        "asked to grow [fills the cluster]",
    )
    group.add_argument("--cpus-per-trial", type=float, metavar="N", help="[1]")
    group.add_argument(
        "--gpus-per-trial", type=float, metavar="N", help="may be a fraction [1 if there is any]"
    )
    group.add_argument(
        "--trial-timeout",
        metavar="TIME",
        help="end a trial's process, and try it again, when no epoch and no measurement is done "
        "for this long [1h]",
    )
    group.add_argument(
        "--study-storage",
        metavar="URL",
        help="mirror finished trials to an Optuna storage for optuna-dashboard: sqlite:///study.db "
        "or postgresql://USER@HOST/DATABASE, whose password is taken from PGPASSWORD or ~/.pgpass",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="print plan, cost and resources; train nothing"
    )
    group.add_argument("--quiet", action="store_true", help="print only the result")


def parse(words: Sequence[str]) -> tuple[SearchConfig | None, Options]:
    """The settings that `words` ask for; None instead of settings when a run is resumed.

    Raises InvalidInput, one line, for everything a user can get wrong.
    """
    given = vars(build_parser().parse_args(words))
    _take_task_of_preset(given)
    plugin = None
    if given["plugin"] is not None and given["resume"] is None:
        plugin = Plugin.read(given["plugin"].absolute())
        plugin.load()
    options = _options(given)
    if options.resume is not None:
        clash = [f"--{k.replace('_', '-')}" for k in _DECIDING if given[k] is not None]
        if clash or given["out"] is not None:
            raise InvalidInput(
                "--resume takes its settings from the run; leave out "
                f"{', '.join(clash or ['--out'])}"
            )
        return None, options
    return _config(given, plugin), options


def _take_task_of_preset(given: dict[str, Any]) -> None:
    """Fill in the data set and the network of a row of the paper; another one is refused."""
    row = paper_presets().get(given["preset"] or "")
    if row is None or given["resume"] is not None:
        return
    for option, value in zip(("dataset", "model"), row.split("-"), strict=True):
        if given[option] not in (None, value):
            raise InvalidInput(
                f"--preset {given['preset']} is a row on {value}, not on {given[option]}: leave "
                f"--{option} out or choose another preset"
            )
        given[option] = value


_DECIDING = (
    "dataset",
    "model",
    "plugin",
    "pretrained_start",
    "duplicates",
    "defense",
    "set",
    "epsilon",
    "pruner",
    "preset",
    "sampler",
    "space",
    "trials",
    "time_budget",
    "max_accuracy_drop",
    "min_compression",
    "seed",
    "confirm_top",
    "confirm_seeds",
    "references",
    "comparators",
    "audit",
    "shadows",
    "canaries",
)
"""Options that decide results; a resumed run has them already."""

_SETTLED = ("dataset", "model", "plugin", "preset", "set", "epsilon")
"""Of these, what `_config` does not take over word by word."""


def _config(given: dict[str, Any], plugin: Plugin | None) -> SearchConfig:
    dataset = known(given["dataset"] or "mnist5k", list(DATASETS), "--dataset")
    model = known(given["model"] or DATASETS[dataset].default_model, list(MODELS), "--model")
    spec = DATASETS[dataset]
    network = outline(model, spec.n_classes, spec.image_shape)
    shown = f"{', '.join(PRESETS)}, {paper_presets_in_words()}"
    names = (*PRESETS, *paper_presets())
    preset = known(given["preset"] or "default", names, "--preset", shown)
    if preset in PRESETS:
        config = smoke(recipe(dataset, model)) if preset == "smoke" else recipe(dataset, model)
    else:
        config = paper(preset, given["defense"] or "pruning")
    choices = {
        "defense": tuple(BUILDERS),
        "pruner": tuple(PRUNERS),
        "audit": tuple(SHADOWS),
        "sampler": tuple(SAMPLERS),
        "space": SPACES,
        "duplicates": POLICIES,
    }
    audit = known(given["audit"] or "none", tuple(SHADOWS), "--audit")
    if given["shadows"] is not None and audit == "none":
        raise InvalidInput(f"--shadows {given['shadows']} needs --audit rmia or --audit lira")
    changes: dict[str, Any] = {
        "space": default_kind(len(network.layers)),
        "shadows": SHADOWS[audit],
        "plugin": plugin and plugin.sha256,
    }
    for name in _DECIDING:
        value = given[name]
        if value is None or name in _SETTLED:
            continue
        if name == "time_budget":
            changes["time_budget_s"] = duration(value)
        else:
            option = f"--{name.replace('_', '-')}"
            changes[name] = known(value, choices[name], option) if name in choices else value
    config = _with_defense(dataclasses.replace(config, **changes), given)
    _require_reachable(config, network)
    if config.pretrained_start and not MODELS[model].foreign:
        raise InvalidInput(
            f"--pretrained-start is of a network of --plugin, and {model} is ours: leave it out"
        )
    if plugin is not None:
        rehearse(_any_trial(config), pretrained_start=config.pretrained_start)
    return config


def _require_reachable(config: SearchConfig, network: Outline) -> None:
    """Refuse a bound on the size that the network cannot meet, however much is pruned of it."""
    bound, share = config.min_compression, network.prunable_share
    most = 1 / (1 - share * (1 - config.minimum_keep))
    if bound is not None and bound > most:
        left = [f"{name} ({why})" for name, why in network.unpruned.items()]
        raise InvalidInput(
            f"--min-compression {bound:g} cannot be met: {share:.1%} of the {network.parameters:,} "
            f"parameters of {config.model} can be pruned, so that it shrinks {most:.2g} times at "
            f"most; not pruned: {', '.join([*left[:3], 'biases and norms'])}"
        )


def _any_trial(config: SearchConfig) -> TrialConfig:
    """A trial of the run, with the defence's numbers at their defaults."""
    return TrialConfig(
        kind="search",
        number=0,
        run_seed=config.seed,
        seed=0,
        dataset=config.dataset,
        model=config.model,
        n=(),
        defense=config.defense,
        pruner=config.pruner,
        parameters={name: number.default for name, number in config.parameters.items()},
        training=config.training,
        admm=config.admm,
        attack=config.attack,
    )


def require_known(config: SearchConfig) -> None:
    """Raise InvalidInput where a stored run names what this program has not."""
    for option, value, choices in (
        ("--dataset", config.dataset, DATASETS),
        ("--model", config.model, MODELS),
        ("--defense", config.defense, BUILDERS),
        ("--pruner", config.pruner, PRUNERS),
        ("--audit", config.audit, SHADOWS),
        ("--sampler", config.sampler, SAMPLERS),
        ("--space", config.space, SPACES),
        ("--duplicates", config.duplicates, POLICIES),
    ):
        known(value, tuple(choices), option)
    numbers = DEFENSES[config.defense].numbers(config.training.epochs, config.training.optimizer)
    for name in config.parameters:
        known(name, tuple(numbers) or ("none",), "--set")


def _with_defense(config: SearchConfig, given: dict[str, Any]) -> SearchConfig:
    """The settings with the defence's numbers, and without a bound that it cannot meet."""
    words = list(given["set"] or [])
    if given["epsilon"] is not None:
        words.append(f"epsilon={given['epsilon']}")
    training = config.training
    parameters = DEFENSES[config.defense].numbers(training.epochs, training.optimizer)
    for word in words:
        name, parameter = changed_parameter(
            word, config.defense, training.epochs, training.optimizer
        )
        parameters[name] = parameter
    bound = config.min_compression
    if not DEFENSES[config.defense].prunes:
        if given["min_compression"] is not None:
            raise InvalidInput(
                f"--min-compression {bound:g} cannot be met by --defense {config.defense}, which "
                "removes no weights: leave it out"
            )
        if config.comparators:
            raise InvalidInput(
                f"--comparators are allocations of weights, and --defense {config.defense} removes "
                "none: leave it out"
            )
        bound = None
    return dataclasses.replace(
        config,
        parameters=parameters,
        min_compression=bound,
        max_accuracy_drop=NO_BOUND if config.is_bare else config.max_accuracy_drop,
    )


def changed_parameter(
    word: str, defense: str, epochs: int, optimizer: str = "adam"
) -> tuple[str, Parameter]:
    """A defence's number as `NAME=VALUE` fixes it or `NAME=LOW:HIGH` has it searched.

    >>> changed_parameter("gamma=2", "minmax", 40)[1].default
    2.0

    epochs, optimizer: of the recipe.  Raises InvalidInput for an unknown name, for what is no
    number or range, and for values that mean nothing.
    """
    name, _, text = word.partition("=")
    known_parameters = DEFENSES[defense].numbers(epochs, optimizer)
    if not known_parameters:
        raise InvalidInput(f"--set {word}: --defense {defense} has no numbers to set")
    parameter = known_parameters[known(name, tuple(known_parameters), "--set")]
    try:
        ends = [float(part) for part in text.split(":")]
    except ValueError:
        ends = []
    fits = len(ends) in (1, 2) and all(math.isfinite(end) for end in ends)
    if not fits or min(ends) <= 0 or (len(ends) == 2 and ends[0] >= ends[1]):
        raise InvalidInput(
            f"--set {word} is neither NAME=VALUE nor NAME=LOW:HIGH with numbers above 0"
        )
    if parameter.integer and any(end != int(end) for end in ends):
        raise InvalidInput(f"--set {word}: {name} is a whole number")
    least, most = DEFENSES[defense].bounds_of(name, epochs)
    if min(ends) < least or max(ends) > most:
        bound = f"at least {least:g}" if min(ends) < least else f"at most {most:g}"
        raise InvalidInput(f"--set {word}: {name} is {bound} for --defense {defense} here")
    if len(ends) == 1:
        return name, dataclasses.replace(parameter, default=ends[0], searched=False)
    default = min(max(parameter.default, ends[0]), ends[1])
    return name, dataclasses.replace(
        parameter, low=ends[0], high=ends[1], default=default, searched=True
    )


def _options(given: dict[str, Any]) -> Options:
    for name in ("concurrency", "cpus_per_trial"):
        if given[name] is not None and not 0 < given[name] < math.inf:
            raise InvalidInput(
                f"--{name.replace('_', '-')} must be greater than 0, got {given[name]}"
            )
    gpus = given["gpus_per_trial"]
    if gpus is not None and not 0 <= gpus < math.inf:
        raise InvalidInput(f"--gpus-per-trial must be 0 or more, got {gpus}")
    return Options(
        out=place(given["out"]) if given["out"] else default_out(given["dataset"], given["model"]),
        resume=None if given["resume"] is None else place(given["resume"]),
        address=given["address"] or "local",
        concurrency=given["concurrency"],
        cpus_per_trial=given["cpus_per_trial"],
        gpus_per_trial=gpus,
        trial_timeout_s=duration(given["trial_timeout"] or TRIAL_TIMEOUT, "--trial-timeout"),
        data_dir=None if given["data_dir"] is None else given["data_dir"].absolute(),
        plugin=None if given["plugin"] is None else given["plugin"].absolute(),
        study_storage=given["study_storage"],
        dry_run=given["dry_run"],
        quiet=given["quiet"],
        preset=given["preset"] or "default",
    )


def default_out(dataset: str | None, model: str | None) -> Path:
    """runs/DATASET-MODEL-TIME; unknown names are refused later, with a better message."""
    dataset = dataset or "mnist5k"
    spec = DATASETS.get(dataset)
    model = model or (spec.default_model if spec else "unknown")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{dataset}-{model}-{now}"


def words() -> list[str]:
    """The process's own arguments."""
    return sys.argv[1:]
