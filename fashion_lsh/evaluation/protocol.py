"""Evaluation protocol: encode a split, search, and score the hits."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData, SplitName
from fashion_lsh.data.dataset import Batch
from fashion_lsh.evaluation.batch_encoding import encode_all, encode_in_processes
from fashion_lsh.evaluation.coverage import coverage_results
from fashion_lsh.evaluation.latency import NUM_WARM_UP
from fashion_lsh.evaluation.query_table import query_table, shared_garment_results
from fashion_lsh.evaluation.scoring import relevance_by_column, score_search
from fashion_lsh.index.hits import Hits
from fashion_lsh.io.progress import track
from fashion_lsh.metrics.classification import classification_results
from fashion_lsh.metrics.ranking import CUTOFFS
from fashion_lsh.metrics.results import Result, mean_results
from fashion_lsh.metrics.retrieval import MAX_HITS
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.search.storage import storage_bytes
from fashion_lsh.training.processes import Processes

log = logging.getLogger(__name__)

MAX_NAMED_HITS = 10  # maximum number of hits per query in queries.parquet


@dataclass(frozen=True)
class EncodedSplit:
    """One part of the data, encoded by the model and by the image descriptors.

    Attributes:
        catalogue: n catalogue rows.
        encoded: probabilities, codes and embeddings of the n rows.
        descriptors: name -> (n, D) float32 (see DESCRIPTORS).
        not_indexed: garments of the part that were skipped because nothing was detected in the image; None if no
            garment was skipped.
        quantisation_error: mean quantisation error of the activations (see `quantisation_error`); None if not measured.
    """

    catalogue: Catalogue
    encoded: Encoded
    descriptors: dict[str, np.ndarray]
    not_indexed: Catalogue | None = None
    quantisation_error: float | None = None


class SearchEvaluation(NamedTuple):
    """Results of a search with all queries.

    Attributes:
        results: means over the queries, and search times.
        queries: table with one row per query (see `query_table`).
        hits: (Q, 100) hits.
        gallery: first 8 hex digits of the hash of the ids in the gallery.
    """

    results: list[Result]
    queries: pa.Table
    hits: Hits
    gallery: str


def evaluate(
    searcher: Searcher,
    query: EncodedSplit,
    not_indexed: Catalogue | None = None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> SearchEvaluation:
    """Search with all queries under the policy of the searcher, and score the search.

    Args:
        searcher: model, gallery and policy.
        query: Q encoded queries.
        not_indexed: garments missing from the gallery (see EncodedSplit), which count as not retrieved if relevant.
        cutoffs: cutoff ranks, ALL for all rows that the search reaches.

    Raises:
        ValueError: the policy filters hits, which an evaluation does not apply (see HIT_FILTERS).
    """
    if searcher.policy.ranking is not searcher.policy:
        raise ValueError(f"{searcher.policy} filters hits; evaluate searcher.with_policy(policy.ranking)")
    catalogue, encoded = query.catalogue, query.encoded
    hits, milliseconds = time_search(searcher, encoded)
    relevance = relevance_by_column(catalogue, searcher.gallery.catalogue, not_indexed)
    if "item" not in relevance and (catalogue.column("item") != "").any():
        log.info("Queries and gallery share no item: no scores by item (split=disjoint: items have images in both)")
    scores = {name: score_search(searcher, encoded, each, cutoffs) for name, each in relevance.items()}
    labels, items = catalogue.labels(searcher.model.categories), catalogue.column("item")
    policy = searcher.policy
    method: dict[str, Any] = {"method": policy.method, "scope": policy.scope}
    bits: dict[str, Any] = {"bits": (policy.bits or searcher.model.bits or 0) if policy.uses_codes else 0}
    outputs = _query_outputs(searcher, encoded, hits, milliseconds)
    table = query_table((policy.method, policy.scope), catalogue, scores, outputs)
    results = classification_results(encoded.probabilities, encoded.predicted, labels, items)
    results += mean_results(scores, items, catalogue.column("category"), **method, **bits)
    if "item" in scores:
        results += shared_garment_results(scores["item"], catalogue, searcher.gallery.catalogue, **method, **bits)
    lists = policy.select_lists(encoded.probabilities)
    results += coverage_results(lists, labels, items, relevance, searcher.gallery.lists, **method, **bits)
    results += _cost_results(searcher, query, milliseconds, **method, **bits)
    ids = "\n".join(searcher.gallery.catalogue.column("id"))
    return SearchEvaluation(results, table, hits, hashlib.sha256(ids.encode()).hexdigest()[:8])


def _cost_results(searcher: Searcher, query: EncodedSplit, milliseconds: np.ndarray, **fields: Any) -> list[Result]:
    """Times, (Q,) milliseconds, and bytes per garment of a search, and the numbers of queries and gallery garments."""
    size = storage_bytes(searcher.policy, searcher.model.bits, query.encoded.embeddings.shape[1])["bytes"]
    return [
        Result("latency_ms", float(np.median(milliseconds)), **fields),
        Result("latency_ms_p95", float(np.quantile(milliseconds, 0.95)), **fields),
        Result("garment_bytes", size, **fields),
        Result("garments", len(query.catalogue), method="data"),
        Result("garments", len(searcher.gallery.catalogue), method="data", split="gallery"),
    ]


def encode_split(
    model: Model,
    data: GarmentData,
    part: SplitName,
    transform: Callable[[Batch], Batch] | None = None,
    processes: Processes | None = None,
) -> EncodedSplit:
    """Encode one part of the data, after `transform` is applied to each batch of crops.

    Features of the data (see `GarmentData.features`) replace the crops, unless there is a transform. Several processes
    share the images, unless there is a transform.
    """
    data = data.pinned_for(model.device)
    data = data.replace(features=None) if transform else data
    garments = data.garments(part)
    if processes and processes.size > 1 and not transform and data.features is None:
        encoded, descriptors, error = encode_in_processes(model, data, data.rows(part), part, processes)
    else:
        loader = map(transform, data.loader(part)) if transform else data.loader(part)
        batches = track(loader, f"encoding {part}", len(garments), lambda batch: len(batch.labels))
        encoded, descriptors, error = encode_all(model, batches)
    if data.features is not None:
        descriptors = data.features.take_descriptors(data.rows(part))
    if data.box_selector.fallback == "skip":  # only queries include garments without detections
        encoded = encoded.without_detections(data.undetected[data.rows(part)])
    return EncodedSplit(garments, encoded, descriptors, data.not_indexed(part), error)


@torch.inference_mode()
def encode_sample(model: Model, data: GarmentData, count: int) -> np.ndarray:
    """Embeddings of at most `count` evenly spaced training images without augmentation, (n, D) float32."""
    model.eval()
    batches = data.pinned_for(model.device).loader("train", count)
    return np.concatenate([model(batch.images.to(model.device)).embedding.float().cpu().numpy() for batch in batches])


def time_search(searcher: Searcher, query: Encoded) -> tuple[Hits, np.ndarray]:
    """Search Q queries one at a time, after NUM_WARM_UP untimed queries: hits (Q, 100) and milliseconds (Q,)."""
    for row in range(min(NUM_WARM_UP, len(query.probabilities))):
        searcher.search_encoded(query.at(row), MAX_HITS)
    hits, milliseconds = [], []
    for row in range(len(query.probabilities)):
        single_query = query.at(row)
        start = time.perf_counter()
        hits.append(searcher.search_encoded(single_query, MAX_HITS))
        milliseconds.append(1000 * (time.perf_counter() - start))
    return Hits.concatenate(hits, MAX_HITS), np.array(milliseconds)


def _query_outputs(searcher: Searcher, encoded: Encoded, hits: Hits, milliseconds: np.ndarray) -> dict[str, Any]:
    """Outputs per query as columns of the query table."""
    names, ids = searcher.model.categories, searcher.gallery.catalogue.column("id")
    hit_ids = [[ids[row] for row in rows[:MAX_NAMED_HITS] if row >= 0] for rows in hits.rows]
    codes = [None] * len(hits.rows) if encoded.codes is None else [code.tobytes() for code in encoded.codes]
    return {
        "predicted": [names[category] if category >= 0 else "" for category in encoded.predicted],
        "confidence": encoded.probabilities.max(axis=1),
        "hits": pa.array(hit_ids, pa.list_(pa.string())),
        "code": pa.array(codes, pa.binary()),
        "search_ms": milliseconds,
    }
