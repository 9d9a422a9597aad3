"""One candidate {n_i} in, one measured record out: ADMM pruning and the attacks that judge it.

The life of a trial, from its `Job` to its row of trials.parquet:

1. `trial.py`, a Ray actor, takes a job (`job.py`): the settings of one candidate (`config.py`).
2. `data/` loads and splits the images; `data/cohort.py` says who is a member.
3. `runs/lookup.py` looks up how the defence makes a model; `network.py` builds the network.
4. Each `Run.advance` trains one epoch by the loop in `training.py`; `runs/epochs.py` counts it.
5. `runs/pruning.py` runs ADMM, hard prune and masked retraining with the parts in `pruning/`.
6. `defenses/` changes the loss, the optimiser or the released outputs of the other runs.
7. At the end of a stage the trial reports how far it is from its bounds (`outcome/feasible.py`).
8. `measure.py` takes the finished model's size, its accuracies and what it releases.
9. `attacks/strongest.py` runs every attack on held-out folds; `attacks/gain.py` is eq. 1.
10. `search/tune/recorder.py` turns the last report into a `records.TrialRecord`, the row.

Conventions, everywhere in this project: fractions lie in [0, 1], times are seconds, gains are nats,
scores are float64 and a higher score means "more likely a member".
"""
