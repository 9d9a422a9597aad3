"""From a trial's settings to the run that makes its model, by the defence's own builder."""

import pkgutil
import typing

from trainables.config import TrialConfig
from trainables.data.cohort import Cohort
from trainables.defenses.registry import DEFENSES
from trainables.runs.protocol import Run
from trainables.runs.start import Builder, Start


def builder_of(defense: str) -> Builder:
    """How the candidates of a defence are made; KeyError for an unknown defence.

    It is imported only now: Opacus costs each process that needs it a second.
    """
    builder = DEFENSES[defense].builder
    found = pkgutil.resolve_name(builder) if isinstance(builder, str) else builder
    return typing.cast("Builder", found)


def new_run(config: TrialConfig, cohort: Cohort, start: Start) -> Run:
    """The run that makes the model `config` asks for; KeyError for an unknown defence."""
    return builder_of(config.defense)(config, cohort, start)
