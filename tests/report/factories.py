"""Fake finished runs: the files that a report needs, with random results."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.protocol import relevance_by_column
from fashion_lsh.evaluation.query_table import query_table
from fashion_lsh.evaluation.run_evaluation import RunEvaluation
from fashion_lsh.gallery.embeddings import Embeddings
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.codes import pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.metrics.code_statistics import code_statistics
from fashion_lsh.metrics.results import CLASSIFIER, WHOLE_GALLERY, Result, ResultTable, mean_results
from fashion_lsh.metrics.retrieval import score_hits
from fashion_lsh.metrics.statistics import item_interval
from fashion_lsh.runs.result_file import QUERIES_FILE, RESULTS_FILE, write_results_file
from fashion_lsh.runs.results import headline, write_results
from fashion_lsh.runs.run import Run

NAMES = ("bag", "coat", "hat")
ROWS_PER_CATEGORY = {"train": 2, "val": 1, "query": 4, "gallery": 5}
MakeRun = Callable[..., Run]  # the fixture `make_run`: finished_run without its `folder` argument
LOG = """classifier/train/loss,classifier/val/accuracy,classifier/val/loss,classifier/val/macro_f1,epoch,step
2.25,,,,0,9
,0.4,2.0,0.3,0,11
1.5,,,,1,19
,0.625,1.75,0.5,1,23
"""
SETTINGS: dict[str, Any] = {
    "name": "made", "seed": 0, "overwrite": False, "backbone": {"name": "resnet18", "weights": None, "frozen": False},
    "data": {"source": "folder", "split_seed": 0, "crop": "annotated", "margin": 0.1, "image_size": 32,
             "gallery": "gallery",
             "box_selector": {"select": "given", "min_score": 0.3, "min_size": 8.0, "fallback": "whole"}},
    "detector": None, "scenes": None,
    "search": {"_target_": "fashion_lsh.search.policy.SearchPolicy", "distance": "rerank", "nprobe": 1,
               "rerank_k": 1000, "alpha": 0.5, "min_confidence": 0.0, "min_probability": None},
}  # fmt: skip


def finished_run(
    folder: Path,
    names: Sequence[str] = NAMES,
    items: bool = True,
    bits: int | None = 12,
    key: str = "0a1b2c3d",
    **data: Any,
) -> Run:
    """Write a finished run to `<folder>/runs/made/<key>`.

    Args:
        folder: parent folder of runs and images.
        names: category names.
        items: whether queries and gallery have items.
        bits: code length; None for a run without a hash layer.
        key: name of the run folder.
        data: settings of `data` that override SETTINGS.
    """
    path = folder / "runs" / "made" / key
    path.mkdir(parents=True)
    root = {"root": str(_write_images(folder / "images", len(names)))}
    config = {**SETTINGS, "data": SETTINGS["data"] | root | data, "hash": {"bits": bits} if bits else None}
    if bits is None:
        config["search"] = SETTINGS["search"] | {"distance": "euclidean"}
    (path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    run = Run(path)
    garments = _garments(names, items)
    garments.save(path / "catalogue.parquet")
    run.write_json("environment.json", {"fashion-lsh": "0.3.0", "python": "3.11", "gpu": None})
    (path / "skipped.csv").write_text('id,reason\n"a, b",no image\nc,"no\nbox"\n')
    (path / "logs" / "version_0").mkdir(parents=True)
    (path / "logs" / "version_0" / "metrics.csv").write_text(LOG)
    _write_results(run, garments, bits)
    return run


def change_results(run: Run, change: Callable[[list[Result]], Iterable[Result]]) -> None:
    """Replace the results of a run, in results.parquet and metrics.json, by a function of the results."""
    file = run.result_file
    results = ResultTable(change(file.results.rows), file.results.search)
    write_results_file(run.path / RESULTS_FILE, file._replace(results=results))
    run.write_json("metrics.json", headline(results))


def read_queries(run: Run) -> pa.Table:
    """Read the query table of the run's own search."""
    method, scope = run.policy.method, run.policy.scope
    return pq.read_table(run.path / QUERIES_FILE, filters=[("method", "=", method), ("scope", "=", scope)])


def _garments(names: Sequence[str], items: bool) -> Catalogue:
    rows = [
        {"id": f"{number}-{split}-{index}", "image": f"{number}.png", "category": name, "split": split,
         "item": f"{number}/{index}" if items and split in ("query", "gallery") else "",
         "x1": 1.0, "y1": 2.0, "x2": 9.0, "y2": 10.0}
        for number, name in enumerate(names) for split, count in ROWS_PER_CATEGORY.items() for index in range(count)
    ]  # fmt: skip
    return Catalogue.from_columns({name: [row[name] for row in rows] for name in rows[0]})


def _write_images(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        image = Image.new("RGB", (12, 12), f"hsl({number * 360 // count}, 80%, 45%)")
        image.paste("white", (0, 0, 12, 3))  # mostly outside the box
        image.save(folder / f"{number}.png")
    (folder / "manifest.csv").write_text("image,category\n")
    return folder / "manifest.csv"


def _write_results(run: Run, garments: Catalogue, bits: int | None) -> None:
    rng, policy = np.random.default_rng(0), run.policy
    query, gallery = (garments.take(garments.rows(split)) for split in ("query", "gallery"))
    rows = rng.permuted(np.tile(np.arange(len(gallery)), (len(query), 1)), axis=1)
    hits = Hits(rows, np.sort(rng.random(rows.shape), axis=1).astype(np.float32))
    scores = {name: score_hits(hits, relevance) for name, relevance in relevance_by_column(query, gallery).items()}
    predicted = np.where(rng.random(len(query)) < 0.7, query.column("category"), query.column("category")[0])
    query_codes, gallery_codes = (pack(rng.random((len(part), bits or 8))) for part in (query, gallery))
    outputs = {
        "predicted": predicted, "confidence": rng.uniform(0.3, 1, len(query)).astype(np.float32),
        "hits": pa.array([[gallery.column("id")[row] for row in ranking[:10]] for ranking in rows]),
        "code": pa.array([code.tobytes() if bits else None for code in query_codes], pa.binary()),
        "search_ms": rng.random(len(query)),
    }  # fmt: skip
    _write_gallery(run, gallery, gallery_codes, bits)
    own: dict[str, Any] = {"method": policy.method, "scope": policy.scope}
    baselines = ["random", *(["code"] if bits else []), "hamming"]  # `hamming`: added by the evaluate command
    tables = [query_table((policy.method, policy.scope), query, scores, outputs)]
    tables += [query_table((method, WHOLE_GALLERY), query, scores) for method in baselines]
    statistics = code_statistics(gallery_codes, bits)._asdict() if bits else {}
    items, categories = query.column("item"), query.column("category")
    is_correct = (predicted == categories).astype(float)
    results = [
        Result("accuracy", is_correct.mean(), *item_interval(is_correct, items), method=CLASSIFIER, n=len(query)),
        Result("accuracy", 0.9, k=5, method=CLASSIFIER), Result("macro_f1", 0.5, method=CLASSIFIER),
        *mean_results(scores, items, categories, **own, bits=bits or 0),
        Result("latency_ms", 0.25, **own), Result("latency_ms_p95", 0.5, **own), Result("end_to_end_ms", 4.0, **own),
        Result("garments", len(query), method="data"), Result("garments", len(gallery), method="data", split="gallery"),
        *(row for method in baselines
          for row in mean_results(scores, items, categories, method=method, scope=WHOLE_GALLERY)),
        *(Result(name, value, method="code", split="gallery", bits=bits or 0) for name, value in statistics.items()),
    ]  # fmt: skip
    queries = pa.concat_tables(tables, promote_options="default")
    write_results(run, RunEvaluation(ResultTable(results, (policy.method, policy.scope)), queries, hits, "0a1b2c3d"))


def _write_gallery(run: Run, garments: Catalogue, codes: np.ndarray, bits: int | None) -> None:
    embeddings = np.eye(len(garments), dtype=np.float32)
    index = HashIndex(bits, 1) if bits else FloatIndex(len(garments), 1)
    vectors = codes if bits else embeddings
    index.add(vectors, np.zeros(len(garments), dtype=np.int64), np.arange(len(garments)))
    Gallery(index, Embeddings.from_array(embeddings), garments, "fingerprint").save(run.gallery_folder)
