"""Compute training-free baselines and baselines that use the model, and statistics of the codes."""

import logging

import numpy as np
import pyarrow as pa
import torch

from fashion_lsh.evaluation.protocol import EncodedSplit, relevance_by_column
from fashion_lsh.evaluation.query_table import query_table
from fashion_lsh.index.codes import pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex
from fashion_lsh.metrics import retrieval as scoring
from fashion_lsh.metrics.code_statistics import code_statistics, describe_collapse
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.results import WHOLE_GALLERY, Result, mean_results
from fashion_lsh.metrics.retrieval import MAX_K, Relevance, precision_at_radius
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.projection import fit_itq, random_hyperplanes

log = logging.getLogger(__name__)

ITQ_SAMPLES = 10_000  # maximum number of gallery embeddings for fitting ITQ
RADIUS = 2  # Hamming radius of hash lookup, in bits

CodePair = tuple[np.ndarray, np.ndarray]  # packed codes of queries (Q, W) and of the gallery (N, W), uint8


def baseline_results(query: EncodedSplit, gallery: EncodedSplit, bits: int | None) -> tuple[list[Result], pa.Table]:
    """Mean scores of all baselines with confidence intervals, and code statistics.

    The scores of a query without detections are 0.

    Args:
        query: Q encoded queries.
        gallery: encoded gallery.
        bits: code length; None without a hash layer.

    Returns:
        Results, and the query table of all baselines (see `query_table`).
    """
    results = [] if bits is None else code_results(gallery, bits)
    pairs = {} if bits is None else code_pairs(query.encoded, gallery.encoded, bits)
    relevance_by_name = relevance_by_column(query.catalogue, gallery.catalogue, gallery.not_indexed)
    hits = exact_hits(query, gallery)
    baselines = {
        name: baseline_scores(query, gallery, relevance, pairs, hits) for name, relevance in relevance_by_name.items()
    }
    is_detected = query.encoded.predicted >= 0
    if "code" in pairs:
        precisions = precision_at_radius(*pairs["code"], relevance_by_name["category"], RADIUS)
        precision = float(np.nanmean(np.where(is_detected, precisions, 0 * precisions)))
        results.append(
            Result("radius_precision", precision, k=RADIUS, method="code", scope=WHOLE_GALLERY, relevance="category",
                   bits=bits or 0, n=int(np.isfinite(precisions).sum()))
        )  # fmt: skip
    items, tables = query.catalogue.column("item"), []
    for method in baselines["category"]:
        scores: dict[str, Scores] = {
            name: {
                metric: np.where(is_detected, values, 0 * values)  # NaN scores stay NaN
                for metric, values in scores_by_method[method].items()
            }
            for name, scores_by_method in baselines.items()
        }
        method_bits = (bits or 0) if method in pairs else 0
        results += mean_results(scores, items, method=method, scope=WHOLE_GALLERY, bits=method_bits)
        tables.append(query_table((method, WHOLE_GALLERY), query.catalogue, scores))
    return results, pa.concat_tables(tables)


def baseline_scores(
    query: EncodedSplit,
    gallery: EncodedSplit,
    relevance: Relevance,
    pairs: dict[str, CodePair],
    hits: dict[str, Hits],
) -> dict[str, Scores]:
    """Score each baseline on the whole gallery: name -> (metric, k) -> (Q,).

    Args:
        query: Q encoded queries.
        gallery: encoded gallery.
        relevance: relevance of the gallery rows to the queries.
        pairs: see `code_pairs`.
        hits: see `exact_hits`.
    """
    query_encoded, gallery_encoded = query.encoded, gallery.encoded
    num_rows = len(gallery.catalogue)
    scores = {
        "random": scoring.score_distances(
            lambda block: np.zeros((len(relevance.query[block]), num_rows), dtype=np.int16), 1, relevance, None
        ),
        "predicted_category": scoring.score_distances(
            lambda block: (query_encoded.predicted[block, None] != gallery_encoded.predicted).astype(np.int16),
            2,
            relevance,
            None,
        ),
        "float": scoring.score_hits(hits["float"], relevance),
    }
    scores |= {name: scoring.score_codes(*codes, relevance, None) for name, codes in pairs.items()}
    return scores | {name: scoring.score_hits(hits[name], relevance) for name in sorted(query.descriptors)}


def exact_hits(query: EncodedSplit, gallery: EncodedSplit) -> dict[str, Hits]:
    """Hits of exact Euclidean search in the whole gallery, with embeddings (`float`) and with each image descriptor."""
    pairs = {"float": (query.encoded.embeddings, gallery.encoded.embeddings)}
    pairs |= {name: (query.descriptors[name], gallery.descriptors[name]) for name in sorted(query.descriptors)}
    return {name: _search_exact(*pair) for name, pair in pairs.items()}


def code_pairs(query: Encoded, gallery: Encoded, bits: int) -> dict[str, CodePair]:
    """Codes of queries and gallery: codes of the model (`code`), and training-free codes of the model's embeddings.

    `lsh`: random hyperplanes through the mean of the gallery embeddings. `itq`: ITQ, fitted on at most ITQ_SAMPLES
    evenly spaced gallery embeddings; skipped if there are more bits than embedding dimensions.
    """
    pairs = {} if query.codes is None or gallery.codes is None else {"code": (query.codes, gallery.codes)}
    embeddings = gallery.embeddings
    hyperplanes = {"lsh": (embeddings.mean(axis=0), random_hyperplanes(embeddings.shape[1], bits, seed=0).numpy())}
    if bits <= embeddings.shape[1]:
        centre, projection = fit_itq(torch.from_numpy(embeddings[:: -(-len(embeddings) // ITQ_SAMPLES)]), bits)
        hyperplanes["itq"] = centre.numpy(), projection.numpy()
    return pairs | {
        name: (_hyperplane_codes(query.embeddings, centre, normals), _hyperplane_codes(embeddings, centre, normals))
        for name, (centre, normals) in hyperplanes.items()
    }


def code_results(gallery: EncodedSplit, bits: int) -> list[Result]:
    """Statistics of the gallery codes (see CodeStatistics); warn if the codes of a hash layer have collapsed."""
    encoded = gallery.encoded
    if encoded.codes is None:
        return []
    statistics = code_statistics(encoded.codes, bits)
    warning = describe_collapse(statistics, bits, gallery.catalogue.column("category"))
    if warning and gallery.quantisation_error is not None:  # codes of a trained hash layer
        log.warning("%s", warning)
    values = statistics._asdict()
    if gallery.quantisation_error is not None:
        values["quantisation_error"] = gallery.quantisation_error
    return [Result(name, value, method="code", split="gallery", bits=bits) for name, value in values.items()]


def _hyperplane_codes(embeddings: np.ndarray, centre: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Packed codes of hyperplane sides.  embeddings (N, D), centre (D,), normals (D, bits) -> codes (N, W) uint8."""
    return pack(embeddings @ normals - centre @ normals, 0.0)


def _search_exact(queries: np.ndarray, gallery: np.ndarray) -> Hits:
    index, rows = FloatIndex(gallery.shape[1], 1), np.arange(len(gallery))
    index.add(gallery, np.zeros(len(gallery), dtype=np.int64), rows)
    return index.search(queries, np.zeros((len(queries), 1), dtype=np.int64), MAX_K)
