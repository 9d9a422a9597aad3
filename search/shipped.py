"""The files of a winner beside its weights, and what was measured of them."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from search.forms import FILES, MAKERS, Form, normalised_in_words
from search.inputs import Inputs
from search.record.runfolder import RunFolder
from search.search_options import SearchConfig
from search.winner import Winner, winner_of
from trainables.base.commandline import shown
from trainables.base.errors import one_line
from trainables.base.storage import Place, children, read_json, write
from trainables.trial import MODEL_FILE

log = logging.getLogger(__name__)

FORMS_FILE = "forms.json"
"""What was measured of each form; the card is made of it."""

OF_A_RUN = ("onnx", "sparse")
"""The formats that every run writes at its end."""

Forms = dict[str, Any]
"""input: what the network takes, in words; forms: the records."""


def read_forms(target: Place) -> Forms | None:
    """What was measured of the forms beside the weights in `target`; None if nothing is known."""
    try:
        return dict(read_json(target / FORMS_FILE))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        log.warning("%s is damaged: the forms are measured anew", target / FORMS_FILE)
        return None


def forms_with(target: Place, winner: Winner, made: Mapping[str, Form]) -> Forms:
    """What was measured of the forms in `target`, those just made in place of earlier ones."""
    replaced = {MODEL_FILE, *(FILES[name] for name in made)}
    before = (read_forms(target) or {}).get("forms", [])
    records = [winner.own_record(), *(one for one in before if one["file"] not in replaced)]
    records += [record for _, form in made.values() for record in form]
    dtype = "float32" if winner.spec.n_tokens is None else "int64"
    return {"input": normalised_in_words(winner.spec), "dtype": dtype, "forms": records}


def write_forms(target: Place, made: Mapping[str, Form], forms: Forms) -> None:
    """Write the files, and what was measured."""
    for name, (content, _) in made.items():
        write(target / FILES[name], content)
    write(target / FORMS_FILE, json.dumps(forms, indent=2, allow_nan=False) + "\n")


def ship(
    config: SearchConfig,
    inputs: Inputs,
    folder: RunFolder,
    target: Place,
    trial_id: str,
    say: Callable[[str], None],
    device: str = "cpu",
) -> None:
    """Write the forms of a winner that are not there yet; one that cannot be made is left out.

    The other arguments are those of `winner_of`.  A winner at several levels is measured once.
    Whatever a user's network meets on the way, the weights stand and the run goes on.
    """
    measured = read_forms(target) is not None
    wanted = [name for name in OF_A_RUN if not (measured and (target / FILES[name]).is_file())]
    if not wanted or (not measured and _copied(folder, target)):
        return
    say(f"The files beside {shown(target / MODEL_FILE)} are made, and attacked as they ship")
    made: dict[str, Form] = {}
    try:
        winner = winner_of(config, inputs, folder, target, trial_id, device)
        for name in wanted:
            _make(name, winner, made, say)
        if made:
            write_forms(target, made, forms_with(target, winner, made))
    except OSError:
        raise  # the disk's, of which the run itself speaks
    except Exception as error:
        log.warning("%s ships alone", MODEL_FILE, exc_info=True)
        say(f"Only {MODEL_FILE} ships: {one_line(error)[:300]}")


def _make(name: str, winner: Winner, made: dict[str, Form], say: Callable[[str], None]) -> None:
    try:
        made[name] = MAKERS[name](winner)
    except Exception as error:
        log.warning("no %s", FILES[name], exc_info=True)
        say(f"No {FILES[name]}: {one_line(error)[:300]}")


def _copied(folder: RunFolder, target: Place) -> bool:
    """Copy all forms of a run of the same weights at another level; whether there were any."""
    weights = (target / MODEL_FILE).read_bytes()
    for other in (folder.winner, *children(folder.front)):
        file = other / MODEL_FILE
        forms = other / FORMS_FILE
        if other.name == target.name or not (file.is_file() and forms.is_file()):
            continue
        if not all((other / FILES[name]).is_file() for name in OF_A_RUN):
            continue
        if file.read_bytes() == weights:
            for name in (*FILES.values(), FORMS_FILE):
                if (other / name).is_file():
                    write(target / name, (other / name).read_bytes())
            return True
    return False
