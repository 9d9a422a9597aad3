"""The audit stage without a cluster: shadows made like the winner, cached, and scored in order."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from ray import tune
from sklearn.metrics import roc_auc_score

from search.presets import smoke
from search.recipes import recipe
from search.record.runfolder import RunFolder
from search.stages import audit as stage
from search.tune.kept import kept_digest
from search.tune.required import StageFailed
from trainables.attacks.digest import digest_of, save_digest
from trainables.attacks.evidence import Evidence
from trainables.attacks.features import log_own
from trainables.config import TrialConfig
from trainables.data.cohort import reference_halves
from trainables.job import Job
from trainables.records import AUDIT_SCHEMA
from trainables.trial import DIGEST_FILE, LOGITS_FILE, POPULATION_FILE

EACH, SHADOWS, CLASSES, POPULATION = 60, 4, 10, 50
LABELS = np.arange(2 * EACH + POPULATION) % CLASSES
SPLIT = SimpleNamespace(members=np.arange(EACH), non_members=np.arange(EACH, 2 * EACH), copies=None)
IS_MEMBER = np.arange(2 * EACH) < EACH
HALVES = np.concatenate([[IS_MEMBER, ~IS_MEMBER], reference_halves(2 * EACH, SHADOWS, 0)])
LIRA = ("lira-online", "lira-offline", "lira-online-own-variance")
CANARY = np.arange(2 * EACH) % 10 == 0


def logits(labels: np.ndarray, known: np.ndarray, leak: float, seed: int) -> np.ndarray:
    """(n, k): each image's own difficulty, more confident by `leak` where the model knows it."""
    difficulty = np.random.default_rng(99).normal(size=len(labels))
    noise = np.random.default_rng(seed).normal(size=(len(labels), CLASSES))
    noise[np.arange(len(labels)), labels] += 3 + difficulty + leak * known
    return noise.astype(np.float32)


@dataclasses.dataclass
class Made:
    """A finished job: what the stage reads of Tune's result."""

    checkpoint: tune.Checkpoint
    config: dict[str, Any]
    path: str = ""


class Cluster:
    """Stands for Tune: leaves outputs as a trained model would, and counts the jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stages: list[list[Job]] = []

    def made(self, job: Job, known: np.ndarray, leak: float, seed: int) -> Made:
        home = self.folder / f"made-{len(list(self.folder.iterdir()))}"
        home.mkdir()
        audited = logits(LABELS[: 2 * EACH], known, leak, seed)
        np.save(home / LOGITS_FILE, audited)
        save_digest(digest_of(audited, LABELS[: 2 * EACH]), home / DIGEST_FILE)
        strangers = LABELS[2 * EACH :]
        np.save(home / POPULATION_FILE, logits(strangers, np.zeros(POPULATION), leak, seed))
        return Made(tune.Checkpoint(str(home)), {"job": job.to_dict()})

    def run_stage(self, asked: SimpleNamespace, needed: str) -> dict[str, Made]:
        self.stages.append(asked.jobs)
        return {
            job.trial.trial_id: self.made(job, HALVES[job.reference], 2.0, 100 + job.reference)
            for job in asked.jobs
        }


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = tmp_path / "made"
    made.mkdir()
    stand_in = Cluster(made)
    monkeypatch.setattr(stage, "run_stage", stand_in.run_stage)
    return stand_in


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attack instead of all, where the scores do not matter."""

    def loss(_kind: str, evidence: Evidence, _population: object) -> dict[str, np.ndarray]:
        return {"loss": log_own(evidence.logits, evidence.labels)}

    monkeypatch.setattr(stage, "audit_scores", loss)


def context(folder: Path, kind: str = "lira") -> Any:
    config = dataclasses.replace(
        smoke(recipe("mnist5k", "lenet5")), audit=kind, shadows=SHADOWS, canaries=0.1
    )
    inputs = SimpleNamespace(
        split=SPLIT,
        images=SimpleNamespace(labels=LABELS),
        population=np.arange(2 * EACH, 2 * EACH + POPULATION),
        canary=CANARY,
    )
    return SimpleNamespace(
        config=config,
        inputs=inputs,
        halves=HALVES,
        folder=RunFolder(folder),
        say=lambda _: None,
        stage=lambda name, jobs, *_: SimpleNamespace(name=name, jobs=jobs),
    )


def job(n: tuple[int, ...] = (5, 6), **parameters: float) -> Job:
    settings = smoke(recipe("mnist5k", "lenet5"))
    trial = TrialConfig(
        kind="confirm",
        number=0,
        run_seed=0,
        seed=17,
        dataset="mnist5k",
        model="lenet5",
        n=n,
        defense="pruning+minmax",
        parameters=parameters,
        training=settings.training,
        admm=settings.admm,
        attack=settings.attack,
    )
    return Job(trial=trial, dense="baseline", matched_references="vector-00", keep_model=True)


def audit(
    cluster: Cluster, folder: Path, work: Job, *, kind: str = "lira", leak: float = 2.0
) -> pd.DataFrame:
    """The scores of a dense model without a leak and of a winner with one."""
    never = np.zeros(2 * EACH)
    dense = SimpleNamespace(
        results=[cluster.made(work, never, 0.0, 1)]
        + [cluster.made(work, never, 0.0, 1 + i) for i in range(1 + SHADOWS)],
        shared=None,
    )
    base = dataclasses.replace(work, matched_references=None, keep_model=False)
    winner = cluster.made(work, IS_MEMBER, leak, 50)
    stage.audit(context(folder, kind), dense, base, winner)
    path = folder / "audit" / "scores.parquet"
    assert pq.read_schema(path).equals(AUDIT_SCHEMA)
    return pd.read_parquet(path)


@pytest.mark.parametrize(
    ("kind", "attacks"),
    [
        ("lira", {*LIRA, "adaptive", "rmia-2", "rmia-4", "loss"}),
        ("rmia", {"adaptive", "rmia-4", "loss"}),
    ],
)
def test_every_image_is_scored_once_by_each_attack_on_each_model(
    cluster: Cluster, tmp_path: Path, kind: str, attacks: set[str]
) -> None:
    scores = audit(cluster, tmp_path, job(), kind=kind)
    assert set(scores["attack"]) == attacks
    for _, rows in scores.groupby(["model", "attack"]):
        assert rows["image"].tolist() == list(range(2 * EACH))
        assert rows["is_member"].tolist() == IS_MEMBER.tolist()
        assert rows["canary"].tolist() == CANARY.tolist()
        assert rows["score"].map(np.isfinite).all()
        assert rows["probability"].between(0, 1, inclusive="neither").all()
    assert set(scores["model"]) == {"dense", "winner"}


def test_a_higher_score_means_a_member_and_no_leak_is_not_found(
    cluster: Cluster, tmp_path: Path
) -> None:
    scores = audit(cluster, tmp_path, job())
    auc = {
        key: roc_auc_score(rows["is_member"], rows["score"])
        for key, rows in scores.groupby(["model", "attack"])
    }
    for attack in ("lira-online", "rmia-2", "rmia-4", "loss"):
        assert auc["winner", attack] > 0.7, attack
        assert abs(auc["dense", attack] - 0.5) < 0.15, attack


@pytest.mark.usefixtures("quick")
def test_shadows_are_made_as_the_winner_was_each_from_its_own_half(
    cluster: Cluster, tmp_path: Path
) -> None:
    work = job(gamma=2.0, inner_steps=3.0)
    audit(cluster, tmp_path, work)
    (jobs,) = cluster.stages
    assert [made.reference for made in jobs] == list(range(2, 2 + SHADOWS))
    assert [made.dense for made in jobs] == [f"reference-{i:02d}" for i in range(2, 2 + SHADOWS)]
    for made in jobs:
        same = ("n", "parameters", "defense", "pruner", "admm", "training", "model")
        assert all(getattr(made.trial, name) == getattr(work.trial, name) for name in same)
        assert made.keep_outputs
        assert made.matched_references is None
    assert len({made.trial.seed for made in jobs} | {work.trial.seed}) == SHADOWS + 1


@pytest.mark.usefixtures("quick")
def test_a_candidate_s_shadows_are_trained_once(cluster: Cluster, tmp_path: Path) -> None:
    first = audit(cluster, tmp_path, job())
    second = audit(cluster, tmp_path, job())
    assert len(cluster.stages) == 1
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("other", [job((5, 7)), job(gamma=2.0)], ids=["n", "parameters"])
def test_another_candidate_gets_shadows_of_its_own(
    cluster: Cluster, tmp_path: Path, other: Job
) -> None:
    audit(cluster, tmp_path, job())
    audit(cluster, tmp_path, other)
    assert len(cluster.stages) == 2


@pytest.mark.usefixtures("quick")
def test_half_a_file_of_shadows_is_not_taken_for_one(cluster: Cluster, tmp_path: Path) -> None:
    audit(cluster, tmp_path, job())
    (cached,) = (tmp_path / "audit").glob("shadows-*.npz")
    whole = cached.read_bytes()
    cached.unlink()
    cached.with_name(f".{cached.name}.0.tmp").write_bytes(
        whole[: len(whole) // 2]
    )  # killed meanwhile
    audit(cluster, tmp_path, job())
    assert len(cluster.stages) == 2
    assert cached.read_bytes() == whole


def test_a_model_of_an_older_release_is_named_in_one_line(cluster: Cluster) -> None:
    made = cluster.made(job(), IS_MEMBER, 0.0, 0)
    (home,) = cluster.folder.iterdir()
    (home / DIGEST_FILE).unlink()
    result: Any = dataclasses.replace(made, path="tune/reference-0001")
    with pytest.raises(StageFailed, match="tune/reference-0001 was made by an older release"):
        kept_digest(result)
