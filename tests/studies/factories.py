"""Fake runs with several seeds and splits, job files, and results of every experiment on the claims page."""

import csv
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.query_table import query_table, write_queries
from fashion_lsh.evaluation.robustness import CORRUPTIONS
from fashion_lsh.metrics.results import CLASSIFIER, WHOLE_GALLERY, Result, ResultTable
from fashion_lsh.report.page_file import Row, to_csv
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.metrics import METRICS
from fashion_lsh.report.sweep.rows import table_rows
from fashion_lsh.runs.job_file import queries_path
from fashion_lsh.runs.result_file import RESULTS_FILE, ResultFile, write_results_file
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.query_outputs import read_repeats
from fashion_lsh.studies.repeats import repeat_rows
from tests.report.factories import change_results

NUM_QUERIES = 60
HASH_HEAD = "fashion_lsh.training.hash_head.HashHead"
SEARCH = ("rerank 1000", "1 list")
MakeRun = Callable[..., Run]


def make_repeat(make_run: MakeRun, key: str, seed: int = 0, split: int = 0, **changes: Any) -> Run:
    """Write a run with this seed and split, and with scores on corrupted queries."""
    run = make_run(key=key, split_seed=split, **changes)
    change_settings(run, seed=seed)
    added = [
        Result("accuracy", 0.7 + seed / 100 + split / 20, method=CLASSIFIER),
        Result("map", 0.6, k=100, method="code", scope=WHOLE_GALLERY, relevance="category"),
        *(
            Result("accuracy", 0.5 - seed / 100, method=CLASSIFIER, condition=f"corruption={name}")
            for name in CORRUPTIONS
        ),
    ]
    change_results(run, lambda rows: ResultTable(rows, SEARCH).replace(added))
    return run


def change_settings(run: Run, **settings: Any) -> None:
    """Replace settings in the results file of a run; a mapping is merged with the settings of its group."""
    file = run.result_file
    old = file.settings
    merged = {
        name: old[name] | value if isinstance(value, dict) and "_target_" not in value else value
        for name, value in settings.items()
    }
    write_results_file(run.path / RESULTS_FILE, file._replace(settings=old | merged))


def rows_from_runs(*runs: Run) -> list[Row]:
    """Return the rows of `repeat_rows` for these runs, which are all runs of their folder."""
    return repeat_rows(read_repeats(runs[0].path.parent))


def read_results(folder: Path) -> list[Row]:
    """Read the rows of `results.csv` as numbers and strings, without empty cells."""
    with (folder / "results.csv").open(newline="") as file:
        return [{name: _value(text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def _value(text: str) -> int | float | str:
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text


def query_scores(ratio: float) -> np.ndarray:
    """Per-query scores with mean `ratio`, (NUM_QUERIES,) float32: 1 for the first queries, 0 for the other queries."""
    return (np.arange(NUM_QUERIES) < ratio * NUM_QUERIES).astype(np.float32)


def hash_layer_config(loss: str, item_weight: float = 0.0) -> dict[str, Any]:
    """Return the settings of a hash layer."""
    return {"_target_": HASH_HEAD, "bits": 48, "loss": loss, "item_weight": item_weight}


def write_job(folder: Path, settings: Mapping[str, Any], scores: Mapping[str, np.ndarray], low: float = 0.5) -> None:
    """Write a job to `<folder>/jobs`.

    Args:
        folder: experiment folder.
        settings: settings of the job; `seed` and `backbone` have defaults.
        scores: per-query scores, (NUM_QUERIES,) float32, of `top-1` and `item recall@10`.
        low: lower bound of the top-1 interval; chance level is 0.1.
    """
    names = [f"q{number}" for number in range(NUM_QUERIES)]
    query = Catalogue.from_columns({"id": names, "image": names, "category": ["c"] * NUM_QUERIES, "item": names})
    columns = {name: METRICS[name] for name in scores}
    rows = [
        Result(column.metric, float(scores[name].mean()), k=column.k, relevance=column.relevance,
               method=CLASSIFIER if name == "top-1" else SEARCH[0], scope="" if name == "top-1" else SEARCH[1])
        for name, column in columns.items()
    ]  # fmt: skip
    rows = [row._replace(low=low, high=1.0) if row.metric == "accuracy" else row for row in rows]
    rows.append(Result("precision", 0.1, k=10, method="random", scope=WHOLE_GALLERY, relevance="category"))
    defaults = {"seed": 0, "backbone": {"name": "resnet18", "weights": None}}
    path = folder / "jobs" / f"{len(list(folder.glob('jobs/*.queries.parquet'))):08}.parquet"
    results = ResultTable(rows, SEARCH)
    write_results_file(path, ResultFile(results, defaults | dict(settings), {}, "d0", {"fashion-lsh": "0.3.0"}))
    predicted = pa.array(np.where(scores["top-1"] > 0, "c", "d"))
    per_query = {"item": {("recall", 10): scores["item recall@10"]}} if "item recall@10" in scores else {}
    write_queries(queries_path(path), query_table(SEARCH, query, per_query, {"predicted": predicted}))


def write_results(folder: Path, rows: Sequence[Row] = ()) -> None:
    """Write `results.csv` with these rows; by default, with the rows of the jobs in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.csv").write_text(to_csv(rows or [row.flat() for row in table_rows(read_jobs(folder)[0])]))


def write_backbone_results(folder: Path) -> None:
    """Write results in which top-1 of ResNet101 is 0.5 above AlexNet, 0.25 below VGG16 and equal to GoogLeNet.

    VGG16 with batch norm has no results; on photographs, VGG16 is at chance level.
    """
    ratios = {"resnet101": 0.5, "alexnet": 0.0, "vgg16": 0.75, "googlenet": 0.5}
    for name, ratio in ratios.items():
        backbone = {"backbone": {"name": name, "weights": None}}
        for seed in range(5) if name != "vgg16" else (0,):
            write_job(folder / "backbones", {"seed": seed} | backbone, {"top-1": query_scores(ratio)})
        low = 0.05 if name == "vgg16" else 0.5
        write_job(folder / "backbones/garments", backbone, {"top-1": query_scores(ratio)}, low)
    for page in ("backbones", "backbones/garments"):
        write_results(folder / page)


def write_hash_layer_results(folder: Path) -> None:
    """Write results in which all hash layers have the same top-1 and, on composed images, different item recall@10."""
    recalls = {"none": 0.75, "softmax": 0.25, "greedyhash": 0.5, "softmax, items": 0.75}
    for name, recall in recalls.items():
        loss, _, items = name.partition(", ")
        settings = {"hash": None if name == "none" else hash_layer_config(loss, 0.5 if items else 0.0)}
        scores = {"top-1": query_scores(0.5), "item recall@10": query_scores(recall)}
        for seed in range(5):
            write_job(folder / "hash_layer", {"seed": seed} | settings, scores)
    for settings, ratio in (({"hash": None}, 0.75), ({"hash": hash_layer_config("softmax")}, 0.5)):
        write_job(folder / "hash_layer/garments", settings, {"top-1": query_scores(ratio)})
    for page in ("hash_layer", "hash_layer/garments"):
        write_results(folder / page)


def write_crop_results(folder: Path) -> None:
    """Write results in which top-1 is highest on annotated boxes and lowest on whole images."""
    top1 = {"annotated": 0.75, "detected": 0.7, "whole": 0.5}
    write_results(
        folder / "crops",
        [{"crop.mode": mode, "tested on": mode, "seed": seed, "top-1": value + seed / 100}
         for mode, value in top1.items() for seed in range(3)],
    )  # fmt: skip
    detector = {"detector.level": "supercategory", "detector.weights": "imagenet",
                "detector.ratios": [0.5, 1.0, 2.0], "detector.flip_tta": False}  # fmt: skip
    write_results(
        folder / "crops/scenes",
        [{"crop.mode": mode, "tested on": mode, "macro F1": 0.016} | with_bounds("top-1", top1[mode], 0.02)
         | (detector if mode == "detected" else {}) for mode in ("detected", "whole")],
    )  # fmt: skip


def write_distance_and_speedup_results(folder: Path) -> None:
    """Write results of the distances and speedup experiments."""
    differences = {
        "euclidean": (0.02, 0.0),
        "rerank": (0.02, 0.0),
        "weighted": (0.01, -0.01),
        "tie_break": (0.01, -0.02),
    }
    write_results(
        folder / "distances",
        [{"scope": "all", "search": distance, "distance": distance, "val item map@100": 0.1}
         | with_bounds("gain over hamming", hamming, 0.005) | with_bounds("gain over euclidean", euclidean, 0.005)
         for distance, (hamming, euclidean) in differences.items()],
    )  # fmt: skip
    savings = {"euclidean": 0.5, "hamming": 0.05, "rerank": 0.04}
    write_results(
        folder / "speedup",
        [{"inverted lists": lists, "indexed by": indexed_by, "method": method, "gallery": size, "distance": distance,
          "item recall@10": 0.05}
         | with_bounds("time saved", value, 0.01) | with_bounds("time saved vs euclidean", 0.53, 0.01)
         for lists, indexed_by in (("model categories", "predicted"), ("30 simulated categories", "frequency"))
         for method in ("all lists", "top 1")
         for size in (100_000, 500_000) for distance, value in savings.items()],
    )  # fmt: skip


def write_stability_results(folder: Path) -> None:
    """Write results: stable top-1 over seeds and splits, hit overlap of about 0.25, lowest top-1 with occlusion."""
    accuracy_drops = dict(zip(CORRUPTIONS, (0.1, 0.01, 0.1, 0.3), strict=True))
    columns = {"backbone": "resnet18", "split": 0}
    runs = [columns | {"row type": "run", "split": split, "seed": seed, "top-1": (top1 := 0.7 + number / 1000)}
            | {f"{name} top-1": top1 - drop for name, drop in accuracy_drops.items()}
            for number, (seed, split) in enumerate([*((seed, 0) for seed in range(5)), (0, 1), (0, 2)])]  # fmt: skip
    pairs = [
        {"row type": "pair", "backbone": "resnet18", "split": 0, "seeds": f"{first} and {second}",
         "hit overlap": 0.25 + first / 100}
        for first, second in combinations(range(5), 2)
    ]  # fmt: skip
    write_results(folder / "stability", runs + pairs)


def with_bounds(name: str, value: float, half_width: float) -> Row:
    """Return a value with interval bounds at `half_width` on either side."""
    return {name: value, f"{name} low": value - half_width, f"{name} high": value + half_width}
