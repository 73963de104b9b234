"""Measure latency and recall of probing only the predicted category, for several gallery sizes."""

import copy
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.evaluation.latency import single_thread
from fashion_lsh.evaluation.protocol import EncodedSplit, encode_split
from fashion_lsh.io.files import atomic_write
from fashion_lsh.models.encoding import Model
from fashion_lsh.runs.environment import environment
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.storage import storage_bytes
from fashion_lsh.studies import speedup_page
from fashion_lsh.studies.category_frequencies import SOURCE, category_ratios
from fashion_lsh.studies.large_galleries import (
    LabelledGarments,
    build_gallery,
    concatenate,
    extend_gallery,
    perturbed_copies,
)
from fashion_lsh.studies.latency_steps import QueryPreprocessing
from fashion_lsh.studies.probing_methods import METHODS, RANDOM_LIST_METHODS, MetricSet, QuerySet, Row, time_methods

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speedup:
    """Time every method of list selection with every distance, for every gallery size; call the object to run it.

    Attributes:
        sizes: Gallery sizes; each gallery includes the run's own gallery.
        composed: Number of composed and encoded garments. Larger galleries are filled up with perturbed copies, and
            have times, scanned fractions and recall relative to an exhaustive search, but no item scores.
        num_queries: Number of timed queries; scores use all queries.
    """

    sizes: list[PositiveInt]
    composed: PositiveInt
    num_queries: PositiveInt

    def __call__(self, model: Model, data: GarmentData, policy: SearchPolicy, folder: Path) -> list[Row]:
        """Return one row per size, set of lists, gallery indexing, distance and method.

        Args:
            model: Model of the run, with a hash layer.
            data: Data of the run: shop_street, which can compose distractors.
            policy: Search policy of the run; only `rerank_k` is used.
            folder: Run folder, for caches of encoded garments and of the rows of each size.

        Raises:
            ValueError: the run has no codes, its data are not the full shop_street, `rerank_k` is a fraction, no size
                is at most `composed`, or a size is below the run's own gallery.
        """
        source, rerank_k = _check_run(model, data, policy)
        run_size = len(data.rows("gallery"))
        if not run_size <= min(self.sizes) <= max(self.composed, run_size):
            raise ValueError(
                f"study.sizes={self.sizes}: set the smallest size to at least {run_size:,} (the run's own gallery) and "
                f"at most study.composed={self.composed:,}"
            )
        query, gallery = encode_split(model, data, "query"), encode_split(model, data, "gallery")
        total = min(self.composed, max(self.sizes))
        composed = extend_gallery(
            model, source, gallery.encoded, gallery.catalogue, total, folder / "extra_garments.npz"
        )
        with single_thread():
            query_set = _query_set(model, data, query, self.num_queries)
            rows_by_size = (
                _measure_size(model, query_set, composed, size, rerank_k, folder / "speedup") for size in self.sizes
            )
            return [row for rows in rows_by_size for row in rows]

    def page(self, rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows, and figures by file name."""
        return speedup_page.page(rows)


def _check_run(model: Model, data: GarmentData, policy: SearchPolicy) -> tuple[ShopStreet, int]:
    """Return the data set and `rerank_k`.  Raises ValueError: the run cannot be measured."""
    supported = model.bits is not None and data.crop == "annotated" and data.unseen is None
    supported = supported and data.filters["category"] is None  # composed garments have all categories
    if not supported or not isinstance(data.source, ShopStreet) or not isinstance(policy.rerank_k, int):
        raise ValueError(
            "experiment=speedup needs codes, composed distractors and an integer search.rerank_k; choose a run of "
            "data=shop_street with crop=annotated, a hash layer trained on all categories, and search.rerank_k=1000"
        )
    return data.source, policy.rerank_k


def _measure_size(
    model: Model, query_set: QuerySet, composed: LabelledGarments, size: int, rerank_k: int, folder: Path
) -> list[Row]:
    machine = environment(gpu=model.device.type == "cuda")
    cache_key = [
        model.fingerprint(),
        size,
        len(composed.labels),
        len(query_set.timed_rows),
        rerank_k,
        list(METHODS),
        machine,
    ]
    cache_file = folder / f"{size}-{sha256(json.dumps(cache_key).encode()).hexdigest()[:8]}.json"
    if cached := _read_cache(cache_file):
        log.info("Gallery of %d rows: using the results in %s", size, cache_file)
        return cached
    log.info("Gallery of %d rows: measuring", size)
    metric_set: MetricSet = "scores" if size <= len(composed.labels) else "recall"
    num_categories, garments = len(model.categories), composed.head(size)
    if size > len(composed.labels):
        garments = concatenate([composed, perturbed_copies(composed, size - len(composed.labels), model.bits or 0)])
    shared_columns: Row = {
        "gallery": size,
        "bits": model.bits,
        "queries": len(query_set.timed_rows),
        "load": round(os.getloadavg()[0], 2),
        **machine,
    }
    rows: list[Row] = []
    for indexed_by, probabilities in (
        ("predicted", garments.encoded.probabilities),
        ("true", _one_hot(garments.labels, num_categories)),
    ):
        measured = time_methods(
            model, build_gallery(model, garments, probabilities), query_set, rerank_k, list(METHODS), metric_set
        )
        rows += [
            shared_columns | {"inverted lists": "model categories", "indexed by": indexed_by} | row for row in measured
        ]
    other_model, random_lists, other_queries = _assign_lists(model, query_set, size)
    gallery = build_gallery(other_model, garments, _one_hot(random_lists, len(other_model.categories)))
    measured = time_methods(other_model, gallery, other_queries, rerank_k, RANDOM_LIST_METHODS, "times")
    rows += [shared_columns | {"inverted lists": SOURCE, "indexed by": "frequency"} | row for row in measured]
    embedding_dim = garments.encoded.embeddings.shape[1]
    policies = {name: SearchPolicy(name) for name in ("euclidean", "hamming", "rerank")}
    rows = [row | storage_bytes(policies[str(row["distance"])], model.bits, embedding_dim) for row in rows]
    with atomic_write(cache_file) as temporary:
        temporary.write_text(json.dumps(rows, indent=1))
    return rows


def _read_cache(file: Path) -> list[Row]:
    """Read cached rows; empty if the file is missing or damaged (with a warning)."""
    try:
        return [dict(row) for row in json.loads(file.read_text())] if file.exists() else []
    except (ValueError, TypeError) as error:
        log.warning("%s: damaged cache (%s); measuring again", file, error)
        return []


def _query_set(model: Model, data: GarmentData, query: EncodedSplit, count: int) -> QuerySet:
    labels = query.catalogue.labels(model.categories)
    oracle = query.encoded._replace(probabilities=_one_hot(labels, len(model.categories)))
    timed_rows = np.linspace(0, len(labels) - 1, count).astype(np.int64)
    preprocessing = QueryPreprocessing(model, data, data.rows("query")[timed_rows])
    return QuerySet(
        query.encoded, oracle, labels, query.catalogue.column("item").astype(str), timed_rows, preprocessing
    )


def _one_hot(labels: np.ndarray, num_categories: int) -> np.ndarray:
    """One-hot probabilities.  (N,) int labels -> (N, C) float32."""
    return np.eye(num_categories, dtype=np.float32)[labels]


def _assign_lists(model: Model, query_set: QuerySet, size: int) -> tuple[Model, np.ndarray, QuerySet]:
    """Assign gallery rows and queries to random lists with the category frequencies of another data set.

    Returns:
        Model with the categories of that data set, lists of the gallery rows, (size,) int64, and queries.
    """
    names, ratios = category_ratios()
    other_model = copy.copy(model)
    other_model.categories = names
    rng = np.random.default_rng(0)
    lists = rng.choice(len(names), size, p=ratios)
    labels = rng.choice(len(names), len(query_set.labels), p=ratios)
    probabilities = rng.random((len(labels), len(names)), dtype=np.float32) * 0.01
    probabilities[np.arange(len(labels)), labels] = 1
    encoded = query_set.encoded._replace(probabilities=probabilities / probabilities.sum(axis=1, keepdims=True))
    return other_model, lists, replace(query_set, encoded=encoded, oracle=encoded, labels=labels)
