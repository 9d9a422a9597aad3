"""Does the gain that a search sees rank candidates as the attacks with references do?

`python tests/benchmarks/rank_agreement.py OUT` (10 minutes on 2 cores): twelve vectors spread over
the space of LeNet-5 on mnist5k, each pruned with two seeds and attacked as a winner would be, with
16 references made alike. Prints a table, Spearman's rank correlation and the ratio of the gains of
the search's family and of each attack with references, LiRA's own likelihood ratio among them.
"""

import functools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from search.context import Context
from search.inputs import load_inputs
from search.parser import parse
from search.record.runfolder import RunFolder, describe
from search.record.trials_parquet import Ledger
from search.space import Candidate
from search.stages.confirm import Confirmation, _confirm_job, _with_references, references_name
from search.stages.cross_audit import keep_cross_audit
from search.stages.dense import Dense, train_dense
from search.stages.search import base_job, dense_weights
from search.tune.join import cluster
from search.tune.kept import kept_logits
from search.tune.resources import plan_resources
from search.tune.stage import run_stage
from trainables.attacks.auditors import calibrated_score
from trainables.attacks.evidence import Evidence, ReferenceEvidence
from trainables.attacks.features import scaled_confidence
from trainables.attacks.folds import stratified_folds
from trainables.attacks.gain import NO_LEAK, attack_gain
from trainables.attacks.lira import online
from trainables.base.seeding import numpy_generator
from trainables.pruning.uniform_erk_lamp import erk, lamp, uniform

REFERENCES, SEEDS = 16, 2
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


def lira_excess(context: Context, logits: np.ndarray, references: np.ndarray) -> float:
    """Excess gain of LiRA (online, fixed variance), calibrated on other images, nats."""
    split, labels = context.inputs.split, context.inputs.images.labels
    audited = np.concatenate([split.members, split.non_members])
    evidence = Evidence(
        logits=logits,
        labels=labels[audited],
        is_member=np.arange(len(audited)) < len(split.members),
        reference=ReferenceEvidence(logits=references, trained_on=context.halves),
    )
    phi = np.stack([scaled_confidence(each, evidence.labels) for each in references])
    scores = online(scaled_confidence(logits, evidence.labels), phi, context.halves)
    folds = stratified_folds(evidence, 5, numpy_generator(0, "rank-agreement"))
    probabilities = calibrated_score(scores, evidence, folds)
    return attack_gain(probabilities, evidence.is_member).value - NO_LEAK


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
    shared = _with_references(confirmation, "0", 0, candidates)
    jobs = [
        _confirm_job(confirmation, rank, candidate, seed)
        for rank, candidate in enumerate(candidates)
        for seed in range(SEEDS)
    ]
    results = run_stage(context.stage("confirm-0", jobs, shared, True))
    rows = []
    for rank, name in enumerate(named):
        ours = [results[f"confirm-{rank * SEEDS + seed:04d}"] for seed in range(SEEDS)]
        gains = pd.DataFrame([(result.metrics or {})["attack_gains"] for result in ours]).mean()
        excess = gains - NO_LEAK
        known = shared.references[references_name(rank)]
        rows.append(
            {
                "vector": name,
                "val_accuracy": np.mean([(r.metrics or {})["val_accuracy"] for r in ours]),
                "family": excess.drop(["reference", "adaptive", "samia"]).max(),
                **excess[["reference", "adaptive", "samia"]],
                "lira": np.mean([lira_excess(context, kept_logits(r), known) for r in ours]),
            }
        )
    return pd.DataFrame(rows)


def main(out: Path) -> None:
    """Measure into OUT, which must not exist, and print."""
    words = ["--references", str(REFERENCES), "--confirm-seeds", str(SEEDS), "--out", str(out)]
    config, options = parse(words)
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
    for name in ("reference", "adaptive", "samia", "lira"):
        rank = spearmanr(table["family"], table[name]).statistic
        pruned = table[table["vector"] != "dense"]
        share = pruned["family"].sum() / pruned[name].sum()
        print(f"family against {name}: Spearman {rank:.2f}, sum of gains {share:.2f} of it")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
