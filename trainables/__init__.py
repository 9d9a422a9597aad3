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

Measure a vector in five lines, without Ray, a search or a file: what a network whose layers keep
640 and 500 weights gives away about the images that it was trained on.

>>> import numpy as np, torch
>>> from sklearn.datasets import load_digits
>>> from torch import nn
>>> from trainables.audit import audit
>>> from trainables.prune import prune

>>> images, labels = map(torch.tensor, load_digits(return_X_y=True))
>>> images, labels, is_member = images[:400].float() / 16, labels[:400], np.arange(400) % 2 == 0
>>> network = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))  # or a trained one
>>> pruned = prune(network, [640, 500], images[is_member], labels[is_member])
>>> found = audit(pruned(images).detach(), labels, is_member)

>>> [int(layer.weight.count_nonzero()) for layer in (pruned[0], pruned[2])]
[640, 500]
>>> found.low <= found.leakage.excess_gain <= found.high, found.members, found.non_members
(True, 200, 200)

Conventions, everywhere in this project: fractions lie in [0, 1], times are seconds, gains are nats,
scores are float64 and a higher score means "more likely a member".
"""
