"""The options for the machine and its folders, and the list of all command-line options."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from search.option_fields import GROUPS, MACHINE, WHAT, Declared, declared, option
from search.search_options import SearchConfig
from trainables.base.storage import Place

PRESETS = ("default", "smoke")
"""The presets that every data set has; the paper's rows add theirs."""


def _presets() -> Iterable[str]:
    from search.presets import paper_presets

    return (*PRESETS, *paper_presets())


def _presets_in_words() -> str:
    from search.presets import paper_presets_in_words

    return (
        "default: the data set's full recipe; smoke: the same path with budgets of a minute, whose "
        f"figures mean nothing; {paper_presets_in_words()}"
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the machine should do and where files are; none of it changes what a trial measures.

    `preset` is here for the command in config.json; what it stands for is in `SearchConfig`.
    """

    plugin: Path | None = option(
        None,
        group=WHAT,
        metavar="FILE",
        help="a file of your own that registers networks, data sets and defences for --model, "
        "--dataset and --defense",
    )
    dense: Path | None = option(
        None,
        group=WHAT,
        metavar="FILE",
        help="your own trained network, safetensors or a state dict of torch: it is what is "
        "measured and pruned, and was trained on --members; the models of the other halves are "
        "trained as it was",
        without="a network is trained",
    )
    members: Path | None = option(
        None,
        group=WHAT,
        metavar="FILE",
        help="what was trained on: positions in the data set or names of its files, "
        "one a line, or .npy, .csv or .parquet; non-members, validation and test are dealt from "
        "the others",
        without="drawn by the seed",
    )
    preset: str = option(
        "default", group=WHAT, metavar="NAME", choices=_presets, names=_presets_in_words, help=""
    )
    data_dir: Path | None = option(
        None,
        group=WHAT,
        metavar="DIR",
        help="where data sets lie or are downloaded",
        without="data",
        decides=False,
    )
    image_cache: str = option(
        "~/.cache/prune-privacy",
        group=MACHINE,
        metavar="DIR",
        help="where every machine keeps the decoded images of a data set of files, as imagenet, "
        "so that each is decoded once and not for every epoch; none keeps nothing",
        decides=False,
        in_command=False,
    )
    out: Place = option(
        group=MACHINE,
        metavar="DIR",
        read=str,
        help="the run's folder, or s3://BUCKET/RUN",
        without="runs/DATASET-MODEL-TIME",
        in_command=False,
    )
    config: Place | None = option(
        None,
        group=MACHINE,
        metavar="FILE",
        read=str,
        help="take options from this file: the config.json of any run, whose command they are, or "
        "YAML with an option a line, as trials: 20; what the command line gives wins",
        in_command=False,
    )
    save_config: Path | None = option(
        None,
        group=MACHINE,
        metavar="FILE",
        help="write the settings to this new file, for --config, and run nothing",
        in_command=False,
    )
    resume: Place | None = option(
        None,
        group=MACHINE,
        metavar="RUN",
        read=str,
        help="go on with an interrupted run, or give a finished one more models with --models; "
        "takes no other option that decides its results",
        decides=False,
        in_command=False,
    )
    address: str = option(
        "local",
        group=MACHINE,
        metavar="ADDRESS",
        help="the address of a Ray cluster, or local or auto",
        decides=False,
        in_command=False,
    )
    concurrency: int | None = option(
        None,
        group=MACHINE,
        metavar="N",
        help="trials at a time; with --address a cluster that has no room for so many yet is "
        "asked to grow",
        without="fills the cluster, but for a search, which runs a fifth of its trials at a time "
        "so that suggestions learn from results",
        decides=False,
    )
    cpus_per_trial: float | None = option(
        None,
        group=MACHINE,
        metavar="N",
        help="CPU cores of each trial",
        without="1",
        decides=False,
        in_command=False,
    )
    gpus_per_trial: float | None = option(
        None,
        group=MACHINE,
        metavar="N",
        help="GPUs of each trial, 1 at most; of a fraction it has that share of the memory",
        without="1 if there is any, cifar10 and cifar100 0.5",
        decides=False,
        in_command=False,
    )
    trial_timeout_s: float = option(
        3600.0,
        group=MACHINE,
        flag="--trial-timeout",
        metavar="TIME",
        read=str,
        help="end a trial's process, and try it again, when no epoch and no measurement is done "
        "for this long",
        without="1h",
        decides=False,
        in_command=False,
    )
    """The default is far longer than an epoch of any trial that this program is made for."""

    study_storage: str | None = option(
        None,
        group=MACHINE,
        metavar="URL",
        help="mirror finished trials to an Optuna storage for optuna-dashboard: "
        "sqlite:///study.db or postgresql://USER@HOST/DATABASE, whose password is taken from "
        "PGPASSWORD or ~/.pgpass",
        decides=False,
    )
    dashboard: bool = option(
        False,
        group=MACHINE,
        help="show the run live in a browser of this machine, by the URL that it prints; the page "
        "closes with the run, and `python -m search.dashboard RUN` opens it again "
        "(`pip install 'prune-privacy[dashboard]'`)",
        decides=False,
        in_command=False,
    )
    track: str | None = option(
        None,
        group=MACHINE,
        metavar="TRACKER",
        help="show the run, each of its vectors and the winner in a tracker: tensorboard, "
        "mlflow://http://HOST:PORT, whose password is taken from MLFLOW_TRACKING_PASSWORD, or "
        "wandb://PROJECT; each needs the extra of its name",
        decides=False,
    )
    more_models: int | None = None
    """The models that `--resume RUN --models N` asks for."""

    probe: bool = option(
        False,
        group=MACHINE,
        help="with --dry-run: train for some seconds on this machine to say how long the run takes",
        decides=False,
        in_command=False,
    )
    dry_run: bool = option(
        False,
        group=MACHINE,
        help="print plan, cost and resources; train nothing",
        decides=False,
        in_command=False,
    )
    quiet: bool = option(
        False, group=MACHINE, help="print only the result", decides=False, in_command=False
    )


GPU_SHARES = {"cifar10": 0.5, "cifar100": 0.5}
"""Data sets of which one trial leaves most of a data-centre GPU idle -> what it takes of one."""


def all_options() -> list[Declared]:
    """Every option, in the order of the help."""
    found = declared(SearchConfig, Options)
    return sorted(found, key=lambda one: GROUPS.index(one.option.group))
