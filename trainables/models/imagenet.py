"""ResNet-18 and MobileNetV2 in their ImageNet forms, torchvision's own, and their weights.

Parameter counts for 1,000 classes: 11,689,512 and 3,504,872.  torchvision is imported where a
network is built: it costs each process a second.
"""

import hashlib
import logging
import pickle
import struct
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.base.errors import InvalidInput
from trainables.models.registry import PUBLISHED

log = logging.getLogger(__name__)

N_CLASSES = 1000


def resnet18(n_classes: int, _image_shape: tuple[int, ...]) -> nn.Module:
    """He et al. 2016, table 1, for colour images."""
    from torchvision import models

    network: nn.Module = models.resnet18(num_classes=n_classes, weights=None)
    return network


def mobilenetv2(n_classes: int, _image_shape: tuple[int, ...]) -> nn.Module:
    """Sandler et al. 2018, table 2, without dropout, which a seed of ours would not reach."""
    from torchvision import models

    network: nn.Module = models.mobilenet_v2(num_classes=n_classes, weights=None, dropout=0.0)
    return network


_FORMS = {"resnet18": resnet18, "mobilenetv2": mobilenetv2}


_DAMAGE = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)
"""What torch raises on a file that does not hold a state dict."""


def published_weights(name: str, folder: Path | None) -> dict[str, Tensor]:
    """State dict of `name` trained on ImageNet: from `folder`, torch's cache, or the network.

    Raises InvalidInput when the file can be neither found nor downloaded, or does not fit.
    """
    url = PUBLISHED[name]
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    file = url.rpartition("/")[2]
    places = [place / file for place in (folder, cache) if place is not None]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        path = _download(name, url, places)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(path.stem.rpartition("-")[2]):
        log.warning("%s does not have the published checksum: read as your own weights", path)
    return _read(name, path)


def _download(name: str, url: str, places: list[Path]) -> Path:
    target = places[-1]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = target.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(url, str(target), prefix, progress=False)
    except (OSError, RuntimeError) as error:
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise InvalidInput(
            f"the published weights of {name} are in none of {', '.join(map(str, places))} and "
            f"cannot be downloaded ({cause}): fetch {url} and put it there"
        ) from error
    return target


def _read(name: str, path: Path) -> dict[str, Tensor]:
    with torch.device("meta"):
        shapes = {
            key: value.shape
            for key, value in _FORMS[name](N_CLASSES, (3, 224, 224)).state_dict().items()
        }
    try:
        weights = torch.load(path, weights_only=True, map_location="cpu")
        fits = {key: value.shape for key, value in weights.items()} == shapes
    except _DAMAGE as error:
        raise InvalidInput(f"{path} cannot be read: delete it to download it again") from error
    if not fits:
        raise InvalidInput(f"{path} does not hold weights of {name}: delete it, or mend it")
    return dict(weights)
