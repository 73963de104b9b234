"""Encode, search, score."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData, Part
from fashion_lsh.data.dataset import Batch
from fashion_lsh.data.detections import BoxDetector
from fashion_lsh.evaluation.latency import WARM_UP
from fashion_lsh.evaluation.results import by_shared_garment, query_table
from fashion_lsh.index.hits import Hits
from fashion_lsh.io.progress import track
from fashion_lsh.metrics import retrieval as scoring
from fashion_lsh.metrics.classification import classification_metrics
from fashion_lsh.metrics.code_statistics import quantisation_error
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.retrieval import MAX_K, Relevance
from fashion_lsh.metrics.statistics import intervals, macro_mean, means
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.models.encoding import Encoded, Model, as_arrays
from fashion_lsh.search.searcher import Searcher

NAMED_HITS = 10  # hits of each query that are named in queries.parquet


@dataclass(frozen=True)
class EncodedSplit:
    """One part of the data, as the model and as the plain references see it.

    Attributes:
        catalogue: n rows.
        encoded: their masses, codes and embeddings.
        descriptors: name -> (n, D) float32, see DESCRIPTORS.
        not_indexed: garments of the same split that are left out, since nothing was detected in their images; None:
            none.
        quantisation_error: mean quantisation error of their activations (see `quantisation_error`); None: not measured.
    """

    catalogue: Catalogue
    encoded: Encoded
    descriptors: dict[str, np.ndarray]
    not_indexed: Catalogue | None = None
    quantisation_error: float | None = None


class Results(NamedTuple):
    """What a search is worth: flat means, one row a query, and the hits, (Q, 100), for looking at."""

    metrics: dict[str, float]
    queries: pa.Table
    hits: Hits


def evaluate(searcher: Searcher, query: EncodedSplit, not_indexed: Catalogue | None = None) -> Results:
    """Answer all queries in the searcher's own way, and score what it serves.

    Args:
        searcher: see Searcher.
        query: the pictures that ask, encoded.
        not_indexed: relevant garments that are missing from the gallery (see EncodedSplit); they count as not found.
    """
    catalogue, encoded = query.catalogue, query.encoded
    hits, milliseconds = time_search(searcher, encoded)
    scores = {
        name: score_search(searcher, encoded, relevance, hits)
        for name, relevance in relevances(catalogue, searcher.gallery.catalogue, not_indexed).items()
    }
    labels = catalogue.labels(searcher.model.categories)
    table = query_table(searcher.policy.label, catalogue, _query_columns(searcher, encoded, hits, milliseconds), scores)
    items = catalogue.column("item")
    metrics = classification_metrics(encoded.probabilities, encoded.predicted, labels, items)
    metrics |= means("query", scores) | intervals("query", scores, items)
    if "item" in scores:
        metrics |= by_shared_garment(scores["item"], catalogue, searcher.gallery.catalogue)
    metrics |= {
        "query/category/map@100_macro": macro_mean(scores["category"]["map@100"], catalogue.column("category")),
        "query/count": len(catalogue),
        **{f"query/{name}/scored": int((~np.isnan(by_metric["map@100"])).sum()) for name, by_metric in scores.items()},
        "query/gallery_rows": len(searcher.gallery.catalogue),
        "speed/search_ms": float(np.median(milliseconds)),
        "speed/search_ms_p95": float(np.quantile(milliseconds, 0.95)),
    }
    return Results(metrics, table, hits)


def encode_split(
    model: Model, data: GarmentData, part: Part, transform: Callable[[Batch], Batch] | None = None
) -> EncodedSplit:
    """Encode one part of the data; `transform`: applied to its crops before."""
    data = data.pinned_for(model.device)
    garments = data.garments(part)
    loader = map(transform, data.loader(part)) if transform else data.loader(part)
    batches = track(loader, f"encoding {part}", len(garments), lambda batch: len(batch.labels))
    encoded, descriptors, error = encode_all(model, batches)
    if data.box_selector.fallback == "skip":  # queries alone can be among them
        encoded = encoded.without_detections(data.undetected[data.rows(part)])
    return EncodedSplit(garments, encoded, descriptors, data.not_indexed(part), error)


@torch.inference_mode()
def encode_all(model: Model, batches: Iterable[Batch]) -> tuple[Encoded, dict[str, np.ndarray], float | None]:
    """Encode batches of crops in their order: N rows, their descriptors (N, D) float32, mean quantisation error."""
    parts: list[Encoded] = []
    descriptors: dict[str, list[np.ndarray]] = {name: [] for name in DESCRIPTORS}
    errors: list[float] = []
    model.eval()
    for batch in batches:
        output = model(batch.images.to(model.device))
        parts.append(as_arrays(model, output))
        if output.activations is not None:
            errors.append(quantisation_error(output.activations, model.threshold))
        for name, compute in DESCRIPTORS.items():
            descriptors[name].append(compute(batch.images).numpy())
    error = float(np.average(errors, weights=[len(part.probabilities) for part in parts])) if errors else None
    return Encoded.concatenate(parts), {name: np.concatenate(values) for name, values in descriptors.items()}, error


def relevances(query: Catalogue, gallery: Catalogue, not_indexed: Catalogue | None = None) -> dict[str, Relevance]:
    """Relevance by `category` and, where items are known, by `item`; `not_indexed` counts, and is never found."""
    by_column = {
        name: Relevance.from_names(
            query.column(name), gallery.column(name), None if not_indexed is None else not_indexed.column(name)
        )
        for name in ("category", "item")
    }
    return by_column if by_column["item"].totals.any() else {"category": by_column["category"]}


def score_search(searcher: Searcher, query: Encoded, relevance: Relevance, hits: Hits | None = None) -> Scores:
    """Scores of the searcher's own way: Hamming by its ties, all others as served: `hits`, or they are searched for."""
    gallery_codes = searcher.gallery.codes
    if searcher.policy.distance != "hamming" or query.codes is None or gallery_codes is None:
        return scoring.score_hits(searcher.search_encoded(query, MAX_K) if hits is None else hits, relevance)
    probed_lists = searcher.policy.select_lists(query.probabilities)

    def probed(block: slice) -> np.ndarray:
        mask = np.zeros((len(probed_lists[block]), probed_lists.shape[1] + 1), dtype=bool)
        np.put_along_axis(mask, probed_lists[block], True, axis=1)  # -1 lands in the spare last column
        return mask[:, searcher.gallery.lists]

    return scoring.score_codes(query.codes, gallery_codes, relevance, probed)


def time_search(searcher: Searcher, query: Encoded) -> tuple[Hits, np.ndarray]:
    """Hits of each query asked alone, (Q, 100), and the milliseconds it took, (Q,), after WARM_UP others."""
    for row in range(min(WARM_UP, len(query.probabilities))):
        searcher.search_encoded(query.at(row), MAX_K)
    hits, milliseconds = [], []
    for row in range(len(query.probabilities)):
        single = query.at(row)
        start = time.perf_counter()
        hits.append(searcher.search_encoded(single, MAX_K))
        milliseconds.append(1000 * (time.perf_counter() - start))
    return Hits.concatenate(hits, MAX_K), np.array(milliseconds)


def time_end_to_end(
    searcher: Searcher, data: GarmentData, detector: BoxDetector | None = None, count: int = 100
) -> dict[str, float]:
    """`speed/end_to_end_ms`: from a query's pixels to its hits, one at a time: the median of `count`, 10 to warm up.

    Args:
        searcher: see Searcher.
        data: whose queries ask.
        detector: the detector that finds the crops; None: their boxes are known.
        count: queries.
    """
    rows = np.resize(data.rows("query"), count)
    keys, boxes, annotated = data.catalogue.column("image"), data.crop_boxes, data.catalogue.boxes
    milliseconds = []
    for row in [*rows[:10], *rows]:
        image = data.source.image(keys[row])
        start = time.perf_counter()
        box = (
            boxes[row]
            if detector is None
            else data.box_selector.select_one(detector.detect([image])[0], annotated[row])
        )
        searcher.search(image, box, MAX_K)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {"speed/end_to_end_ms": float(np.median(milliseconds[10:]))}


def _query_columns(searcher: Searcher, encoded: Encoded, hits: Hits, milliseconds: np.ndarray) -> dict[str, Any]:
    """What each query got, as columns: see `query_table`."""
    names, ids = searcher.model.categories, searcher.gallery.catalogue.column("id")
    hit_ids = [[ids[row] for row in rows[:NAMED_HITS] if row >= 0] for rows in hits.rows]
    return {
        "predicted": [names[number] if number >= 0 else "" for number in encoded.predicted],
        "confidence": encoded.probabilities.max(axis=1),
        "hits": pa.array(hit_ids, pa.list_(pa.string())),
        "search_ms": milliseconds,
    }
