"""The command line of `python -m search.run`: it turns words into SearchConfig and Options."""

import dataclasses
import datetime
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.comparison import Comparison
from search.config_file import ConfigFile
from search.machine_options import PRESETS, Options, all_options
from search.option_fields import declared, duration, fractions
from search.option_parser import build_parser, refuse_renamed
from search.own_network import file_hash, is_of_training, with_own_network, with_own_training
from search.presets import paper, paper_presets, smoke
from search.recipes import recipe
from search.record.redaction import HIDDEN
from search.record.runfolder import RunFolder
from search.record.storage_url import require_storage_url
from search.search_options import NO_BOUND, SHADOWS, SearchConfig
from search.several_defenses import comparison, listed
from search.space_kind import RECIPE as RECIPE_TOO
from search.space_kind import default_kind
from search.track.registry import target_of
from trainables.base import noun
from trainables.base.errors import InvalidInput
from trainables.base.names import known
from trainables.base.storage import place
from trainables.config import TrialConfig
from trainables.data.registry import DATASETS
from trainables.defenses.recipe import RECIPE, RECIPES_PRUNER, recipe_numbers
from trainables.defenses.registry import DEFENSES, Parameter
from trainables.models.registry import MODELS

if TYPE_CHECKING:
    from trainables.models.building import Outline
    from trainables.plugin import Plugin


def parse(words: Sequence[str]) -> tuple[SearchConfig | Comparison | None, Options]:
    """The settings that `words` ask for; None in place of settings when a run is resumed.

    A list of defences asks for a comparison.

    Raises InvalidInput, one line, for anything a user can get wrong.
    """
    refuse_renamed(words)
    given = vars(build_parser().parse_args(words))
    if given["config"] is None or given["resume"] is not None:
        return _settings(given)
    file = ConfigFile.read(given["config"])
    try:
        return _settings(file.under(given))
    except InvalidInput as error:
        raise InvalidInput(file.located(str(error), given)) from error


def _settings(given: dict[str, Any]) -> tuple[SearchConfig | Comparison | None, Options]:
    """given: option -> value, None where neither the command line nor --config gives it."""
    _take_task_of_preset(given)
    plugin = None
    if given["plugin"] is not None and given["resume"] is None:
        file_hash("--plugin", given["plugin"].absolute())  # torch is not awaited for a wrong name
        from trainables.plugin import Plugin

        plugin = Plugin.read(given["plugin"].absolute())
        plugin.load()
    options = _options(given)
    _require_usable(options)
    if options.resume is not None:
        clash = [
            one.flag
            for one in all_options()
            if one.option.decides and one.name != "models" and given[one.name] is not None
        ]
        if clash:
            raise InvalidInput(
                f"--resume takes its settings from the run; leave out {', '.join(clash)}"
            )
        return None, dataclasses.replace(options, more_models=given["models"])
    names = listed(given["defense"])
    if not names:
        return _config(given, plugin), options
    _require_names({**given, "defense": None})
    recipe = _recipe({**given, "defense": None})

    def one(own: dict[str, Any]) -> SearchConfig:
        return _config(own, plugin)

    return comparison(names, given, recipe, one, _numbers), options


def _require_usable(options: Options) -> None:
    """Raise InvalidInput for a mirror or a folder that no run could use."""
    if options.study_storage is not None:
        if HIDDEN in options.study_storage:
            raise InvalidInput(
                f"--study-storage {options.study_storage}: its password was not recorded; give "
                "--study-storage URL again, or leave the password to ~/.pgpass"
            )
        require_storage_url(options.study_storage)
    if options.track is not None and HIDDEN in options.track:
        raise InvalidInput(
            f"--track {options.track}: its password was not recorded; give --track again, or leave "
            "the login to MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if options.resume is None and not options.dry_run:
        RunFolder(options.out).check()


LEAST_SHARE = 1e-4
"""Ray counts resources in ten-thousandths."""


def _take_task_of_preset(given: dict[str, Any]) -> None:
    """Fill in the data set and network for a row of the paper; refuse any others."""
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


_SETTLED = ("dataset", "model", "plugin", "dense", "members", "preset", "parameters", "out")
"""The fields that `_config` does not take over unchanged."""


def _config(given: dict[str, Any], plugin: "Plugin | None") -> SearchConfig:
    """Check names and limits first, without heavy imports, then whatever needs the network."""
    _require_names(given)
    config = dataclasses.replace(_recipe(given), **_asked(given))
    config = with_own_training(config, given["set"] or [])
    config = _with_defense(
        dataclasses.replace(config, plugin=None if plugin is None else plugin.sha256), given
    )
    config = with_own_network(config, given)
    return _fitting_network(config, given, with_plugin=plugin is not None)


def _require_names(given: dict[str, Any]) -> None:
    """Raise InvalidInput for a name that its option does not know."""
    for one in all_options():
        value = given[one.name]
        if value is not None and one.option.choices:
            shown = one.option.names and one.option.names()
            known(value, one.choices, one.flag, shown)


def _fitting_network(
    config: SearchConfig, given: dict[str, Any], *, with_plugin: bool
) -> SearchConfig:
    """Complete the settings with what only the network itself, built for this, can tell.

    Raises InvalidInput when the two do not fit together or a user's network cannot be used.
    """
    if config.pretrained_start and not MODELS[config.model].foreign:
        raise InvalidInput(
            f"--pretrained-start is for a network of --plugin, and {config.model} is ours: leave "
            "it out"
        )
    from trainables.models.building import outline

    spec = DATASETS[config.dataset]
    noun.speak_of(spec.noun)
    network = outline(config.model, spec.n_classes, spec.image_shape, spec.n_tokens)
    if given["space"] is None:
        config = dataclasses.replace(config, space=default_kind(len(network.layers)))
    _require_reachable(config, network)
    if with_plugin:
        from trainables.rehearsal import rehearse

        rehearse(_any_trial(config), pretrained_start=config.pretrained_start)
    return config


def _recipe(given: dict[str, Any]) -> SearchConfig:
    """The settings that the data set, the network and the preset stand for."""
    dataset = given["dataset"] or "mnist5k"
    model = given["model"] or DATASETS[dataset].default_model
    preset = given["preset"] or "default"
    if preset not in PRESETS:
        return paper(preset, given["defense"] or "pruning")
    config = recipe(dataset, model)
    return smoke(config) if preset == "smoke" else config


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """Field -> value, for every option that was given and is taken over unchanged."""
    audit = given["audit"] or "none"
    if given["shadows"] is not None and audit == "none":
        raise InvalidInput(f"--shadows {given['shadows']} needs --audit rmia or --audit lira")
    values: dict[str, Any] = {"shadows": SHADOWS[audit]}
    read = {"time_budget_s": duration, "levels": fractions}
    for one in declared(SearchConfig):
        value = given[one.name]
        if value is not None and one.field not in _SETTLED:
            values[one.field] = read[one.field](value) if one.field in read else value
    return values


def _require_reachable(config: SearchConfig, network: "Outline") -> None:
    """Refuse a bound on the size that the network cannot meet, however much of it is pruned."""
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
    """A sample trial of the run, with the defence's numbers at their defaults."""
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
    """Raise InvalidInput when a stored run names something that this program does not have."""
    for one in declared(SearchConfig):
        if one.option.choices:
            known(getattr(config, one.field), one.choices, one.flag)
    for name in config.parameters:
        known(name, tuple(_numbers(config)) or ("none",), "--set")


def _numbers(config: SearchConfig) -> dict[str, Parameter]:
    """All that --set may name: the defence's own numbers, and the recipe's where it prunes."""
    defense = DEFENSES[config.defense]
    obeyed = defense.prunes and config.pruner == RECIPES_PRUNER
    recipe = recipe_numbers(config.admm) if obeyed else {}
    return defense.numbers(config.training.epochs, config.training.optimizer) | recipe


def _with_defense(config: SearchConfig, given: dict[str, Any]) -> SearchConfig:
    """The settings with the defence's numbers, and without a bound that it cannot meet."""
    words = [word for word in given["set"] or [] if not is_of_training(word)]
    if given["epsilon"] is not None:
        words.append(f"epsilon={given['epsilon']}")
    numbers = _numbers(config)
    with_recipe = config.space.startswith(RECIPE_TOO)
    parameters = {
        name: number for name, number in numbers.items() if with_recipe or name not in RECIPE
    }
    for word in words:
        name, parameter = changed_parameter(word, config, numbers)
        parameters[name] = parameter
    if with_recipe and config.pruner != RECIPES_PRUNER:
        raise InvalidInput(
            f"--space {config.space} searches the recipe of --pruner {RECIPES_PRUNER}, and "
            f"{config.pruner} has another: leave recipe+ out"
        )
    bound = config.min_compression
    if not DEFENSES[config.defense].prunes:
        if given["min_compression"] is not None:
            raise InvalidInput(
                f"--min-compression {bound:g} cannot be met by --defense {config.defense}, which "
                "removes no weights: leave it out"
            )
        if with_recipe:
            raise InvalidInput(
                f"--space {config.space} searches the pruning recipe, and --defense "
                f"{config.defense} prunes nothing: leave recipe+ out"
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
    word: str, config: SearchConfig, numbers: Mapping[str, Parameter]
) -> tuple[str, Parameter]:
    """A number, fixed by `NAME=VALUE` or searched by `NAME=LOW:HIGH`.

    numbers: all that may be named.  Raises InvalidInput for an unknown name, for text that is not
    a number or a range, and for values that make no sense.
    """
    name, _, text = word.partition("=")
    if not numbers:
        raise InvalidInput(f"--set {word}: --defense {config.defense} has no numbers to set")
    parameter = numbers[known(name, tuple(numbers), "--set")]
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
    least, most = DEFENSES[config.defense].bounds_of(name, config.training.epochs)
    if min(ends) < least or max(ends) > most:
        bound = f"at least {least:g}" if min(ends) < least else f"at most {most:g}"
        raise InvalidInput(f"--set {word}: {name} is {bound} for --defense {config.defense} here")
    if len(ends) == 1:
        return name, dataclasses.replace(parameter, default=ends[0], searched=False)
    default = min(max(parameter.default, ends[0]), ends[1])
    return name, dataclasses.replace(
        parameter, low=ends[0], high=ends[1], default=default, searched=True
    )


def _require_shares(given: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a share of a machine that no machine can give."""
    for name in ("concurrency", "cpus_per_trial"):
        if given[name] is not None and not 0 < given[name] < math.inf:
            raise InvalidInput(
                f"--{name.replace('_', '-')} must be greater than 0, got {given[name]}"
            )
    cpus = given["cpus_per_trial"]
    if cpus is not None and cpus < LEAST_SHARE:
        raise InvalidInput(
            f"--cpus-per-trial must be at least {LEAST_SHARE:g}, the least share that Ray counts, "
            f"got {cpus}"
        )
    gpus = given["gpus_per_trial"]
    if gpus is not None and not 0 <= gpus < math.inf:
        raise InvalidInput(f"--gpus-per-trial must be 0 or more, got {gpus}")
    if gpus is not None and gpus > 1:
        raise InvalidInput(
            f"--gpus-per-trial {gpus:g}: one model uses one GPU; give 1, or a fraction for trials "
            "that share one"
        )


def _options(given: dict[str, Any]) -> Options:
    _require_shares(given)
    if given["probe"] and not given["dry_run"]:
        raise InvalidInput("--probe measures what --dry-run then says: give both")
    given = {name: value for name, value in given.items() if value is not None}
    if "track" in given:
        target_of(given["track"])
    values = {one.field: given[one.name] for one in declared(Options) if one.name in given}
    out = given.get("out")
    values["out"] = place(out) if out else default_out(given.get("dataset"), given.get("model"))
    if "resume" in values:
        values["resume"] = place(values["resume"])
    if "trial_timeout_s" in values:
        values["trial_timeout_s"] = duration(values["trial_timeout_s"], "--trial-timeout")
    if "config" in values:
        values["config"] = place(values["config"])
    for name in ("data_dir", "plugin", "dense", "members"):
        if name in values:
            values[name] = values[name].absolute()
    return Options(**values)


def default_out(dataset: str | None, model: str | None) -> Path:
    """The folder runs/DATASET-MODEL-TIME; later checks refuse unknown names more clearly."""
    dataset = dataset or "mnist5k"
    spec = DATASETS.get(dataset)
    model = model or (spec.default_model if spec else "unknown")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{dataset}-{model}-{now}"


def words() -> list[str]:
    """The process's own arguments."""
    return sys.argv[1:]
