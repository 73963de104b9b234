"""Job files and pages of a sweep, written without training."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.query_table import query_table, write_queries
from fashion_lsh.metrics.results import CLASSIFIER, WHOLE_GALLERY, Result, ResultTable
from fashion_lsh.report.page_file import BEGIN, END
from fashion_lsh.runs.job_file import queries_path
from fashion_lsh.runs.result_file import ResultFile, read_results_file, write_results_file

README = f"# Backbones\n\nThe question.\n\n{BEGIN}\nOld results.\n{END}\n\nWhat it shows.\n"
NUM_QUERIES, HASH_HEAD = 60, "fashion_lsh.models.hash_head.HashHead"
OWN_SEARCH = ("rerank 1000", "1 list")
OWN: Any = {"method": OWN_SEARCH[0], "scope": OWN_SEARCH[1]}
CODE: Any = {"method": "code", "scope": WHOLE_GALLERY}


def write_job(folder: Path, key: str, backbone: str, score: float, *results: Result) -> None:
    """Write a job with category mAP@100 `score`, and with further results, which replace the defaults."""
    settings: dict[str, Any] = {
        "seed": 0, "backbone": {"name": backbone, "weights": None}, "data": {"image_size": 64},
        "classifier": {"backbone": backbone, "epochs": 3},
    }  # fmt: skip
    defaults = [
        Result("accuracy", 0.5, method=CLASSIFIER),
        Result("map", score, score - 0.01, score + 0.01, 100, relevance="category", **OWN),
    ]
    table = ResultTable(defaults, OWN_SEARCH).replace(results)
    write_results_file(job_path(folder, key), ResultFile(table, settings, {}, "d0", {"fashion-lsh": "0.1.0"}))


def write_scored_job(
    folder: Path, key: str, hash_config: dict[str, Any] | None, seed: int, **is_correct: np.ndarray
) -> None:
    """Write a job with per-query scores.  is_correct: (Q,) bool, as keyword `accuracy` or `codes`."""
    values = {name: scores.astype(np.float32) for name, scores in is_correct.items()}
    results = {
        "accuracy": Result("accuracy", 0.0, method=CLASSIFIER),
        "codes": Result("map", 0.0, k=100, relevance="item", **CODE),
    }
    means = [results[name]._replace(value=float(scores.mean())) for name, scores in values.items()]
    write_job(folder, key, "vgg16", 0.25, *means)
    change_settings(folder, key, seed=seed, hash=hash_config)
    if values:
        write_queries(
            queries_path(job_path(folder, key)), pa.concat_tables(_query_tables(values), promote_options="default")
        )


def _query_tables(values: dict[str, np.ndarray]) -> list[pa.Table]:
    """Query tables of the run's own search and, with the scores `codes`, of the method `code`."""
    count = len(next(iter(values.values())))
    ids, items = [f"q{row}" for row in range(count)], [f"i{row // 2}" for row in range(count)]
    query = Catalogue.from_columns({"id": ids, "image": ids, "category": ["c"] * count, "item": items})
    predicted = np.where(values.get("accuracy", np.ones(count)) > 0, "c", "d")
    tables = [query_table(OWN_SEARCH, query, {}, {"predicted": predicted})]
    if "codes" in values:
        tables.append(query_table(("code", WHOLE_GALLERY), query, {"item": {("map", 100): values["codes"]}}))
    return tables


def job_path(folder: Path, key: str) -> Path:
    """Path of the results file of a job."""
    return folder / "jobs" / f"{key}.parquet"


def change_job(folder: Path, key: str, **content: Any) -> None:
    """Replace attributes of the ResultFile of a job."""
    path = job_path(folder, key)
    write_results_file(path, read_results_file(path)._replace(**content))


def change_settings(folder: Path, key: str, **settings: Any) -> None:
    """Replace settings of a job; a mapping is merged with the settings of its group."""
    old = read_results_file(job_path(folder, key)).settings
    merged = {
        name: old[name] | value if isinstance(value, dict) and name in old else value
        for name, value in settings.items()
    }
    change_job(folder, key, settings=old | merged)


def write_page_settings(folder: Path, **settings: Any) -> None:
    """Write page.yaml."""
    (folder / "page.yaml").write_text(yaml.safe_dump(settings))


def random_outcomes(seed: int, accuracy: float) -> np.ndarray:
    """Draw which queries are correct, (NUM_QUERIES,) bool; the fraction of correct queries is `accuracy`."""
    return np.random.default_rng(seed).permutation(NUM_QUERIES) < accuracy * NUM_QUERIES


def first_table(folder: Path) -> list[list[str]]:
    return tables(folder)[0]


def tables(folder: Path, below: str = "") -> list[list[list[str]]]:
    """Read the cells of all tables between the markers of README.md, or only of tables below a heading."""
    text = (folder / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    parts = text.partition(below)[2].split("\n\n") if below else text.split("\n\n")
    lines = [part.splitlines() for part in parts if part.startswith("|")]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in table] for table in lines]
