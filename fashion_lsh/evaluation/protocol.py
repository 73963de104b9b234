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
from fashion_lsh.metrics.classification import classification
from fashion_lsh.metrics.code_statistics import quantisation_error
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.retrieval import DEPTH, Truth
from fashion_lsh.metrics.statistics import intervals, macro_mean, means
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.models.encoding import Encoded, Model, as_arrays
from fashion_lsh.search.searcher import Searcher

NAMED = 10  # hits of each query that are named in queries.parquet


@dataclass(frozen=True)
class EncodedPart:
    """One part of the data, as the model and as the plain references see it.

    Attributes:
        catalogue: n rows.
        encoded: their masses, codes and embeddings.
        references: name -> (n, D) float32, see REFERENCES.
        lost: garments of the same part that were left out, since nothing was found in their pictures; None: none.
        rounding: mean quantisation error of their activations (see `quantisation_error`); None: not measured.
    """

    catalogue: Catalogue
    encoded: Encoded
    references: dict[str, np.ndarray]
    lost: Catalogue | None = None
    rounding: float | None = None


class Results(NamedTuple):
    """What a search is worth: flat means, one row a query, and the hits, (Q, 100), for looking at."""

    metrics: dict[str, float]
    queries: pa.Table
    hits: Hits


def evaluate(searcher: Searcher, query: EncodedPart, lost: Catalogue | None = None) -> Results:
    """Answer all queries in the searcher's own way, and score what it serves.

    Args:
        searcher: see Searcher.
        query: the pictures that ask, encoded.
        lost: garments that should be in the gallery and are not (see EncodedPart): nobody finds them, and they count.
    """
    catalogue, encoded = query.catalogue, query.encoded
    hits, milliseconds = timed_hits(searcher, encoded)
    scores = {
        name: own_search(searcher, encoded, truth, hits)
        for name, truth in truths(catalogue, searcher.gallery.catalogue, lost).items()
    }
    labels = catalogue.labels(searcher.model.categories)
    table = query_table(searcher.policy.label, catalogue, _answers(searcher, encoded, hits, milliseconds), scores)
    items = catalogue.column("item")
    metrics = classification(encoded.probabilities, encoded.predicted, labels, items)
    metrics |= means("query", scores) | intervals("query", scores, items)
    if "item" in scores:
        metrics |= by_shared_garment(scores["item"], catalogue, searcher.gallery.catalogue)
    metrics |= {
        "query/category/map@100_macro": macro_mean(scores["category"]["map@100"], catalogue.column("category")),
        "query/count": len(catalogue),
        **{f"query/{name}/scored": int((~np.isnan(found["map@100"])).sum()) for name, found in scores.items()},
        "query/gallery_rows": len(searcher.gallery.catalogue),
        "speed/search_ms": float(np.median(milliseconds)),
        "speed/search_ms_p95": float(np.quantile(milliseconds, 0.95)),
    }
    return Results(metrics, table, hits)


def encode_part(
    model: Model, data: GarmentData, part: Part, change: Callable[[Batch], Batch] | None = None
) -> EncodedPart:
    """Encode one part of the data; `change`: what is done to its crops before."""
    data = data.pinned_for(model.device)
    garments = data.garments(part)
    loaded = map(change, data.loader(part)) if change else data.loader(part)
    batches = track(loaded, f"encoding {part}", len(garments), lambda batch: len(batch.labels))
    encoded, looks, rounding = encode_all(model, batches)
    if data.box_selector.fallback == "skip":  # queries alone can be among them
        encoded = encoded.without_detections(data.undetected[data.rows(part)])
    return EncodedPart(garments, encoded, looks, data.not_indexed(part), rounding)


@torch.inference_mode()
def encode_all(model: Model, batches: Iterable[Batch]) -> tuple[Encoded, dict[str, np.ndarray], float | None]:
    """Encode batches of crops in their order; beside it the reference rows' view of the same crops, and `rounding`."""
    parts: list[Encoded] = []
    looks: dict[str, list[np.ndarray]] = {name: [] for name in DESCRIPTORS}
    errors: list[float] = []
    model.eval()
    for batch in batches:
        output = model(batch.images.to(model.device))
        parts.append(as_arrays(model, output))
        if output.activations is not None:
            errors.append(quantisation_error(output.activations, model.threshold))
        for name, describe in DESCRIPTORS.items():
            looks[name].append(describe(batch.images).numpy())
    rounding = float(np.average(errors, weights=[len(part.probabilities) for part in parts])) if errors else None
    return Encoded.concatenate(parts), {name: np.concatenate(values) for name, values in looks.items()}, rounding


def truths(query: Catalogue, gallery: Catalogue, lost: Catalogue | None = None) -> dict[str, Truth]:
    """What is relevant, by `category` and, where items are known, by `item`; `lost` counts, and nobody finds it."""
    found = {
        name: Truth.of(query.column(name), gallery.column(name), None if lost is None else lost.column(name))
        for name in ("category", "item")
    }
    return found if found["item"].totals.any() else {"category": found["category"]}


def own_search(searcher: Searcher, query: Encoded, truth: Truth, hits: Hits | None = None) -> Scores:
    """Scores of the searcher's own way: Hamming by its ties, all others as served: `hits`, or they are searched for."""
    filed = searcher.gallery.codes
    if searcher.policy.distance != "hamming" or query.codes is None or filed is None:
        return scoring.of_hits(searcher.search_encoded(query, DEPTH) if hits is None else hits, truth)
    lists = searcher.policy.select_lists(query.probabilities)

    def reached(block: slice) -> np.ndarray:
        probed = np.zeros((len(lists[block]), lists.shape[1] + 1), dtype=bool)
        np.put_along_axis(probed, lists[block], True, axis=1)  # -1 lands in the spare last column
        return probed[:, searcher.gallery.lists]

    return scoring.of_codes(query.codes, filed, truth, reached)


def timed_hits(searcher: Searcher, query: Encoded) -> tuple[Hits, np.ndarray]:
    """Hits of each query asked alone, (Q, 100), and the milliseconds it took, (Q,), after WARM_UP others."""
    for row in range(min(WARM_UP, len(query.probabilities))):
        searcher.search_encoded(query.at(row), DEPTH)
    found, milliseconds = [], []
    for row in range(len(query.probabilities)):
        alone = query.at(row)
        began = time.perf_counter()
        found.append(searcher.search_encoded(alone, DEPTH))
        milliseconds.append(1000 * (time.perf_counter() - began))
    return Hits.concatenate(found, DEPTH), np.array(milliseconds)


def end_to_end(
    searcher: Searcher, data: GarmentData, detector: BoxDetector | None = None, count: int = 100
) -> dict[str, float]:
    """`speed/end_to_end_ms`: from a query's pixels to its hits, one at a time: the median of `count`, 10 to warm up.

    Args:
        searcher: see Searcher.
        data: whose queries ask.
        finder: the detector that finds the crops; None: their boxes are known.
        count: queries.
    """
    rows = np.resize(data.rows("query"), count)
    pictures, boxes, annotated = data.catalogue.column("image"), data.crop_boxes, data.catalogue.boxes
    milliseconds = []
    for row in [*rows[:10], *rows]:
        pixels = data.source.image(pictures[row])
        began = time.perf_counter()
        box = (
            boxes[row]
            if detector is None
            else data.box_selector.select_one(detector.detect([pixels])[0], annotated[row])
        )
        searcher.search(pixels, box, DEPTH)
        milliseconds.append(1000 * (time.perf_counter() - began))
    return {"speed/end_to_end_ms": float(np.median(milliseconds[10:]))}


def _answers(searcher: Searcher, encoded: Encoded, hits: Hits, milliseconds: np.ndarray) -> dict[str, Any]:
    """What each query got, as columns: see `query_table`."""
    names, ids = searcher.model.categories, searcher.gallery.catalogue.column("id")
    found = [[ids[row] for row in rows[:NAMED] if row >= 0] for rows in hits.rows]
    return {
        "predicted": [names[number] if number >= 0 else "" for number in encoded.predicted],
        "mass": encoded.probabilities.max(axis=1),
        "hits": pa.array(found, pa.list_(pa.string())),
        "search_ms": milliseconds,
    }
