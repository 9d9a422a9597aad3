"""The forms in which a winner ships: made of its weights, attacked as they are, written beside."""

import dataclasses
import functools
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from search.inputs import Inputs
from search.record.runfolder import RunFolder
from search.search_options import SearchConfig
from trainables.as_shipped import Examiner, Outputs
from trainables.attacks.digest import read_digest, stacked
from trainables.attacks.evidence import DigestedReferences
from trainables.base.errors import InvalidInput, one_line
from trainables.base.seeding import derive_seed
from trainables.base.storage import Place, children, read_json, write
from trainables.config import TARGETS_PAIR
from trainables.data.batches import on_device
from trainables.data.cohort import Cohort, halves_of_models
from trainables.data.registry import DATASETS, DatasetSpec
from trainables.defenses.registry import DEFENSES
from trainables.foreign_code import random_images
from trainables.models.building import build_model
from trainables.models.onnx import OnnxNetwork
from trainables.models.weights import load_weights
from trainables.ship.dead_channels import without_dead_channels
from trainables.ship.onnx_file import onnx_file
from trainables.ship.sparse_file import FLOAT16, INT8, PRECISIONS, sparse_file
from trainables.ship.torch_file import read_torch_file, torch_file
from trainables.ship.unpacking import load_sparse
from trainables.trial import DIGEST_FILE, MODEL_FILE

FORMS_FILE = "forms.json"
"""What was measured of each form; the card is made of it."""

FILES = {"onnx": "model.onnx", "sparse": "model.sparse.zst", "torch": "model.pt2"}
"""Format -> the file that holds it."""

OF_A_RUN = ("onnx", "sparse")
"""The formats that every run writes at its end."""

MOST_LOST = 0.001
"""int8 ships unless it costs more validation accuracy than this; then float16 does."""

Record = dict[str, Any]
"""file, stored, ships, bytes, dense_bytes, the fields of AsShipped and, of a form without dead
channels, `taken`: layer -> how many are gone."""

Forms = dict[str, Any]
"""input: what the network takes, in words; forms: the records."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Winner:
    """A winner's weights, and who examines the forms that are made of them."""

    config: SearchConfig
    weights: Mapping[str, Tensor]
    weights_bytes: int
    examiner: Examiner
    device: torch.device

    @property
    def spec(self) -> DatasetSpec:
        """Of the data set."""
        return DATASETS[self.config.dataset]

    def network(self, weights: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The network with these weights [its own], on the CPU."""
        spec = self.spec
        network = build_model(
            self.config.model,
            n_classes=spec.n_classes,
            image_shape=spec.image_shape,
            n_tokens=spec.n_tokens,
            seed=0,
        )
        try:
            load_weights(network, self.weights if weights is None else weights)
        except (RuntimeError, ValueError) as error:  # torch's own of other shapes
            cause = one_line(error)[:200]
            raise InvalidInput(f"{MODEL_FILE} is not of {self.config.model}: {cause}") from error
        return network

    @functools.cached_property
    def original(self) -> Outputs:
        """What the weights answer that the confirmation measured."""
        return self.examiner.outputs(self.network().to(self.device))

    @functools.cached_property
    def example(self) -> Tensor:
        """Two records at random, of which exporters learn the shape."""
        return random_images(self.spec, 2).contiguous()

    @functools.cached_property
    def smaller(self) -> tuple[nn.Module, dict[str, int]]:
        """The network without dead channels, and how many of each layer are gone."""
        return without_dead_channels(self.network(), self.example)

    @property
    def dense_bytes(self) -> int:
        """Of all its numbers as float32, the zeros too."""
        return 4 * sum(weight.numel() for weight in self.weights.values())

    def record(self, file: str, stored: str, size: int, form: Outputs, **more: object) -> Record:
        """The measured figures of one form."""
        found = dataclasses.asdict(self.examiner.measured(form, self.original))
        head = {"file": file, "stored": stored, "ships": True, "bytes": size}
        return {**head, "dense_bytes": self.dense_bytes, **found, **more}

    def own_record(self) -> Record:
        """Of the weights themselves, which every form is compared with."""
        return self.record(MODEL_FILE, "float32", self.weights_bytes, self.original)


def winner_of(
    config: SearchConfig, inputs: Inputs, folder: RunFolder, target: Place, trial_id: str
) -> Winner:
    """The winner whose weights lie in `target`, RUN/winner or RUN/front/LEVEL.

    trial_id: of its confirm trial.  Raises InvalidInput where weights alone are not what was
    measured.
    """
    entry = DEFENSES[config.defense]
    if entry.network or entry.on_weights is not None:
        raise InvalidInput(
            f"{target / MODEL_FILE} is not all of what --defense {config.defense} releases: only "
            "networks that answer for themselves are exported"
        )
    content = (target / MODEL_FILE).read_bytes()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = on_device(
        inputs.images, DATASETS[config.dataset], device, decoders=(os.cpu_count() or 1)
    )
    return Winner(
        config=config,
        weights=load(content),
        weights_bytes=len(content),
        device=device,
        examiner=Examiner(
            cohort=Cohort.of(images, inputs.split, device),
            attack=config.attack,
            seed=derive_seed(config.seed, "confirm-0"),  # as its confirmation was attacked
            reference=_references(config, inputs, folder.tune, trial_id),
        ),
    )


def _references(
    config: SearchConfig, inputs: Inputs, tune: Place, trial_id: str
) -> DigestedReferences | None:
    """The models that attacked this winner in its confirmation; None where they are gone.

    The first round's stages only: `references-0`, not `references-0-32` of models added later.
    """
    models = config.first_models_each
    first = int(trial_id.rpartition("-")[2]) * models
    names = [f"reference-{first + half:04d}" for half in range(TARGETS_PAIR, models)]
    stages = [one for one in children(tune) if re.fullmatch(r"references-\d+", one.name)]
    files = [
        [file for stage in stages for file in _digests_in(stage / name)][-1:] for name in names
    ]
    if not names or not all(files):
        return None
    digest = stacked([read_digest(io.BytesIO(file.read_bytes())) for (file,) in files])
    halves = halves_of_models(inputs.split, max(config.dense_models, TARGETS_PAIR), config.seed)
    return DigestedReferences(digest=digest, trained_on=halves[TARGETS_PAIR:models])


def _digests_in(trial: Place) -> list[Place]:
    """Of its checkpoints, the last one last."""
    files = [checkpoint / DIGEST_FILE for checkpoint in children(trial)]
    return [file for file in files if file.is_file()]


Form = tuple[bytes, list[Record]]
"""A file, and what was measured of it."""


def as_onnx(winner: Winner) -> Form:
    """model.onnx, which onnxruntime runs. Raises InvalidInput without the extra."""
    spec = winner.spec
    if spec.n_tokens is not None:
        raise InvalidInput(f"{winner.config.dataset} holds tokens, and ONNX files here take images")
    said = {"dataset": winner.config.dataset, "input": normalised_in_words(spec)}
    network, taken = winner.smaller
    content = onnx_file(network, winner.example, said)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILES["onnx"]
        path.write_bytes(content)
        form = winner.examiner.outputs(OnnxNetwork(path, spec.n_classes, spec.image_shape))
    return content, [winner.record(FILES["onnx"], "float32", len(content), form, taken=taken)]


def as_torch(winner: Winner) -> Form:
    """model.pt2, which torch runs alone."""
    network, taken = winner.smaller
    content = torch_file(network, winner.example)
    form = winner.examiner.outputs(Answering(read_torch_file(content)))
    return content, [winner.record(FILES["torch"], "float32", len(content), form, taken=taken)]


class Answering(nn.Module):
    """A program of torch.export, on the CPU it was made on, which knows no evaluation mode."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self._ask = program.forward

    def forward(self, images: Tensor) -> Tensor:
        """As the program answers."""
        with torch.no_grad():
            logits: Tensor = self._ask(images.cpu())
        return logits


def as_sparse(winner: Winner) -> Form:
    """model.sparse.zst as int8, or as float16 where int8 costs accuracy; both are measured."""
    arrays = {
        name: (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        for name, value in winner.weights.items()
    }
    made = {precision: sparse_file(arrays, precision) for precision in PRECISIONS}
    forms = {precision: _answers_of_sparse(winner, content) for precision, content in made.items()}
    accuracies = {
        name: winner.examiner.accuracy(form.validation, "validation")
        for name, form in {**forms, "": winner.original}.items()
    }
    chosen = INT8 if accuracies[INT8] >= accuracies[""] - MOST_LOST else FLOAT16
    return made[chosen], [
        winner.record(
            FILES["sparse"], precision, len(made[precision]), form, ships=precision == chosen
        )
        for precision, form in forms.items()
    ]


def _answers_of_sparse(winner: Winner, content: bytes) -> Outputs:
    """Of the network with the weights that the card's own loader reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILES["sparse"]
        path.write_bytes(content)
        read = {name: torch.from_numpy(value) for name, value in load_sparse(path).items()}
    return winner.examiner.outputs(winner.network(read).to(winner.device))


MAKERS: dict[str, Callable[[Winner], Form]] = {
    "onnx": as_onnx,
    "sparse": as_sparse,
    "torch": as_torch,
}
"""Format -> who makes it."""


def normalised_in_words(spec: DatasetSpec) -> str:
    """What a network of this data set takes."""
    shape = " x ".join(map(str, spec.image_shape))
    if spec.as_given:
        return f"rows of {shape}, as they are"
    return (
        f"images of {shape}, channels first: pixels / 255, less {list(spec.mean)}, divided by "
        f"{list(spec.std)}, per channel"
    )


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
    except ValueError as error:  # InvalidInput too; outputs that are not finite
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
