"""Our attacks give what published implementations give on the same scores, to rounding.

`python tests/benchmarks/reference_implementations.py OUTPUTS.npz`: on the outputs of LeNet-5 and 16
references on mnist5k, run seed 0, 2,000 audited and 500 population images (1,000 for the figures
below); trained first where the file is missing (2 minutes of one core). One model: the figures show
agreement, not strength.

Python 3.11, NumPy 2.4, scikit-learn 1.9, 1 thread of an AMD EPYC, largest differences:
tensorflow-privacy (tensorflow-empirical-privacy 0.1.0): phi 4e-15, LiRA online 3e-14 (fixed
variance) and 2e-13 of 2e3 (own), once its medians are means and its variances unbiased; modified
entropy 6e-13.  LeakPro c47752f: LiRA 2e-13 online, 9e-15 offline, RMIA 0.  ML Privacy Meter
e384af8 and PrivacyGuard 0.0.2 (privacyguard-platform): RMIA 0 with eight references of the
population (of sixteen they would take the surest eight: AUC 0.5958, ours 0.5961), LiRA of
PrivacyGuard 0.  adversarial-robustness-toolbox 1.20.1: its rule calls 2,000 of 2,000 images as
`threshold-correctness`, our logistic attack through its fit and infer differs by 2e-5 (it computes
in float32); its own seven, unseeded, gain -4.6 to 0.01 nats where ours gain up to 0.064 (0.117 with
references).  Carlini et al. (mi_lira_2021): Spearman 0.93 (own variance) and 0.86 (fixed: its
variance is not around each image's mean), AUC 0.591 and 0.592, ours 0.593 and 0.602.

A package that is missing is named and passed over. For all of them, in an environment with this
project's own packages: `pip install --no-deps adversarial-robustness-toolbox==1.20.1
privacyguard-platform==0.0.2 tensorflow-empirical-privacy==0.1.0 six tqdm immutabledict statsmodels
patsy`. On PyPI `leakpro` is an empty 0.0.1 and `privacy-meter` 1.0.1 is older than RMIA: put
checkouts of them, and of research/mi_lira_2021 of tensorflow/privacy, on PYTHONPATH (LeakPro then
names, one by one, the dependencies that it asks for at import).
"""

import importlib.metadata
import platform
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve

from search.recipes import recipe
from trainables.attacks import lira
from trainables.attacks.calibration import INVERSE_PENALTY, logistic, own_features
from trainables.attacks.evidence import Evidence, Floats, ReferenceEvidence
from trainables.attacks.features import correctness, modified_entropy, scaled_confidence
from trainables.attacks.folds import Folds, cross_fit, stratified_folds
from trainables.attacks.gain import NO_LEAK, attack_gain
from trainables.attacks.registry import ATTACKS, Setting
from trainables.attacks.rmia import OFFSET, Population, rmia_scores
from trainables.attacks.strongest import balanced_accuracy, tpr_at
from trainables.base.seeding import derive_seed, numpy_generator
from trainables.config import TrialConfig
from trainables.data.cohort import Cohort, reference_halves
from trainables.data.device import DeviceImages
from trainables.data.registry import DATASETS, load_images
from trainables.data.split import five_way_split
from trainables.records import WITH_REFERENCES
from trainables.runs.dense import DenseRun, dense_seed

REFERENCES = 16
CLASSES = 10


def train(out: Path) -> None:
    """The dense model of run seed 0 and its references, as the search trains them."""
    spec, preset = DATASETS["mnist5k"], recipe("mnist5k", "lenet5")
    images = load_images("mnist5k", None)
    split = five_way_split(images.labels, spec.fractions, derive_seed(0, "split"))
    cohort = Cohort.of(DeviceImages.of(images, spec), split, torch.device("cpu"))
    halves = reference_halves(len(cohort.audited), REFERENCES, 0)

    def logits(reference: int | None) -> list[np.ndarray]:
        config = TrialConfig(
            kind="baseline",
            number=0,
            run_seed=0,
            seed=dense_seed(0, reference),
            dataset="mnist5k",
            model="lenet5",
            n=(),
            training=preset.training,
            admm=preset.admm,
            attack=preset.attack,
        )
        run = DenseRun(
            config, cohort if reference is None else cohort.trained_on(halves[reference])
        )
        while not run.finished:
            run.advance()
        return [run.predict(part).numpy() for part in (cohort.audited, cohort.population)]

    target = logits(None)
    others = [logits(reference) for reference in range(REFERENCES)]
    np.savez(
        out,
        target=target[0],
        references=np.stack([audited for audited, _ in others]),
        trained_on=halves,
        labels=images.labels[cohort.audited.numpy()],
        is_member=cohort.is_member,
        z_target=target[1],
        z_references=np.stack([population for _, population in others]),
        z_labels=images.labels[cohort.population.numpy()],
    )


def load(path: Path) -> tuple[Evidence, Population]:
    """What `train` wrote."""
    with np.load(path) as held:
        evidence = Evidence(
            logits=held["target"],
            labels=held["labels"],
            is_member=held["is_member"],
            reference=ReferenceEvidence(logits=held["references"], trained_on=held["trained_on"]),
        )
        return evidence, Population(held["z_target"], held["z_references"], held["z_labels"])


def say(implementation: str, what: str, found: str) -> None:
    """One line of the table."""
    print(f"{implementation:22} {what:52} {found}", flush=True)


def apart(one: Floats, other: Floats) -> str:
    """The largest difference, beside the size of what differs."""
    return f"max |difference| {np.abs(one - other).max():.1e} (of {np.abs(one).max():.3g})"


def ranked(ours: Floats, theirs: Floats, is_member: np.ndarray) -> str:
    """How two scores that are defined otherwise rank the images."""
    areas = [roc_auc_score(is_member, scores) for scores in (ours, theirs)]
    return (
        f"Spearman {spearmanr(ours, theirs).statistic:.4f}, AUC {areas[0]:.4f} here, "
        f"{areas[1]:.4f} there"
    )


def strength(p: Floats, is_member: np.ndarray) -> str:
    """The figures of held-out probabilities."""
    gain = attack_gain(p, is_member)
    return (
        f"excess {gain.value - NO_LEAK:+.4f} (error {gain.standard_error:.4f}) nats, AUC "
        f"{roc_auc_score(is_member, p):.4f}, accuracy {balanced_accuracy(p, is_member):.4f}"
    )


def compare_roc(evidence: Evidence, population: Population) -> None:
    """scikit-learn: the true-positive rate, of scores with and without ties."""
    members = evidence.is_member
    phi = scaled_confidence(evidence.logits, evidence.labels)
    for name, scores in (("phi", phi), ("phi in steps of 2", np.round(phi / 2))):
        false, true, _ = roc_curve(members, scores)
        for rate in (0.01, 0.001):
            theirs = np.flatnonzero(false <= rate)[-1]
            ours = tpr_at(scores, members, rate)
            say(
                "scikit-learn", f"TPR at FPR {rate}, {name}", f"{ours:.4f} here, {true[theirs]:.4f}"
            )


def compare_art(evidence: Evidence, population: Population) -> None:
    """adversarial-robustness-toolbox: the rule and the six learned black-box attacks."""
    from art.attacks.inference.membership_inference import (
        MembershipInferenceBlackBox,
        MembershipInferenceBlackBoxRuleBased,
    )
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    labels, members, n = evidence.labels, evidence.is_member, len(evidence.labels)
    probabilities = softmax(evidence.logits.astype(np.float64), axis=1)
    target = BlackBoxClassifierNeuralNetwork(
        lambda rows: probabilities[rows[:, 0].astype(int)],
        input_shape=(1,),
        nb_classes=CLASSES,
        channels_first=True,
    )
    rule = MembershipInferenceBlackBoxRuleBased(target)
    said = rule.infer(np.arange(n)[:, None].astype(np.float64), labels)
    ours = correctness(evidence.logits, labels)
    accuracy = balanced_accuracy(said.astype(np.float64), members)
    say(
        "ART rule",
        "correct means member, against correctness",
        f"{np.mean(said == ours):.0%} of {n} agree, accuracy {accuracy:.4f} both",
    )
    folds = stratified_folds(evidence, 5, numpy_generator(0, "attack-folds"))

    def learned(features: Floats, with_label: bool, kind: str, model: object = None) -> Floats:
        def fit_and_score(rows: np.ndarray, scored: np.ndarray) -> Floats:
            attack = MembershipInferenceBlackBox(target, attack_model_type=kind)
            attack.attack_model = model or attack.attack_model
            inside, outside = rows[members[rows]], rows[~members[rows]]
            attack.fit(
                pred=features[inside],
                y=labels[inside] if with_label else None,
                test_pred=features[outside],
                test_y=labels[outside] if with_label else None,
            )
            p = attack.infer(
                None,
                labels[scored] if with_label else None,
                pred=features[scored],
                probabilities=True,
            )
            return p[:, -1].astype(np.float64)  # the neural attack gives one column, the others two

        return cross_fit(folds, fit_and_score)

    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    theirs = learned(own_features(evidence), False, "lr", model)
    mine = logistic(evidence, folds)
    say("ART learned", "our logistic attack through its fit and infer", apart(mine, theirs))
    say("", "", f"here  {strength(mine, members)}")
    say("", "", f"there {strength(theirs, members)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in ("nn", "rf", "gb", "lr", "dt", "knn", "svm"):
            p = learned(probabilities, True, kind)
            say(f"ART {kind}", "its own, same folds", strength(p, members))
    _ours(evidence, folds)


def _ours(evidence: Evidence, folds: Folds) -> None:
    setting = Setting(config=recipe("mnist5k", "lenet5").attack, seed=0, device=torch.device("cpu"))
    for name, attack in ATTACKS.items():
        needs = ", with references" if name in WITH_REFERENCES else ""
        p = attack(evidence, folds, setting)
        say("here", f"{name}{needs}", strength(p, evidence.is_member))


def _phis(evidence: Evidence) -> tuple[Floats, Floats, np.ndarray]:
    reference = evidence.reference
    assert reference is not None
    phi = np.stack([scaled_confidence(each, evidence.labels) for each in reference.logits])
    return scaled_confidence(evidence.logits, evidence.labels), phi, reference.trained_on


def stretched(phi: Floats, trained_on: np.ndarray, *, pooled: bool) -> Floats:
    """Phi whose biased variances are the unbiased ones of phi; the means stay.

    pooled: of all images together, m references on each side of n: m n / (m n - n) is the same
    factor m / (m - 1) as for one image, where all have the same m.
    """
    result = np.empty_like(phi)
    for side in (trained_on, ~trained_on):
        count = side.sum(axis=0)
        mean = np.where(side, phi, 0).sum(axis=0) / count
        factor = count.sum() / (count - 1).sum() if pooled else count / (count - 1)
        result = np.where(side, mean + np.sqrt(factor) * (phi - mean), result)
    return result


def compare_tensorflow_privacy(evidence: Evidence, population: Population) -> None:
    """tensorflow-privacy: its statistic and its LiRA."""
    from tensorflow_privacy.privacy.privacy_tests.membership_inference_attack import advanced_mia

    name = "tensorflow-privacy"
    target, phi, sides = _phis(evidence)
    theirs = advanced_mia.calculate_statistic(evidence.logits.astype(np.float64), evidence.labels)
    say(name, "phi of the same logits", apart(target, theirs))

    def score(values: Floats, **options: object) -> Floats:
        n = values.shape[1]
        lists = [[values[side[:, i], i, None] for i in range(n)] for side in (sides, ~sides)]
        return -advanced_mia.compute_score_lira(target[:, None], *lists, **options)

    members = evidence.is_member
    for fixed in (True, False):
        kind = "fixed variance" if fixed else "own variance"
        ours = lira.online(target, phi, sides, fixed_variance=fixed)
        same = stretched(phi, sides, pooled=fixed)
        options = {"fix_variance": fixed, "median_or_mean": "mean"}
        say(name, f"LiRA online, {kind}, means, unbiased", apart(ours, score(same, **options)))
        plain = score(phi, fix_variance=fixed)
        say(name, f"LiRA online, {kind}, its defaults", ranked(ours, plain, members))
    ours = lira.offline(target, phi, sides)
    out = score(phi, fix_variance=True, median_or_mean="mean", option="out")
    say(name, "LiRA offline: log-density there, log-tail here", ranked(ours, out, members))


def compare_carlini(evidence: Evidence, population: Population) -> None:
    """The authors' own script, research/mi_lira_2021/plot.py."""
    import plot

    target, phi, sides = _phis(evidence)
    members = evidence.is_member
    for fixed in (True, False):
        kind = "fixed variance" if fixed else "own variance"
        ours = lira.online(target, phi, sides, fixed_variance=fixed)
        rows = (sides, phi[..., None], members[None], target[None, :, None])
        theirs, _ = plot.generate_ours(*rows, fix_variance=fixed)
        say("Carlini et al.", f"LiRA online, {kind}", ranked(ours, -np.array(theirs), members))


def compare_leakpro(evidence: Evidence, population: Population) -> None:
    """LeakPro: LiRA and RMIA."""
    from leakpro.attacks.mia_attacks.lira import AttackLiRA
    from leakpro.attacks.mia_attacks.rmia import AttackRMIA

    target, phi, sides = _phis(evidence)
    members = evidence.is_member
    audited = {"in_members": np.arange(len(members)), "out_members": np.array([], dtype=int)}

    class Settings:
        @staticmethod
        def model_dump() -> dict[str, object]:
            return {}

    class Lira(AttackLiRA):  # a property of the base class asks a handler otherwise
        audit_dataset = audited

    class Rmia(AttackRMIA):
        audit_dataset = audited

    rescaled = AttackLiRA.rescale_logits(None, evidence.logits.astype(np.float64), evidence.labels)
    say("LeakPro", "phi of the same logits", apart(target, rescaled))

    def score(values: Floats, online: bool, variance: str) -> Floats:
        attack = object.__new__(Lira)
        attack.__dict__.update(
            configs=Settings,
            online=online,
            var_calculation=variance,
            num_shadow_models=len(values),
            fix_var_threshold=1 if variance == "individual_carlini" else 32,
            shadow_models_logits=values,
            target_logits=target,
            out_indices=~sides,
        )
        attack.run_attack()
        return attack.in_member_signals[:, 0]

    for online, ours in ((True, lira.online), (False, lira.offline)):
        kind = "online" if online else "offline"
        own = ours(target, phi, sides, fixed_variance=False)
        same = score(stretched(phi, sides, pooled=False), online, "individual_carlini")
        say("LeakPro", f"LiRA {kind}, own variance, unbiased", apart(own, same))
        plain = score(phi, online, "carlini")
        fixed = ours(target, phi, sides)
        say("LeakPro", f"LiRA {kind}, fixed variance, as it is", ranked(fixed, plain, members))

    attack = object.__new__(Rmia)
    own = np.arange(len(population.labels))
    z = softmax(population.target.astype(np.float64), axis=1)[own, population.labels]
    each = softmax(population.reference.astype(np.float64), axis=2)[:, own, population.labels]
    usual = 0.5 * ((OFFSET + 1) * each.mean(axis=0) + (1 - OFFSET))
    attack.__dict__.update(
        online=False,
        ground_truth_indices=evidence.labels,
        logits_theta=evidence.logits.astype(np.float64),
        temperature=1.0,
        logits_shadow_models=list(evidence.reference.logits.astype(np.float64)),
        out_indices=~sides,
        offline_a=OFFSET,
        epsilon=0.0,
        gamma=1.0,
        ratio_z=(z / usual)[None],
    )
    attack._run_attack()
    theirs = attack.in_member_signals[:, 0]
    say("LeakPro", "RMIA offline, temperature 1", apart(rmia_scores(evidence, population), theirs))


def _own_probabilities(logits: np.ndarray, labels: np.ndarray) -> Floats:
    return softmax(logits.astype(np.float64), axis=-1)[..., np.arange(len(labels)), labels]


def compare_meter(evidence: Evidence, population: Population) -> None:
    """ML Privacy Meter, by RMIA's authors: takes the surest half of the population's references."""
    from modules.mia.attacks.rmia import run_rmia

    reference = evidence.reference
    assert reference is not None
    x = (
        _own_probabilities(evidence.logits, evidence.labels),
        _own_probabilities(reference.logits, evidence.labels).T,
        reference.trained_on.T,
    )
    z = _own_probabilities(population.target, population.labels)
    others = _own_probabilities(population.reference, population.labels)
    half = REFERENCES // 2
    fewer = Population(population.target, population.reference[:half], population.labels)
    exact = run_rmia(*x, z, others[:half].T, OFFSET, half)
    say("ML Privacy Meter", "RMIA, 8 references of z", apart(rmia_scores(evidence, fewer), exact))
    plain = run_rmia(*x, z, others.T, OFFSET)
    ours = rmia_scores(evidence, population)
    say("ML Privacy Meter", "RMIA, as it is", ranked(ours, plain, evidence.is_member))


def compare_privacy_guard(evidence: Evidence, population: Population) -> None:
    """PrivacyGuard: LiRA from means and deviations given to it, RMIA."""
    import pandas as pd
    from privacy_guard.analysis.mia.aggregate_analysis_input import AggregationType
    from privacy_guard.attacks.lira_attack import LiraAttack
    from privacy_guard.attacks.rmia_attack import RmiaAttack

    target, phi, sides = _phis(evidence)
    members = evidence.is_member
    inside, outside = lira.side_means(phi, sides)
    frame = pd.DataFrame(
        {
            "user_id": np.arange(len(target)),
            "score_orig": target,
            "score_mean_in": inside,
            "score_mean_out": outside,
            "score_std_in": np.sqrt(lira.own_variance(phi, sides, inside)),
            "score_std_out": np.sqrt(lira.own_variance(phi, ~sides, outside)),
        }
    )
    parts = [frame[members].copy(), frame[~members].copy()]
    for fixed in (False, True):
        attack = LiraAttack(
            *[part.copy() for part in parts],
            row_aggregation=AggregationType.NONE,
            use_fixed_variance=fixed,
            std_dev_type="mix",
            online_attack=True,
        )
        attack.run_attack()
        theirs = pd.concat([attack.df_train_merge, attack.df_test_merge]).sort_index()["score"]
        ours = lira.online(target, phi, sides, fixed_variance=fixed)
        if fixed:
            found = ranked(ours, theirs.to_numpy(), members)
            say("PrivacyGuard", "LiRA online, mean of the deviations", found)
        else:
            say("PrivacyGuard", "LiRA online, own variance", apart(ours, theirs.to_numpy()))

    half = REFERENCES // 2
    fewer = Population(population.target, population.reference[:half], population.labels)
    z = _own_probabilities(population.target, population.labels)
    z_others = _own_probabilities(fewer.reference, population.labels).T
    table = pd.DataFrame({"score_orig": z})
    for index in range(half):
        table[f"score_ref_{index}"], table[f"member_ref_{index}"] = z_others[:, index], False
    rows = pd.DataFrame({"score_orig": _own_probabilities(evidence.logits, evidence.labels)})
    own = _own_probabilities(evidence.reference.logits, evidence.labels)
    for index in range(REFERENCES):
        rows[f"score_ref_{index}"], rows[f"member_ref_{index}"] = own[index], sides[index]
    attack = RmiaAttack(
        rows[members],
        rows[~members],
        table,
        row_aggregation=AggregationType.NONE,
        num_reference_models=half,
        alpha_coefficient=OFFSET,
    )
    theirs = attack._compute_membership_scores(
        rows["score_orig"].to_numpy(), own.T, sides.T, z, z_others, OFFSET, half
    )
    say("PrivacyGuard", "RMIA, 8 references of z", apart(rmia_scores(evidence, fewer), theirs))


def compare_entropy(evidence: Evidence, population: Population) -> None:
    """tensorflow-privacy: the modified entropy of Song and Mittal."""
    from tensorflow_privacy.privacy.privacy_tests.membership_inference_attack import (
        data_structures,
    )

    held = data_structures.AttackInputData(
        logits_train=evidence.logits.astype(np.float64),
        logits_test=evidence.logits.astype(np.float64),
        labels_train=evidence.labels,
        labels_test=evidence.labels,
    )
    ours = modified_entropy(evidence.logits, evidence.labels)
    say("tensorflow-privacy", "modified entropy", apart(ours, held.get_entropy_train()))


COMPARISONS: dict[str, Callable[[Evidence, Population], None]] = {
    "scikit-learn": compare_roc,
    "adversarial-robustness-toolbox": compare_art,
    "tensorflow-empirical-privacy": compare_tensorflow_privacy,
    "tensorflow-empirical-privacy, entropy": compare_entropy,
    "mi_lira_2021": compare_carlini,
    "LeakPro": compare_leakpro,
    "ML Privacy Meter": compare_meter,
    "privacyguard-platform": compare_privacy_guard,
}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not from PyPI)"


def main(outputs: Path) -> None:
    """Train into OUTPUTS where it is not there, then compare."""
    if not outputs.exists():
        train(outputs)
    evidence, population = load(outputs)
    print(
        f"Python {platform.python_version()}, {platform.machine()}, {len(evidence.labels)} images"
    )
    for name, compare in COMPARISONS.items():
        try:
            print(f"-- {name} {_version(name.split(',')[0])}")
            compare(evidence, population)
        except ImportError as error:
            print(f"{name} is not here: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
