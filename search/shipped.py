"""The files of a winner beside its weights, and what was measured of them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from search.forms import FILES, MAKERS, Form, normalised_in_words
from search.inputs import Inputs
from search.record.runfolder import RunFolder
from search.search_options import SearchConfig
from search.winner import Winner, winner_of
from trainables.base.errors import InvalidInput, one_line
from trainables.base.storage import Place, children, read_json, write
from trainables.trial import MODEL_FILE

FORMS_FILE = "forms.json"
"""What was measured of each form; the card is made of it."""

OF_A_RUN = ("onnx", "sparse")
"""The formats that every run writes at its end."""

Forms = dict[str, Any]
"""input: what the network takes, in words; forms: the records."""


def read_forms(target: Place) -> Forms | None:
    """What was measured of the forms beside the weights in `target`; None where none are."""
    file = target / FORMS_FILE
    return dict(read_json(file)) if file.is_file() else None


def forms_with(target: Place, winner: Winner, made: Mapping[str, Form]) -> Forms:
    """What was measured of the forms in `target`, those just made in place of earlier ones."""
    replaced = {MODEL_FILE, *(FILES[name] for name in made)}
    before = (read_forms(target) or {}).get("forms", [])
    records = [winner.own_record(), *(one for one in before if one["file"] not in replaced)]
    records += [record for _, form in made.values() for record in form]
    return {"input": normalised_in_words(winner.spec), "forms": records}


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
) -> None:
    """Write the forms of a winner that are not there yet; one that cannot be made is left out.

    The other arguments are those of `winner_of`.  A winner at several levels is measured once.
    """
    wanted = [name for name in OF_A_RUN if not (target / FILES[name]).is_file()]
    if not wanted or _copied(folder, target):
        return
    made: dict[str, Form] = {}
    try:
        winner = winner_of(config, inputs, folder, target, trial_id)
        for name in wanted:
            try:
                made[name] = MAKERS[name](winner)
            except InvalidInput as error:
                say(f"No {FILES[name]}: {one_line(error)}")
        if made:
            write_forms(target, made, forms_with(target, winner, made))
    except InvalidInput as error:
        say(f"Only {MODEL_FILE} ships: {one_line(error)}")


def _copied(folder: RunFolder, target: Place) -> bool:
    """Copy the forms of the same weights at another level; whether there were any."""
    weights = (target / MODEL_FILE).read_bytes()
    for other in (folder.winner, *children(folder.front)):
        file = other / MODEL_FILE
        forms = other / FORMS_FILE
        if other.name == target.name or not (file.is_file() and forms.is_file()):
            continue
        if file.read_bytes() == weights:
            for name in (*FILES.values(), FORMS_FILE):
                if (other / name).is_file():
                    write(target / name, (other / name).read_bytes())
            return True
    return False
