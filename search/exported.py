"""A finished run's winner, at one of its levels, as a file beside its weights."""

from pathlib import Path

import torch

from analysis.front import at_level, front
from analysis.load import RunRecord, load_run
from analysis.model_card import model_card
from analysis.statistics import confirmed_winner
from search.forms import FILES, MAKERS
from search.inputs import Inputs, load_inputs
from search.machine_options import Options
from search.option_fields import exactly
from search.record.runfolder import RunFolder, require_whole
from search.search_options import SearchConfig
from search.shipped import forms_with, write_forms
from search.stages.export import write_card
from search.stored_settings import as_before, require_same_data
from search.winner import Record, winner_of
from trainables.base import noun
from trainables.base.commandline import shown
from trainables.base.errors import InvalidInput
from trainables.base.storage import Place
from trainables.outcome.objective import levels_of
from trainables.trial import MODEL_FILE


def export(run: Place, form: str, level: float | None, data_dir: Path | None) -> list[str]:
    """Write the winner of a level [of the run's bound] in this form; returns what to say.

    Raises InvalidInput, before anything is written, where there is no such winner or no such form.
    """
    record = load_run(run)
    folder = RunFolder(record.path)
    target, trial_id, seen = _found(record, folder, level)
    require_whole(record.config)
    config = SearchConfig.from_dict(record.config["search"])
    folder.require_writable()  # before minutes of attacks
    with folder.held():
        inputs = _inputs(config, record, folder, data_dir)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        winner = winner_of(config, inputs, folder, target, trial_id, device)
        made = {form: MAKERS[form](winner)}
        forms = forms_with(target, winner, made)
        write_forms(target, made, forms)
        write_card(target, model_card(seen, forms), trial_id)
    return [
        str(shown(target / FILES[form])),
        *(_in_words(one) for one in forms["forms"] if one["file"] == FILES[form]),
    ]


def _found(run: RunRecord, folder: RunFolder, level: float | None) -> tuple[Place, str, RunRecord]:
    """The level's folder, the trial whose weights it holds, and the run as if it were its bound."""
    asked, *others = levels_of(run.config["search"])
    if level is None or level == asked:
        best = confirmed_winner(run.trials, run.config, run.crossed)
        if best is None:
            raise InvalidInput(f"{run.path} has no confirmed winner, so nothing to export")
        target, trial_id, seen = folder.winner, str(best["trial_ids"][0]), run
    else:
        confirmed = {one.level: one.trial_id for one in front(run) if one.trial_id is not None}
        if level not in confirmed:
            levels = ", ".join(exactly(one) for one in sorted({asked, *confirmed}))
            why = "no vector was confirmed at it" if level in others else "the run has no such one"
            raise InvalidInput(f"--level {exactly(level)}: {why}; {run.path} has {levels}")
        target, seen = folder.front / exactly(level), at_level(run, level)
        trial_id = str(confirmed[level])
    if not (target / MODEL_FILE).is_file():
        raise InvalidInput(f"{target / MODEL_FILE} is not there: the run has not come to its end")
    return target, trial_id, seen


def _inputs(
    config: SearchConfig, run: RunRecord, folder: RunFolder, data_dir: Path | None
) -> Inputs:
    """The run's images, split as it split them; nothing is downloaded."""
    if config.plugin is not None:
        folder.require_own()  # its code is loaded
    asked = Options(out=folder.path, data_dir=data_dir, dry_run=True)
    before = {**run.config["options"], "dense": None, "study_storage": None}
    inputs = load_inputs(config, as_before(asked, before, lambda _: None))
    require_same_data(folder, run.config, inputs, lambda _: None)
    return inputs


def _in_words(one: Record) -> str:
    fate = "" if one["ships"] else ", which does not ship"
    return (
        f"As {one['stored']}{fate}: {one['bytes']:,} bytes, "
        f"{one['dense_bytes'] / one['bytes']:.2f} times fewer than dense float32; test accuracy "
        f"{one['test_accuracy']:.1%}; {one['other_classes']:,} of {one['test_images']:,} test "
        f"{noun.many()} in another class, logits off by {one['largest_difference']:.1e} at most; "
        f"excess gain {one['excess_gain']:z.4f} nats"
    )
