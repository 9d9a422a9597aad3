"""A winner's folder: weights, masks and a card that says what was measured and what was not."""

from pathlib import Path

from ray import tune

from search.forms import FILES
from search.shipped import FORMS_FILE
from search.tune.kept import kept_checkpoint
from trainables.base.storage import Place, write
from trainables.trial import MASKS_FILE, MODEL_FILE


def export_winner(target: Place, trial_id: str, results: dict[str, tune.Result], card: str) -> None:
    """Copy the winner's model that trained on the members.

    target: RUN/winner, or the folder of a level in RUN/front.  trial_id: the winner's confirm
    trial.  Of a vector's models that one ships whatever its own gain: the best of them would be
    chosen by the noise that the confirmation is there to remove.
    """
    with kept_checkpoint(results[trial_id]).as_directory() as source:
        model = Path(source) / MODEL_FILE
        if not _holds(target / MODEL_FILE, model.read_bytes()):
            for name in (*FILES.values(), FORMS_FILE):  # forms of other weights
                (target / name).unlink(missing_ok=True)
        for name in (MODEL_FILE, MASKS_FILE):
            if (Path(source) / name).exists():  # a defence that prunes nothing has no masks
                write(target / name, (Path(source) / name).read_bytes())
    write_card(target, card, trial_id)


def _holds(file: Place, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def write_card(target: Place, card: str, trial_id: str) -> None:
    """Put the card beside the winner's weights, instead of an earlier one."""
    write(target / "card.md", card.replace("{trial_id}", trial_id))
