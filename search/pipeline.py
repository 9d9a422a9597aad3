"""A whole run in order: data, cluster, dense model, search, confirmation, winner and report."""

import dataclasses
import functools
import logging
import signal
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from ray import tune
from rich.console import Console

from analysis.front import at_level, front
from analysis.load import RunRecord, load_run
from analysis.model_card import model_card
from analysis.statistics import confirmed_winner, more_models_may_decide
from search.context import Context
from search.dashboard.beside import shown_live
from search.ending import nothing_feasible, outcome, winner_found
from search.inputs import Inputs, load_inputs
from search.machine_options import GPU_SHARES, Options
from search.option_fields import exactly
from search.plan import plan, trainings
from search.record.log import logging_to
from search.record.progress_json import ProgressFile
from search.record.redaction import shown_to_others
from search.record.runfolder import RunFolder, describe, require_whole
from search.record.storage_url import require_storage_url
from search.record.trials_parquet import Ledger
from search.search_options import SearchConfig
from search.shipped import read_forms, ship
from search.space import Candidate
from search.stages.audit import audit
from search.stages.compare import confirm_comparators, measure_other_pruners
from search.stages.confirm import Confirmation, best_candidates, confirm, nearest_candidates
from search.stages.cross_audit import keep_cross_audit
from search.stages.dense import Dense, train_dense
from search.stages.export import export_winner, write_card
from search.stages.fit import with_given
from search.stages.race import common_field, race
from search.stages.search import base_job, search
from search.stored_settings import as_before, recorded, require_same_data
from search.track.facts import tracked_run
from search.track.follower import following
from search.track.registry import require_tracker, target_of
from search.tune.join import cluster
from search.tune.notice import on_signal
from search.tune.required import StageFailed
from search.tune.resources import Nodes, Resources, plan_resources, wait_for_room
from trainables.base.commandline import OK
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place, remove_tree
from trainables.data.images import DataAbsent
from trainables.job import Job
from trainables.outcome.objective import Goal, goal_of, goals_of
from trainables.records import FAILED, SEARCH_KINDS
from trainables.rehearsal import PRETRAINED

log = logging.getLogger("search")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run whose data are loaded and whose cluster is there."""

    config: SearchConfig
    options: Options
    folder: RunFolder
    run_id: str
    inputs: Inputs
    resources: Resources
    say: Callable[[str], None]

    dense_from: Place | None = None
    """As in `Context`."""


def run(config: SearchConfig | None, options: Options, folder: RunFolder) -> int:
    """Run from settings to report. Raises InvalidInput before anything is written."""
    say = speaker(options)
    require_tracker(options.track)
    stored = folder.read_config() if options.resume else None
    if stored is not None:
        folder.require_own()
        require_whole(stored)
        config = _asked_now(SearchConfig.from_dict(stored["search"]), options)
        options = as_before(options, stored["options"], say)
    if config is None:
        raise InvalidInput("there is nothing to run")
    if options.study_storage is not None:
        require_storage_url(options.study_storage)
    notes: list[str] = []
    inputs = _inputs(config, options, notes.append)
    if stored is not None and inputs is not None:
        require_same_data(folder, stored, inputs, say)
    with cluster(options.address, say) as nodes:
        signal.signal(signal.SIGTERM, on_signal)  # Ray set its own
        resources = resources_for(nodes, options, config.dataset)
        if options.dry_run or inputs is None:
            _dry_run(config, inputs, resources, notes, options)
            return OK
        wait_for_room(resources, nodes, say)
        prepared = Prepared(
            config=config,
            options=options,
            folder=folder,
            run_id=folder.path.name,
            inputs=inputs,
            resources=resources,
            say=say,
        )
        return conduct(prepared, stored)


def resources_for(nodes: Nodes, options: Options, dataset: str) -> Resources:
    """What each trial gets of the cluster, and how many run at a time, as was asked."""
    return plan_resources(
        nodes,
        cpus_per_trial=options.cpus_per_trial,
        gpus_per_trial=options.gpus_per_trial,
        concurrency=options.concurrency,
        may_grow=options.address not in (None, "local"),
        usual_gpus=GPU_SHARES.get(dataset, 1.0),
    )


def conduct(prepared: Prepared, stored: Mapping[str, Any] | None) -> int:
    """Every stage of a run, or of what an earlier program left of it; returns its exit status.

    stored: config.json of a run that goes on.
    """
    config, folder, options = prepared.config, prepared.folder, prepared.options
    if stored is None:
        folder.create()
        start = PRETRAINED if config.pretrained_start else None
        data = {**prepared.inputs.describe(), "pretrained_start": start}
        stored = describe(config, prepared.run_id, recorded(options), data)
        folder.write_config(dict(stored))
    else:
        folder.require_writable()
    with folder.held(), logging_to(folder.log):
        progress = ProgressFile(
            folder.path,
            planned=trainings(config),
            cpus=prepared.resources.cpus_per_trial,
            gpus=prepared.resources.gpus_per_trial,
        )
        context = Context(
            config=config,
            options=options,
            folder=folder,
            run_id=stored["run_id"],
            inputs=prepared.inputs,
            resources=prepared.resources,
            ledger=Ledger(folder.path),
            say=prepared.say,
            dense_from=prepared.dense_from,
            progress=progress,
        )
        target = None if options.track is None else target_of(options.track)
        told = tracked_run(stored, folder.path)
        with (
            progress.kept(),
            shown_live(folder.path, prepared.say, asked=options.dashboard),
            following(target, told, context.ledger, prepared.say) as follower,
        ):
            status = _stages(context)
            # for a mirror that has only now returned
            context.recorder(mirrored=True).on_experiment_end([])
            if follower is not None:
                follower.winner(lambda: outcome(context))
        return status


def _asked_now(config: SearchConfig, options: Options) -> SearchConfig:
    """The settings of a resumed run, with the models that the resume adds."""
    return config if options.more_models is None else config.with_models(options.more_models)


def _dry_run(
    config: SearchConfig,
    inputs: Inputs | None,
    resources: Resources,
    notes: list[str],
    options: Options,
) -> None:
    """Print the plan; the notes come now, since what is refused is one line alone."""
    say, probed = speaker(options), None
    for note in notes:
        say(note)
    if options.probe and inputs is not None:
        from search.probe import in_words, probe  # what a trial needs, which a plan does not

        say("Training for some seconds, to see how long the run takes here")
        probed = in_words(config, probe(config, inputs, resources), resources)
    text = plan(config, inputs, resources, probed)
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


def _warn_of_password(options: Options, say: Callable[[str], None]) -> None:
    given = (
        ("--study-storage", options.study_storage, "~/.pgpass"),
        ("--track", options.track, "MLFLOW_TRACKING_PASSWORD"),
    )
    for option, url, instead in given:
        warning = url and shown_to_others(option, url, options.address, instead)
        if warning:
            say(warning)


def _tell_beforehand(context: Context) -> None:
    """Say what a reader of the figures must know about the data, the network and the attacks."""
    counts = {kind: count for kind, count in trainings(context.config).items() if count}
    context.say(
        f"Plan: {', '.join(f'{kind} {count:,}' for kind, count in counts.items())} models at most; "
        "--dry-run --probe says how long that takes here"
    )
    for note in context.inputs.notes:
        context.say(note)
    network = context.inputs.network
    if network.unpruned:
        left = "; ".join(f"{name} ({why})" for name, why in network.unpruned.items())
        context.say(
            f"Not pruned: {left}. {network.prunable_share:.0%} of the {network.parameters:,} "
            "parameters can be pruned"
        )
    if context.config.pretrained_start:
        context.say(PRETRAINED)
    if context.config.no_references:
        context.say(
            "References are off (--no-references): the leak of pruned models is understated"
        )


def _inputs(config: SearchConfig, options: Options, say: Callable[[str], None]) -> Inputs | None:
    """The data; None when a dry run has no data to look at and plans without them."""
    try:
        return load_inputs(config, options)
    except DataAbsent as error:
        if not options.dry_run:
            raise
        say(f"The data were not looked at: {one_line(error)}")
        return None


def _stages(context: Context) -> int:
    config, say, folder = context.config, context.say, context.folder
    say(f"Run {folder.path}")
    if context.options.more_models is not None:
        _keep_settings(context)
    _warn_of_password(context.options, say)
    folder.remove_leftovers()
    context.ledger.remove_leftovers()
    _tell_beforehand(context)
    context = with_given(context)
    dense = _dense(context)
    found = {"dense_val_accuracy": dense.val_accuracy, "chance_accuracy": _chance(context.inputs)}
    folder.write_config({**folder.read_config(), **found})
    say(
        f"Dense network: validation accuracy {dense.accuracies.mean():.4f}, mean of "
        f"{len(dense.accuracies)}; the one that ships {dense.row['val_accuracy']:.4f}"
    )
    if config.guarantee_is_fixed:
        say(
            "Epsilon is given, and with it the guarantee: the search looks for the best validation "
            "accuracy under it, not for the least leak"
        )
    search(context, dense)
    base = base_job(context, dense)
    orders = _to_confirm(context, dense, base)
    context, dense, confirmation, results = _decided(context, dense, base, orders)
    config = context.config
    best = _winner(folder)
    if best is not None and config.comparators:
        results |= confirm_comparators(context, dense, confirmation, best)
        best = _winner(folder)
    if best is None:
        _withdraw_winner(context)
        _keep_front(context, results)
        feasible = best_candidates(context.ledger.rows())
        what = "No confirmed candidate kept the bounds" if feasible else "No trial was feasible"
        return nothing_feasible(context, what)
    favourites = orders[config.max_accuracy_drop][:1]
    if Candidate.of(best["n"], best["defense_parameters"]) not in favourites:
        better = "is more accurate" if goal_of(config.to_dict()).maximised else "leaks less"
        say(f"The favourite until now was dropped: another {better} when measured again")
    _export_and_audit(context, dense, base, best, results)
    if config.comparators:
        measure_other_pruners(context, confirmation, best)
    _keep_front(context, results)
    return winner_found(context)


def _dense(context: Context) -> Dense:
    """The dense stage; trials are held to the accuracy that the run's first ones were held to.

    Older releases held them to that of the dense model that ships.
    """
    dense = train_dense(context)
    known = context.folder.read_config().get("dense_val_accuracy")
    return dense if known is None else dataclasses.replace(dense, val_accuracy=float(known))


def _decided(
    context: Context, dense: Dense, base: Job, orders: dict[float, list[Candidate]]
) -> tuple[Context, Dense, Confirmation, dict[str, tune.Result]]:
    """The confirmation, again with twice the models where the first leave the winner undecided.

    Where these cannot be made, the first decision stands.
    """
    confirmation = _confirmation(context, dense, base)
    results = _measured_again(context, confirmation, orders)
    models = context.config.models
    if not (context.config.may_take_more_models and _may_be_decided(context.folder)):
        return context, dense, confirmation, results
    context.say(
        f"{models} models leave undecided which vector wins: the dense network and every "
        f"confirmed vector get {models} more"
    )
    more = dataclasses.replace(context, config=context.config.with_models(2 * models))
    try:
        return more, *_with_models_of(more, base, orders)
    except StageFailed as error:
        context.say(f"They cannot be made, so {models} models decide: {one_line(error)}")
        return context, *_with_models_of(context, base, orders)


def _with_models_of(
    context: Context, base: Job, orders: dict[float, list[Candidate]]
) -> tuple[Dense, Confirmation, dict[str, tune.Result]]:
    """The dense stage and the confirmation with the models that the settings now say."""
    _keep_settings(context)
    if context.progress is not None:
        context.progress.plan(trainings(context.config))
    dense = _dense(context)
    confirmation = _confirmation(context, dense, base)
    return dense, confirmation, _measured_again(context, confirmation, orders)


def _keep_settings(context: Context) -> None:
    """Write the settings of a run that takes more models; a resume goes on with them."""
    asked = {"search": context.config.to_dict(), "config_hash": context.config.key}
    context.folder.write_config({**context.folder.read_config(), **asked})


def _confirmation(context: Context, dense: Dense, base: Job) -> Confirmation:
    return Confirmation(
        config=context.config,
        base=base,
        stage=context.stage,
        shared=dense.shared,
        say=context.say,
        keep_cross_audit=functools.partial(keep_cross_audit, context),
    )


def _measured_again(
    context: Context, confirmation: Confirmation, orders: dict[float, list[Candidate]]
) -> dict[str, tune.Result]:
    """The confirmation, until a vector wins."""
    return confirm(
        confirmation,
        orders,
        _confirmed(context),
        lambda: _winner(context.folder) is not None,
    )


def _may_be_decided(folder: RunFolder) -> bool:
    found = load_run(folder.path)
    return more_models_may_decide(found.trials, found.config, found.crossed)


def _chance(inputs: Inputs) -> float:
    """The test accuracy of always guessing the commonest class, which a winner has to exceed."""
    counts = np.bincount(inputs.images.labels[inputs.split.test])
    return float(counts.max() / counts.sum())


def _export_and_audit(
    context: Context,
    dense: Dense,
    base: Job,
    best: pd.Series,
    results: dict[str, tune.Result],
) -> None:
    """Write the winner's folder, and its card again after an audit, which may find more leakage.

    The weights never lack a card, and a resumed run writes both again.
    """
    folder = context.folder
    (chosen,) = best["trial_ids"]
    _ship(context, folder.winner, chosen, results, load_run(folder.path))
    if context.config.audit != "none":
        audit(context, dense, base, results[chosen])
        known = model_card(load_run(folder.path), read_forms(folder.winner))
        write_card(folder.winner, known, chosen)


def _ship(
    context: Context, target: Place, trial_id: str, results: dict[str, tune.Result], run: RunRecord
) -> None:
    """Write a winner's folder: weights and a card at once, then the other files and what they say.

    run: as if the folder's level had been its bound.
    """
    export_winner(target, trial_id, results, model_card(run))
    device = "cuda" if context.resources.gpus_per_trial > 0 and torch.cuda.is_available() else "cpu"
    ship(context.config, context.inputs, context.folder, target, trial_id, context.say, device)
    write_card(target, model_card(run, read_forms(target)), trial_id)


def _withdraw_winner(context: Context) -> None:
    """Remove the winner of an earlier decision, with fewer models."""
    winner = context.folder.winner
    if winner.exists():
        context.say(f"The earlier winner no longer wins: {winner} is removed")
        remove_tree(winner)


def _keep_front(context: Context, results: dict[str, tune.Result]) -> None:
    """Write front.parquet, and the folder of each level beside that of the bound asked for."""
    if not context.config.levels:
        return
    run = load_run(context.folder.path)
    records = front(run)
    for record in records:
        target = context.folder.front / exactly(record.level)
        if record.trial_id is None:
            remove_tree(target)
        elif record.level != context.config.max_accuracy_drop:
            own = at_level(run, record.level)
            _ship(context, target, record.trial_id, results, own)
    context.ledger.write_front(records)


def _to_confirm(context: Context, dense: Dense, base: Job) -> dict[float, list[Candidate]]:
    """Level -> the candidates, best first, after a race."""
    rows, goals = context.ledger.rows(), goals_of(context.config.to_dict(), dense.val_accuracy)
    promising = common_field(rows, [*goals.values()]) if context.config.race_models else []
    if len(promising) > context.config.confirm_top:
        return race(context, dense, base, promising)
    asked = context.config.max_accuracy_drop
    others = {level: best_candidates(rows, goal) for level, goal in goals.items()}
    return {**others, asked: _best_or_nearest(context, rows, goals[asked])}


def _best_or_nearest(context: Context, rows: list[dict[str, Any]], goal: Goal) -> list[Candidate]:
    """The candidates, best first; if none is feasible, a round of the nearest."""
    candidates = best_candidates(rows, goal)
    tried = [row["state"] for row in rows if row["kind"] in SEARCH_KINDS]
    if candidates or 2 * tried.count(FAILED) > len(tried):
        return candidates  # when most trials failed, the nearest of the rest say nothing
    nearest = nearest_candidates(rows, goal)[: context.config.confirm_top]
    if nearest:
        context.say(
            f"No trial was feasible: the {len(nearest)} nearest to the bounds are measured again, "
            "for comparisons with other runs"
        )
    return nearest


def _confirmed(context: Context) -> frozenset[int]:
    """The numbers of the confirm rows on disk."""
    rows = context.ledger.rows()
    return frozenset(row["number"] for row in rows if row["kind"] == "confirm")


def _winner(folder: RunFolder) -> pd.Series | None:
    """The best of the confirm rows."""
    found = load_run(folder.path)
    return confirmed_winner(found.trials, found.config, found.crossed)


def speaker(options: Options) -> Callable[[str], None]:
    """Says what happens on the terminal, unless --quiet, and in the log."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        log.info(text)
        if not options.quiet:
            console.print(text, markup=False)

    return say
