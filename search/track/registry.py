"""The trackers by name, and what `--track` asks for."""

import dataclasses
import importlib.util
import re
from collections.abc import Callable

from search.record.redaction import redacted
from search.track.mlflow_runs import MLflowRuns, require_server
from search.track.protocol import Tracker
from search.track.tensorboard_files import TensorBoardFiles
from search.track.wandb_runs import WandbRuns, require_account
from trainables.base.errors import InvalidInput, one_line
from trainables.base.names import known


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """One tracker that is known by name."""

    package: str
    """What its client is imported as; installed by the extra of the tracker's name."""

    form: str
    """How `--track` asks for it."""

    address: str
    """The pattern of what follows NAME://."""

    make: Callable[[str], Tracker]
    """From the address; imports the client."""

    require: Callable[[str], None] | None = None
    """Raises what its client raises where nothing answers at the address."""


TRACKERS: dict[str, Known] = {
    "mlflow": Known(
        package="mlflow",
        form="mlflow://http://HOST:PORT",
        address=r"https?://[^\s/]\S*",
        make=MLflowRuns,
        require=require_server,
    ),
    "wandb": Known(
        package="wandb",
        form="wandb://PROJECT or wandb://ENTITY/PROJECT",
        address=r"[\w.-]+(/[\w.-]+)?",
        make=WandbRuns,
        require=require_account,
    ),
    "tensorboard": Known(
        package="tensorboard",
        form="tensorboard",
        address="",
        make=TensorBoardFiles,
    ),
}
"""Name -> tracker; a new one is a file beside this one and an entry here."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A tracker that was asked for. `address` may hold a password; `shown` does not."""

    name: str
    address: str

    @property
    def shown(self) -> str:
        """As `--track` takes it, without a password."""
        return f"{self.name}://{redacted(self.address)}" if self.address else self.name

    def tracker(self) -> Tracker:
        """The client, which may not be installed. Raises InvalidInput."""
        self._require_package()
        return TRACKERS[self.name].make(self.address)

    def require(self) -> None:
        """Raise InvalidInput unless the client is installed and what it talks to answers."""
        self._require_package()
        require = TRACKERS[self.name].require
        if require is None:
            return
        try:
            require(self.address)
        except Exception as error:  # a client raises what it likes
            cause = one_line(redacted(str(error), self.address))[:300] or type(error).__name__
            raise InvalidInput(
                f"--track {self.shown} does not answer: start it or correct the address, or leave "
                f"the option out ({cause})"
            ) from error

    def _require_package(self) -> None:
        if importlib.util.find_spec(TRACKERS[self.name].package) is None:
            raise InvalidInput(
                f"--track {self.shown} needs its client: pip install 'prune-privacy[{self.name}]'"
            )


def target_of(asked: str) -> Target:
    """What `--track` asks for. Raises InvalidInput for what is none."""
    name, _, address = asked.partition("://")
    known(redacted(name), TRACKERS, "--track")
    target = Target(name=name, address=address)
    if not re.fullmatch(TRACKERS[name].address, address):
        raise InvalidInput(f"--track {target.shown} is none: write {TRACKERS[name].form}")
    return target


def require_tracker(asked: str | None) -> None:
    """Raise InvalidInput unless what `--track` asks for is known, installed and answers.

    None asks for nothing.  A resumed run whose tracker was not given again is not held to this: one
    that has gone since costs it a warning.
    """
    if asked is not None:
        target_of(asked).require()
