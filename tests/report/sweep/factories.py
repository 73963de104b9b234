"""Job files and pages of a sweep, written without training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from fashion_lsh.evaluation.query_scores import pack_scores

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.report.page_file import BEGIN, END

README = f"# Backbones\n\nThe question.\n\n{BEGIN}\nOld results.\n{END}\n\nWhat it shows.\n"
BASE = "<!-- base: hash=softmax -->"
NUM_QUERIES, HASH_HEAD = 60, "fashion_lsh.models.hash_head.HashHead"


def write_job(folder: Path, key: str, backbone: str, score: float, **metrics: float) -> None:
    """Write a job with category mAP@100 `score`, and with other metrics."""
    (folder / "jobs").mkdir(exist_ok=True)
    settings: dict[str, Any] = {
        "seed": 0, "backbone": {"name": backbone, "weights": None}, "data": {"image_size": 64},
        "classifier": {"backbone": backbone, "epochs": 3},
    }  # fmt: skip
    name = "query/category/map@100"
    all_metrics = {
        "query/accuracy": 0.5,
        name: score,
        f"{name}_low": score - 0.01,
        f"{name}_high": score + 0.01,
        **metrics,
    }
    content = {"settings": settings, "data": "d0", "environment": {"fashion-lsh": "0.1.0"}, "metrics": all_metrics}
    (folder / "jobs" / f"{key}.json").write_text(json.dumps(content))


def write_scored_job(
    folder: Path, key: str, hash_config: dict[str, Any] | None, seed: int, **is_correct: np.ndarray
) -> None:
    """Write a job with per-query scores.  is_correct: (Q,) bool, as keyword `accuracy` or `codes`."""
    names = {"accuracy": "query/accuracy", "codes": "baselines/code/item/map@100"}
    scores = {names[name]: values.astype(np.float32) for name, values in is_correct.items()}
    count = len(next(iter(scores.values()), np.empty(NUM_QUERIES)))
    ids, items = [f"q{row}" for row in range(count)], [f"i{row // 2}" for row in range(count)]
    query = Catalogue.from_columns({"id": ids, "image": ids, "category": ["c"] * count, "item": items})
    write_job(folder, key, "vgg16", 0.25, **{name: float(values.mean()) for name, values in scores.items()})
    path = folder / "jobs" / f"{key}.json"
    content = json.loads(path.read_text())
    content["settings"] |= {"seed": seed, "hash": hash_config}
    path.write_text(json.dumps(content | ({"queries": pack_scores(query, scores)} if scores else {})))


def change_job(folder: Path, key: str, **content: Any) -> None:
    path = folder / "jobs" / f"{key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


def random_outcomes(seed: int, accuracy: float) -> np.ndarray:
    """Draw which queries are correct, (NUM_QUERIES,) bool; the fraction of correct queries is `accuracy`."""
    return np.random.default_rng(seed).permutation(NUM_QUERIES) < accuracy * NUM_QUERIES


def first_table(folder: Path) -> list[list[str]]:
    return tables(folder)[0]


def tables(folder: Path) -> list[list[list[str]]]:
    """Read the cells of all tables between the markers of README.md."""
    text = (folder / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    parts = [part for part in text.split("\n\n") if part.startswith("|")]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()] for part in parts]
