"""The card beside a winner's files: metadata for Hugging Face, the outcome, the files, loaders."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from analysis import statistics, tables
from analysis.load import RunRecord, in_its_words
from analysis.pages import render
from analysis.summary import card
from analysis.tables.words import nats, percent
from trainables.attacks.gain import reach
from trainables.base import noun
from trainables.ship.unpacking import CODE

HUB = {
    "mnist5k": "ylecun/mnist",
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "imagenet": "ILSVRC/imagenet-1k",
}
"""Data set -> its name on the Hugging Face Hub."""


@in_its_words
def model_card(run: RunRecord, forms: Mapping[str, Any] | None = None) -> str:
    """Markdown under YAML; `{trial_id}` stands for the name of the trial whose weights ship.

    forms: what search/shipped.py measured of the files beside the weights; None before.  Raises
    ValueError when the run has no winner.
    """
    records = (forms or {}).get("forms", [])
    shipped = {record["file"] for record in records if record["ships"]}
    return render(
        "model_card.md.jinja",
        {
            "metadata": yaml.safe_dump(_metadata(run), sort_keys=False, allow_unicode=True),
            "body": card(run).strip(),
            "table": tables.as_markdown(_files(records)) if records else None,
            "references": min((record["references"] for record in records), default=0),
            "input": (forms or {}).get("input"),
            "dtype": (forms or {}).get("dtype", "float32"),
            "shipped": shipped,
            "taken": [_taken(record) for record in records if record.get("taken")],
            "code": CODE.strip(),
        },
    )


def _metadata(run: RunRecord) -> dict[str, Any]:
    """What the Hub indexes."""
    search = run.config["search"]
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    if best is None:
        raise ValueError("a run without a winner has no card")
    name, dataset = f"{search['model']} on {search['dataset']}", str(search["dataset"])
    of_images = noun.many() == noun.IMAGES
    task = "image-classification" if of_images else "other"
    tags = ["membership-inference", "privacy", *(["pruning", "sparse"] if _pruned(best) else [])]
    metrics = [
        {"type": "accuracy", "name": "test accuracy", "value": float(best["test_accuracy"])},
        {
            "type": "excess_gain",
            "name": "what a membership attack gains, nats; 0 is no leak, 1.386 a full one",
            "value": float(best["excess_gain"]),
        },
    ]
    index = {
        "task": {"type": task},
        "dataset": {"type": HUB.get(dataset, dataset), "name": dataset},
        "metrics": metrics,
    }
    return {
        "library_name": "pytorch",
        **({"pipeline_tag": task} if of_images else {}),
        **({"datasets": [HUB[dataset]]} if dataset in HUB else {}),
        "metrics": ["accuracy"],
        "tags": tags,
        "model-index": [{"name": name, "results": [index]}],
    }


def _pruned(best: pd.Series) -> bool:
    return bool(best["nonzero"] < sum(best["layer_weights"]))


def _files(records: Sequence[Mapping[str, Any]]) -> tables.Table:
    return tables.Table(
        caption="The files, each attacked as it ships",
        headers=[
            "file",
            "weights as",
            "bytes",
            "smaller than dense float32",
            "test accuracy",
            f"test {noun.many()} in another class",
            "largest difference of a logit",
            "excess gain of this model (nats)",
        ],
        rows=[_row(record) for record in records],
        text_columns=2,
    )


def _row(record: Mapping[str, Any]) -> list[str]:
    gain, error = record["excess_gain"], reach(record["excess_gain_se"])
    return [
        record["file"] if record["ships"] else f"{record['file']}, not shipped",
        record["stored"],
        f"{record['bytes']:,}",
        f"{record['dense_bytes'] / record['bytes']:.2f}\u00d7",
        percent(record["test_accuracy"]),
        f"{record['other_classes']:,} of {record['test_images']:,}",
        f"{record['largest_difference']:.1e}",
        f"{nats(gain)}\n{nats(gain - error)} to {nats(gain + error)}",
    ]


def _taken(record: Mapping[str, Any]) -> str:
    layers = ", ".join(f"{count:,} of {layer}" for layer, count in record["taken"].items())
    return f"{record['file']} is without channels that no input changes or nothing reads: {layers}."
