"""The frozen, checked settings that decide what a run finds."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any, Self

from search.option_fields import CONFIRMATION, SEARCH, WHAT, Option, option
from search.space_kind import SPACES
from trainables.base.errors import InvalidInput
from trainables.config import (
    FEWEST_MODELS,
    MOST_EXACT,
    TARGETS_PAIR,
    ADMMConfig,
    AttackConfig,
    TrainingConfig,
    config_hash,
    rebuilt,
)
from trainables.defenses.registry import Parameter, named
from trainables.outcome.objective import goal_of, levels_of

MOST_CANARIES = 0.5
"""The largest share of canaries: a network of mostly mislabelled members learns nothing else."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInput(message)


NO_BOUND = 1.0
"""A drop in accuracy that excludes nothing, used only for `none`, the basis of comparison."""

MOST = 1_000_000
"""The largest count that an option takes; more would be a slip of the keyboard."""

_COUNTS = ("trials", "confirm_top", "models", "shadows")

RACERS = 12
"""The most vectors that race for their confirmation."""

SHADOWS = {"none": 0, "rmia": 4, "lira": 16}
"""Each audit and the number of shadow models that it takes by default."""


def _datasets() -> Iterable[str]:
    from trainables.data.registry import DATASETS

    return DATASETS


def _models() -> Iterable[str]:
    from trainables.models.registry import MODELS

    return MODELS


def _defenses() -> Iterable[str]:
    from trainables.defenses.registry import DEFENSES

    return DEFENSES


def _pruners() -> Iterable[str]:
    from trainables.pruning.registry import PRUNERS

    return PRUNERS


def _samplers() -> Iterable[str]:
    from search.samplers import SAMPLERS

    return SAMPLERS


def _policies() -> Iterable[str]:
    from trainables.data.duplicates import POLICIES

    return POLICIES


_SET = Option(
    group=WHAT,
    flag="--set",
    metavar="NAME=VALUE",
    help="fix a number of the defence or of its pruning recipe, as gamma=2 or rho=0.1, or search "
    "it in another range, as gamma=0.1:10; or change how dense models are trained, as "
    "training.epochs=30 (batch_size, optimizer, learning_rate, weight_decay, augment); may be "
    "given several times",
    read=str,
    repeated=True,
)
_EPSILON = Option(
    group=WHAT,
    flag="--epsilon",
    metavar="E",
    help="the epsilon of --defense dp, short for --set epsilon=E",
    read=float,
    in_command=False,
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """The settings of a run; equal settings and `concurrency` 1 give equal rows on the CPU."""

    dataset: str = option(group=WHAT, metavar="NAME", choices=_datasets, help="", without="mnist5k")
    model: str = option(
        group=WHAT, metavar="NAME", choices=_models, help="", without="the data set's own"
    )

    training: TrainingConfig
    """The one recipe for the dense model and every reference."""

    admm: ADMMConfig
    attack: AttackConfig

    plugin: str | None = None
    """The SHA-256 hash of the user's file that registers the network or the data set."""

    dense: str | None = None
    """The SHA-256 hash of the user's own trained network; None trains one."""

    fit_training: bool = False
    """Whether epochs and rate of the dense models are fitted to the user's own network."""

    members: str | None = None
    """The SHA-256 hash of the list of images that were trained on; None draws them."""

    pretrained: bool = False
    """Whether networks start from published weights; members are then those of fine-tuning."""

    pretrained_start: bool = option(
        False,
        group=WHAT,
        help="the network of --plugin starts from given weights, and these never saw any image of "
        "the data set; the report repeats it",
    )
    """Whether the user says that weights which no seed changes never saw the data set."""

    defense: str = option("pruning", group=WHAT, metavar="NAME", choices=_defenses, help="")
    parameters: dict[str, Parameter] = dataclasses.field(
        default_factory=dict, metadata={"options": (_SET, _EPSILON)}
    )
    """The defence's own numbers, and those of the recipe with --space recipe+KIND or --set, each
    either searched or fixed."""

    pruner: str = option("admm", group=WHAT, metavar="NAME", choices=_pruners, help="")
    duplicates: str = option(
        "together",
        group=WHAT,
        metavar="NAME",
        choices=_policies,
        help="of an image that occurs more than once every copy is dealt for itself, only the "
        "first takes part, or all go to one part of the split",
    )
    """What becomes of images that occur more than once."""

    limit: int | None = option(
        None,
        group=WHAT,
        metavar="N",
        help="use only N of the images, drawn by the seed, each class in its proportion",
        without="15000 for fashion-mnist, else all",
    )
    """How many images of the data set are used; None uses all."""

    sampler: str = option("tpe", group=SEARCH, metavar="NAME", choices=_samplers, help="")
    space: str = option(
        "layer",
        group=SEARCH,
        metavar="KIND",
        choices=lambda: SPACES,
        help="one keep ratio per layer, per group of layers, or for all layers; recipe+ searches "
        "the pruning recipe beside them: rho, both learning rates and the weight decay",
        without="layer up to 8 layers, else cluster",
    )
    """How many numbers the search chooses."""

    minimum_keep: float = 0.02
    """The least keep ratio that is tried, in (0, 1)."""

    informed_search: bool = True
    """Whether the search's trials are attacked with the dense models as references; runs of older
    releases, which are resumed as they began, were not."""

    more_models: tuple[int, ...] = ()
    """The models of each confirmed vector each time that some were added, by the run itself or by a
    resume, such as (32, 64)."""

    trials: int = option(
        40,
        group=SEARCH,
        metavar="N",
        help="anchors and suggested trials together",
        besides="12 for imagenet, and for cnn4 on fashion-mnist",
    )
    time_budget_s: float | None = option(
        None,
        group=SEARCH,
        flag="--time-budget",
        metavar="TIME",
        read=str,
        help="start no trial after this long: 30m, 2h",
        without="no limit",
    )
    """No trial starts after this many seconds of searching; None sets no limit."""

    max_accuracy_drop: float = option(
        0.01,
        group=SEARCH,
        metavar="FRACTION",
        help="feasible: validation accuracy >= dense - this, in [0, 1); --defense none, which the "
        "others are compared with, has no bound",
    )
    """A feasible trial loses at most this fraction of validation accuracy; or NO_BOUND."""

    levels: tuple[float, ...] = option(
        (),
        group=SEARCH,
        metavar="DROP,DROP,...",
        read=str,
        help="the front: look for the least leak at each of these drops in accuracy too, fractions "
        "in [0, 1) as for --max-accuracy-drop, with the same trials; one more vector is confirmed "
        "for each",
        without="none, only that of --max-accuracy-drop",
    )
    """Drops in validation accuracy, least first, at which the least leak is looked for besides."""

    min_compression: float | None = option(
        None,
        group=SEARCH,
        metavar="RATIO",
        help="feasible: prunable weights / non-zero ones >= this",
        without="2 for mnist5k and fashion-mnist, else no bound",
    )
    """The least feasible ratio of prunable to non-zero prunable weights; None sets no bound."""

    seed: int = option(0, group=SEARCH, metavar="N", help="seed of the whole run")
    """The seed that fixes the split, the dense model and the order of suggestions."""

    confirm_top: int = option(
        3,
        group=CONFIRMATION,
        metavar="N",
        help="feasible vectors that are measured again with fresh seeds and all models",
        besides="2 for imagenet, and for cnn4 on fashion-mnist",
    )
    models: int = option(
        16,
        group=CONFIRMATION,
        metavar="N",
        help="fully trained models of the dense network and of each confirmed vector, an even "
        "number from 4; each is the target once, and the others are its references",
        besides="6 for imagenet, and for cnn4 on fashion-mnist",
    )
    """Model 0 trains on the members and ships, model 1 on the non-members, the others on random
    halves of both."""

    no_race: bool = option(
        False,
        group=CONFIRMATION,
        help="confirm what the search liked best at once, without the race, in which up to 12 "
        "promising vectors get 4 models each to show which are worth it",
    )
    no_more_models: bool = option(
        False,
        group=CONFIRMATION,
        help="leave undecided what --models leaves undecided; without it the dense network and "
        "every confirmed vector get as many models again, once, where that may change the winner; "
        "runs with --audit or --comparators never do",
    )
    no_references: bool = option(
        False,
        group=CONFIRMATION,
        help="train only the model that ships of the dense network and of each confirmed vector: "
        "quicker, but without references the leak is understated and nothing is cross-audited",
    )
    comparators: bool = option(
        False,
        group=CONFIRMATION,
        help="measure uniform, uniform+, ERK, LAMP and global magnitude at the winner's total "
        "count just like the winner, its own counts by the other pruners, and the recipe with "
        "nothing removed, to see what the search and the pruner buy",
    )
    audit: str = option(
        "none",
        group=CONFIRMATION,
        metavar="NAME",
        choices=lambda: SHADOWS,
        help="attack the dense model and the winner with shadow models made the same way, and "
        "report ROC curves",
    )
    shadows: int = option(
        0,
        group=CONFIRMATION,
        metavar="N",
        help="shadow models of the audit, an even number",
        without="4 for rmia, 16 for lira",
    )
    """The number of shadow models: models 2, 3 ... of a vector, trained on random halves."""

    canaries: float = option(
        0.0,
        group=CONFIRMATION,
        metavar="FRACTION",
        help="share of members and of non-members that get a wrong label; audited apart",
    )
    """The share of canaries; an audit of the worst-off images asks whether they are memorised."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _require(
                getattr(self, name) <= MOST,
                f"--{name.replace('_', '-')} must be at most {MOST:,}, got {getattr(self, name)}",
            )
        _require(
            self.limit is None or 1 <= self.limit < MOST_EXACT,
            f"--limit must be at least 1 and below 2**53, got {self.limit}: leave it out to use "
            "the data set's default",
        )
        _require(self.trials >= 1, f"--trials must be at least 1, got {self.trials}")
        budget = self.time_budget_s
        _require(budget is None or budget > 0, f"--time-budget must be longer than 0, got {budget}")
        _require(
            0 <= self.max_accuracy_drop < 1
            or (self.is_bare and self.max_accuracy_drop == NO_BOUND),
            f"--max-accuracy-drop is a fraction in [0, 1), got {self.max_accuracy_drop}: "
            "write 0.01 for one point",
        )
        self._require_levels()
        _require(
            0 < self.minimum_keep < 1,
            f"the least keep ratio must lie in (0, 1), got {self.minimum_keep}",
        )
        bound = self.min_compression
        _require(bound is None or bound >= 1, f"--min-compression must be at least 1, got {bound}")
        _require(
            bound is None or bound <= 1 / self.minimum_keep,
            f"--min-compression {bound} cannot be reached: the search keeps at least "
            f"{self.minimum_keep:.0%} of a layer",
        )
        _require(self.confirm_top >= 1, f"--confirm-top must be at least 1, got {self.confirm_top}")
        _require(
            self.models >= FEWEST_MODELS and self.models % 2 == 0,
            f"--models must be an even number from {FEWEST_MODELS} (they come in complementary "
            f"pairs), got {self.models}",
        )
        self._require_more_models()
        audited = self.audit != "none"
        _require(
            self.shadows >= 2 * audited and self.shadows % 2 == 0,
            f"--shadows must be an even number from 2 (they come in complementary pairs), "
            f"got {self.shadows}",
        )
        _require(
            0 <= self.canaries <= MOST_CANARIES,
            f"--canaries is a fraction in [0, {MOST_CANARIES}], got {self.canaries}: write 0.05 "
            "for one member in twenty",
        )
        _require(
            0 <= self.seed < MOST_EXACT,
            f"--seed must be 0 or more and below 2**53, got {self.seed}",
        )

    def _require_levels(self) -> None:
        wrong = [level for level in self.levels if not 0 <= level < 1]
        _require(
            not wrong,
            f"--levels are fractions in [0, 1), got {wrong[0] if wrong else None}: write 0.01 for "
            "one point",
        )
        _require(
            len(self.levels) <= RACERS,
            f"--levels are at most {RACERS}, as many as vectors race, got {len(self.levels)}",
        )
        _require(
            not (self.levels and self.is_bare),
            f"--levels are bounds on the accuracy, and --defense {self.defense} has none: leave it "
            "out",
        )
        _require(
            not (self.levels and self.guarantee_is_fixed),
            "--levels trade the leak for accuracy, and with a fixed epsilon the search looks for "
            "accuracy alone: leave it out",
        )

    @property
    def every_level(self) -> tuple[float, ...]:
        """The drops in accuracy that the run looks at: that of its bound, then the others."""
        return levels_of(self.to_dict())

    @property
    def dense_models(self) -> int:
        """How many dense models a run trains, one per half: for the race and an audit too."""
        return self.first_dense_models + sum(len(halves) for halves in self.added_halves.values())

    @property
    def first_dense_models(self) -> int:
        """Those of them that the run began with."""
        shadows = TARGETS_PAIR + self.shadows if self.shadows else 0
        return max(self.first_models_each, shadows) + self.race_models

    @property
    def first_race_half(self) -> int:
        """The first half of the race, which neither a reported figure nor the audit uses."""
        return self.first_dense_models - self.race_models

    @property
    def added_halves(self) -> dict[int, range]:
        """The models of each vector each time that some were added -> the halves of these.

        They come after those of the race, which no reported figure may use.
        """
        found, before, first = {}, self.first_models_each, self.first_dense_models
        for models in self.more_models:
            found[models] = range(first, first + models - before)
            before, first = models, first + models - before
        return found

    @property
    def halves_each(self) -> list[int]:
        """The halves on which the dense network and each confirmed vector have their models."""
        added = itertools.chain.from_iterable(self.added_halves.values())
        return [*range(self.first_models_each), *added]

    def with_models(self, models: int) -> Self:
        """The settings of a run that takes more models. Raises InvalidInput for others."""
        _require(
            not self.no_references,
            f"--models {models}: a run of --no-references has one model each and cannot take more; "
            "start a new run",
        )
        _require(
            self.audit == "none" and not self.comparators,
            f"--models {models}: a run with --audit or --comparators cannot take more models; "
            "start a new run",
        )
        if models == self.models_each:
            return self
        return dataclasses.replace(self, more_models=(*self.more_models, models))

    @property
    def may_take_more_models(self) -> bool:
        """Whether the run doubles its models once where those it began with do not decide."""
        never = self.no_more_models or self.no_references or self.guarantee_is_fixed or self.is_bare
        return not (never or self.more_models or self.comparators or self.audit != "none")

    def _require_more_models(self) -> None:
        totals = (self.first_models_each, *self.more_models)
        for before, models in itertools.pairwise(totals):
            _require(
                before < models <= MOST and models % 2 == 0,
                f"--models {models}: a resume adds pairs of models, and the run has {before} of "
                f"each vector; give a larger even number, at most {MOST:,}",
            )

    @property
    def race_models(self) -> int:
        """The models of each vector that races; 0 without a race.

        A search for accuracy under a guarantee does not race, since no leak is compared, nor does
        one whose vectors will all be confirmed.
        """
        races = not (self.no_race or self.no_references or self.guarantee_is_fixed)
        racers = min(self.distinct_trials, RACERS)
        return FEWEST_MODELS if races and racers > self.confirm_top else 0

    @property
    def search_has_references(self) -> bool:
        """Whether the dense models are references of the search's trials."""
        return self.informed_search and not self.no_references

    @property
    def distinct_trials(self) -> int:
        """Trials of the search: one where a defence has nothing to choose."""
        numbers = self.parameters.values()
        chooses = named(self.defense).prunes or any(number.searched for number in numbers)
        return self.trials if chooses else 1

    @property
    def models_each(self) -> int:
        """How many models the dense network and each confirmed vector really have."""
        return self.more_models[-1] if self.more_models else self.first_models_each

    @property
    def first_models_each(self) -> int:
        """How many they had when the run began."""
        return 1 if self.no_references else self.models

    @property
    def is_bare(self) -> bool:
        """Whether nothing defends: the recipe from fresh seeds, close to the dense model."""
        return named(self.defense).is_bare

    @property
    def guarantee_is_fixed(self) -> bool:
        """Whether every trial gives the same guarantee, so that only accuracy is left to tune."""
        return goal_of(self.to_dict()).maximised

    @property
    def key(self) -> str:
        """The hash of all values; two runs with the same key asked for the same thing."""
        return config_hash(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types; the inverse of `from_dict`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild what `to_dict` wrote. Raises InvalidInput on unknown or missing fields.

        Runs from before the race have none, and their searches no references.

        It also refuses runs from before `models`, whose confirmed vectors had other models.

        Runs from before `duplicates` existed left copies where chance dealt them; those from
        before `limit` used all images, which is its default here.
        """
        if isinstance(values, dict) and "references" in values and "models" not in values:
            raise InvalidInput(
                "this run was made by an older version, which measured confirmed vectors with "
                "--references and --confirm-seeds in place of --models: resume it with that "
                "version, or start a new run"
            )
        before = {
            "duplicates": "keep",
            "no_race": True,
            "informed_search": False,
            "no_more_models": True,
        }
        return rebuilt(cls, {**before, **values})
