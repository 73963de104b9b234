"""Compute training-free baselines and baselines that use the model, and statistics of the codes."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.evaluation.query_table import query_table
from fashion_lsh.evaluation.scoring import probed_rows, relevance_by_column
from fashion_lsh.index.codes import pack
from fashion_lsh.index.quantizers import QuantizedVectors
from fashion_lsh.metrics import retrieval as scoring
from fashion_lsh.metrics.code_statistics import code_statistics, describe_collapse
from fashion_lsh.metrics.ranking import ALL, CURVE_METRICS, CUTOFFS, Scores, curve_cutoffs
from fashion_lsh.metrics.results import ONE_LIST, WHOLE_GALLERY, Result, mean_results
from fashion_lsh.metrics.retrieval import Relevance, precision_at_radius
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.projection import fit_itq, fit_pca_rotation, random_hyperplanes

log = logging.getLogger(__name__)

RADIUS = 2  # Hamming radius of hash lookup, in bits

CodePair = tuple[np.ndarray, np.ndarray]  # packed codes of queries (Q, W) and of the gallery (N, W), uint8
QuantizedPair = tuple[np.ndarray, QuantizedVectors]  # vectors of queries (Q, D) float32, and quantised gallery
ScoreMethod = Callable[[Relevance, Callable[[slice], np.ndarray] | None, Sequence[int]], Scores]


def baseline_results(
    query: EncodedSplit,
    gallery: EncodedSplit,
    train_embeddings: np.ndarray,
    bits: int | None,
    cutoffs: Sequence[int] = CUTOFFS,
    within_category: bool = False,
) -> tuple[list[Result], pa.Table]:
    """Mean scores of all baselines, in the whole gallery and in the list of the predicted category; code statistics.

    The scores of a query without detections are 0.

    Args:
        query: Q encoded queries.
        gallery: encoded gallery.
        train_embeddings: (n, D) embeddings of training images, for fitting codes.
        bits: code length; None without a hash layer.
        cutoffs: cutoff ranks.
        within_category: see `describe_collapse`.

    Returns:
        Results, and the query table of all baselines (see `query_table`).
    """
    results = [] if bits is None else code_results(gallery, bits, within_category)
    pairs = {} if bits is None else code_pairs(query.encoded, gallery.encoded, train_embeddings, bits)
    relevance_by_name = relevance_by_column(query.catalogue, gallery.catalogue, gallery.not_indexed)
    if "code" in pairs:
        results.append(_radius_precision(query, pairs["code"], relevance_by_name["category"], bits or 0))
    items, categories, tables = query.catalogue.column("item"), query.catalogue.column("category"), []
    quantized = quantized_pairs(query.encoded, gallery.encoded, train_embeddings, bits)
    results += _quantized_sizes(quantized, bits)
    methods = baseline_methods(query, gallery, pairs, quantized)
    predicted = query.encoded.predicted[:, None]
    for scope, find_probed in (
        (WHOLE_GALLERY, None),
        (ONE_LIST, probed_rows(predicted, gallery.encoded.predicted)),
    ):
        for method, score in methods.items():
            if find_probed is not None and method == "predicted_category":
                continue  # the list has one predicted category: `random` scores the same
            curve = curve_cutoffs(len(gallery.catalogue)) if method in ("float", *pairs) and not find_probed else ()
            scores = {
                name: _without_undetected(_score(score, relevance, find_probed, cutoffs, curve), query)
                for name, relevance in relevance_by_name.items()
            }
            method_bits = (bits or 0) if method in ("rabitq", *pairs) else 0
            fields: dict[str, Any] = {"method": method, "scope": scope, "bits": method_bits}
            results += mean_results(scores, items, categories, **fields)
            tables.append(query_table((method, scope), query.catalogue, scores))
    return results, pa.concat_tables(tables)


def _quantized_sizes(quantized: dict[str, QuantizedPair], bits: int | None) -> list[Result]:
    """Bytes of a quantised vector, by baseline."""
    return [
        Result("code_bytes", vectors.vector_bytes, method=name, split="gallery", bits=(bits or 0) * (name == "rabitq"))
        for name, (_, vectors) in quantized.items()
    ]


def baseline_methods(
    query: EncodedSplit, gallery: EncodedSplit, pairs: dict[str, CodePair], quantized: dict[str, QuantizedPair]
) -> dict[str, ScoreMethod]:
    """Functions that score each baseline, by name.

    Args:
        query: Q encoded queries.
        gallery: encoded gallery.
        pairs: see `code_pairs`.
        quantized: see `quantized_pairs`.
    """
    predicted, gallery_predicted = query.encoded.predicted, gallery.encoded.predicted

    def equal_distances(block: slice) -> np.ndarray:
        return np.zeros((len(predicted[block]), len(gallery_predicted)), dtype=np.int16)

    def category_distances(block: slice) -> np.ndarray:
        return (predicted[block, None] != gallery_predicted).astype(np.int16)

    methods: dict[str, ScoreMethod] = {
        "random": partial(scoring.score_distances, equal_distances, 1),
        "predicted_category": partial(scoring.score_distances, category_distances, 2),
        "float": partial(scoring.score_embeddings, query.encoded.embeddings, gallery.encoded.embeddings),
    }
    methods |= {name: partial(scoring.score_codes, *codes) for name, codes in pairs.items()}
    methods |= {name: partial(scoring.score_quantized, *vectors) for name, vectors in quantized.items()}
    return methods | {
        name: partial(scoring.score_embeddings, query.descriptors[name], gallery.descriptors[name])
        for name in sorted(query.descriptors)
    }


def code_pairs(query: Encoded, gallery: Encoded, train_embeddings: np.ndarray, bits: int) -> dict[str, CodePair]:
    """Codes of queries and gallery: codes of the model (`code`), and codes fitted to training embeddings, (n, D).

    `lsh`: random hyperplanes through the mean. `pca`: principal axes in a random rotation. `itq`: principal axes in the
    rotation of ITQ. `pca` and `itq` are skipped if there are more bits than embedding dimensions.
    """
    pairs = {} if query.codes is None or gallery.codes is None else {"code": (query.codes, gallery.codes)}
    dimensions, train = train_embeddings.shape[1], torch.from_numpy(train_embeddings)
    hyperplanes = {"lsh": (train.mean(dim=0), random_hyperplanes(dimensions, bits, seed=0))}
    if bits <= dimensions:
        hyperplanes |= {"pca": fit_pca_rotation(train, bits), "itq": fit_itq(train, bits)}
    return pairs | {
        name: (_hyperplane_codes(query.embeddings, *fitted), _hyperplane_codes(gallery.embeddings, *fitted))
        for name, fitted in hyperplanes.items()
    }


def quantized_pairs(
    query: Encoded, gallery: Encoded, train_embeddings: np.ndarray, bits: int | None
) -> dict[str, QuantizedPair]:
    """Vectors of queries, and quantised vectors of the gallery, fitted to training embeddings, (n, D).

    `int8`: embeddings with one byte per dimension. `rabitq`: one bit for each of the first `bits` principal axes of the
    embeddings in a random rotation; skipped without codes, or if there are more bits than embedding dimensions.
    """
    train = train_embeddings
    pairs = {"int8": (query.embeddings, QuantizedVectors("int8", train, gallery.embeddings))}
    if bits is None or bits > train.shape[1]:
        return pairs
    centre, axes = (fitted.numpy() for fitted in fit_pca_rotation(torch.from_numpy(train), bits))
    query_vectors, *vectors = ((each - centre) @ axes for each in (query.embeddings, train, gallery.embeddings))
    return {"rabitq": (query_vectors, QuantizedVectors("rabitq", *vectors)), **pairs}


def code_results(gallery: EncodedSplit, bits: int, within_category: bool = False) -> list[Result]:
    """Statistics of the gallery codes (see CodeStatistics); warn if trained codes have collapsed.

    `within_category`: see `describe_collapse`.
    """
    encoded = gallery.encoded
    if encoded.codes is None:
        return []
    statistics = code_statistics(encoded.codes, bits)
    warning = describe_collapse(statistics, bits, gallery.catalogue.column("category"), within_category)
    if warning and gallery.quantisation_error is not None:  # trained codes
        log.warning("%s", warning)
    values = statistics._asdict()
    if gallery.quantisation_error is not None:
        values["quantisation_error"] = gallery.quantisation_error
    return [Result(name, value, method="code", split="gallery", bits=bits) for name, value in values.items()]


def _score(
    score: ScoreMethod,
    relevance: Relevance,
    find_probed: Callable[[slice], np.ndarray] | None,
    cutoffs: Sequence[int],
    curve: Sequence[int],
) -> Scores:
    """All metrics at the cutoff ranks, and CURVE_METRICS at those of the curve."""
    scores = score(relevance, find_probed, tuple(dict.fromkeys([*cutoffs, *curve])))
    return {(metric, k): values for (metric, k), values in scores.items()
            if k in (*cutoffs, ALL) or metric in CURVE_METRICS}  # fmt: skip


def _radius_precision(query: EncodedSplit, codes: CodePair, relevance: Relevance, bits: int) -> Result:
    precisions = precision_at_radius(*codes, relevance, RADIUS)
    precision = float(np.nanmean(np.where(query.encoded.predicted >= 0, precisions, 0 * precisions)))
    return Result("radius_precision", precision, k=RADIUS, method="code", scope=WHOLE_GALLERY, relevance="category",
                  bits=bits, n=int(np.isfinite(precisions).sum()))  # fmt: skip


def _without_undetected(scores: Scores, query: EncodedSplit) -> Scores:
    """Replace the scores of queries without detections by 0; NaN scores stay NaN."""
    is_detected = query.encoded.predicted >= 0
    return {column: np.where(is_detected, values, 0 * values) for column, values in scores.items()}


def _hyperplane_codes(embeddings: np.ndarray, centre: Tensor, normals: Tensor) -> np.ndarray:
    """Packed codes of hyperplane sides.  embeddings (N, D), centre (D,), normals (D, bits) -> codes (N, W) uint8."""
    return pack(embeddings @ normals.numpy() - (centre @ normals).numpy(), 0.0)
