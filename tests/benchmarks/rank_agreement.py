"""Does the gain that a search sees rank candidates as the attacks with references do?

`python tests/benchmarks/rank_agreement.py OUT` (10 minutes on 2 cores): twelve vectors spread over
the space of LeNet-5 on mnist5k, each with 16 models, the first of which is attacked as a winner's
would be, with 14 references made alike. Prints a table, Spearman's rank correlation and the ratio
of the gains of the search's family, of each attack with references, and of the cross-audit.
"""

import functools
import sys
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from analysis.load import load_run
from search.context import Context
from search.inputs import load_inputs
from search.parser import parse
from search.record.runfolder import RunFolder, describe
from search.record.trials_parquet import Ledger
from search.space import Candidate
from search.stages.confirm import Confirmation, measure
from search.stages.cross_audit import keep_cross_audit
from search.stages.dense import Dense, train_dense
from search.stages.search import base_job, dense_weights
from search.tune.join import cluster
from search.tune.resources import plan_resources
from trainables.attacks.gain import NO_LEAK
from trainables.pruning.uniform_erk_lamp import erk, lamp, uniform

MATCHED = ("reference", "adaptive", "samia")
LEVELS = (0.03, 0.06, 0.1, 0.2, 0.4, 0.7)


def vectors(context: Context, dense: Dense) -> dict[str, tuple[int, ...]]:
    """Dense, uniform at six levels, ERK and LAMP at two, and one that starves the middle."""
    weights = dense_weights(context, dense)
    sizes = tuple(context.inputs.layers.values())
    found = {"dense": sizes} | {f"uniform {keep}": uniform(weights, keep) for keep in LEVELS}
    for name, rule in (("erk", erk), ("lamp", lamp)):
        found |= {f"{name} {keep}": rule(weights, keep) for keep in (0.1, 0.3)}
    shares = (1.0, 0.5, 0.02, 0.2, 1.0)
    return found | {"thin middle": tuple(round(s * n) for s, n in zip(shares, sizes, strict=True))}


def measured(context: Context) -> pd.DataFrame:
    """One row per vector: means over seeds of each attack's excess gain."""
    dense = train_dense(context)
    named = vectors(context, dense)
    confirmation = Confirmation(
        config=context.config,
        base=base_job(context, dense),
        stage=context.stage,
        shared=dense.shared,
        say=context.say,
        keep_cross_audit=functools.partial(keep_cross_audit, context),
    )
    candidates = [Candidate.of(n, None) for n in named.values()]
    results = measure(confirmation, "0", 0, candidates)
    crossed = load_run(context.folder.path).crossed
    rows = []
    for name, (trial_id, result) in zip(named, results.items(), strict=True):
        found = result.metrics or {}
        excess = pd.Series(found["attack_gains"]) - NO_LEAK
        rows.append(
            {
                "vector": name,
                "val_accuracy": found["val_accuracy"],
                "family": excess.drop(list(MATCHED)).max(),
                **excess[list(MATCHED)],
                "crossed": crossed[trial_id].excess.estimate,
            }
        )
    return pd.DataFrame(rows)


def main(out: Path) -> None:
    """Measure into OUT, which must not exist, and print."""
    config, options = parse(["--out", str(out)])
    if config is None:
        raise SystemExit("nothing to run")
    folder, inputs = RunFolder(out), load_inputs(config, options)
    folder.check()
    with cluster("local") as nodes:
        resources = plan_resources(
            nodes, cpus_per_trial=None, gpus_per_trial=None, concurrency=None
        )
        folder.create()
        folder.write_config(describe(config, out.name, {}, inputs.describe()))
        table = measured(
            Context(
                config=config,
                options=options,
                folder=folder,
                run_id=out.name,
                inputs=inputs,
                resources=resources,
                ledger=Ledger(out),
                say=print,
            )
        )
    print(table.round(4).to_string(index=False))
    for name in (*MATCHED, "crossed"):
        rank = spearmanr(table["family"], table[name]).statistic
        pruned = table[table["vector"] != "dense"]
        share = pruned["family"].sum() / pruned[name].sum()
        print(f"family against {name}: Spearman {rank:.2f}, sum of gains {share:.2f} of it")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
