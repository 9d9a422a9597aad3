"""What an audit with shadow models says about a run's winner, beside the run's own attacks."""

import dataclasses
import math

from analysis import roc, statistics, tables
from analysis.load import RunRecord
from analysis.statistics import Interval

LESS, MORE, OPEN = "less", "more", "open"


def direction(quotient: Interval) -> str:
    """Whether the winner leaks less or more than the dense network, or whether that stays open."""
    if not math.isfinite(quotient.low):
        return OPEN
    return LESS if quotient.high < 1 else MORE if quotient.low > 1 else OPEN


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """The strongest audit attack on each of the two networks, and the run's own figures. Nats."""

    attacks: tuple[str, str]
    """The strongest on the dense network, and the strongest on the winner."""

    dense: Interval
    winner: Interval
    own: Interval
    """The winner's excess gain by the run's own attacks, over its seeds."""

    claimed: str
    """Which direction the run's own attacks find."""

    @property
    def quotient(self) -> Interval:
        """Winner over dense network."""
        return statistics.ratio(self.winner, self.dense)

    @property
    def found(self) -> str:
        """Which direction the audit finds."""
        return direction(self.quotient)

    @property
    def refutes(self) -> bool:
        """Whether the run's own attacks found a difference that the audit does not."""
        return self.claimed not in (OPEN, self.found)

    def sentence(self) -> str:
        """Both networks under the strongest attack, their ratio, and what that makes of the run."""
        first, second = self.attacks
        attacks = f"{first} on the dense network, {second} on the winner"
        more = ""
        if self.winner.estimate > self.own.high:
            more = f", more than the {tables.nats(self.own.estimate)} of the run's own attacks"
        return (
            f"The strongest audit attack ({first if first == second else attacks}) finds excess "
            f"gain {tables.nats(self.winner.estimate)} instead of "
            f"{tables.nats(self.dense.estimate)} nats{more}; {self._ratio()}: {self._judged()}."
        )

    def _ratio(self) -> str:
        quotient = self.quotient
        if not math.isfinite(quotient.low):
            return "ratio unknown, for the dense network's is not distinguishable from zero"
        return (
            f"ratio {quotient.estimate:.2f}, 95% interval {quotient.low:.2f} to "
            f"{quotient.high:.2f}, one training of each"
        )

    def _judged(self) -> str:
        if self.found == self.claimed:
            return "no difference either" if self.found == OPEN else "it agrees"
        if self.claimed == OPEN:
            return f"the winner leaks {self.found}, which the run's own attacks could not tell"
        if self.found == OPEN:
            return "it does not bear out the run's own attacks"
        return "it contradicts the run's own attacks"


def of(run: RunRecord) -> Audited | None:
    """The audit of a run's winner; None without an audit or without a winner."""
    dense = statistics.dense(run.trials, run.crossed)
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    found = {} if run.audit is None else roc.strongest(run.audit)
    if dense is None or best is None or not {"dense", "winner"} <= found.keys():
        return None
    own = statistics.excess_interval(best)
    return Audited(
        attacks=(found["dense"][0], found["winner"][0]),
        dense=found["dense"][1],
        winner=found["winner"][1],
        own=own,
        claimed=direction(statistics.ratio(own, statistics.excess_interval(dense))),
    )
