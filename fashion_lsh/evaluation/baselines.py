"""Baselines of every score table, and statistics of the codes."""

import logging

import numpy as np
import torch

from fashion_lsh.evaluation.protocol import EncodedSplit, relevances
from fashion_lsh.evaluation.query_scores import method_scores
from fashion_lsh.index.codes import pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex
from fashion_lsh.metrics import retrieval as scoring
from fashion_lsh.metrics.code_statistics import code_statistics, describe_collapse
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.retrieval import MAX_K, Relevance, precision_at_radius
from fashion_lsh.metrics.statistics import intervals, means
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.projection import hyperplanes, itq

log = logging.getLogger(__name__)

ITQ_SAMPLES = 10_000  # maximum number of gallery embeddings to fit ITQ on
RADIUS = 2  # bits, of the look-up of neighbouring codes

CodePair = tuple[np.ndarray, np.ndarray]  # (Q, W) and (N, W) uint8


def baseline_metrics(query: EncodedSplit, gallery: EncodedSplit, bits: int | None) -> tuple[dict[str, float], Scores]:
    """Means, with confidence intervals, of all baselines: `baselines/<method>/<item or category>/<metric>`; `codes/…`.

    A query without detections scores 0 in all of them.

    Args:
        query: Q encoded queries.
        gallery: encoded gallery.
        bits: code length; None: no codes.

    Returns:
        The means, and the (Q,) scores that tables compare (see `method_scores`).
    """
    query_scores: Scores = {}
    metrics = {} if bits is None else code_metrics(gallery, bits)
    pairs = {} if bits is None else code_pairs(query.encoded, gallery.encoded, bits)
    relevance_by_kind = relevances(query.catalogue, gallery.catalogue, gallery.not_indexed)
    nearest = exact_hits(query, gallery)
    baselines = {
        name: baseline_scores(query, gallery, relevance, pairs, nearest)
        for name, relevance in relevance_by_kind.items()
    }
    detected = query.encoded.predicted >= 0
    if "code" in pairs:
        precisions = precision_at_radius(*pairs["code"], relevance_by_kind["category"], RADIUS)
        metrics[f"codes/precision@radius{RADIUS}"] = float(np.nanmean(np.where(detected, precisions, 0 * precisions)))
    for method in baselines["category"]:
        scores = {
            name: {
                metric: np.where(detected, values, 0 * values) for metric, values in by_method[method].items()
            }  # NaN, no relevant row, stays NaN
            for name, by_method in baselines.items()
        }
        metrics |= means(f"baselines/{method}", scores) | intervals(
            f"baselines/{method}", scores, query.catalogue.column("item")
        )
        query_scores |= method_scores(method, scores)
    return metrics, query_scores


def baseline_scores(
    query: EncodedSplit,
    gallery: EncodedSplit,
    relevance: Relevance,
    pairs: dict[str, CodePair],
    nearest: dict[str, Hits],
) -> dict[str, Scores]:
    """(Q,) scores of each baseline, over the whole gallery; see `code_pairs` and `exact_hits`."""
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
        "float": scoring.score_hits(nearest["float"], relevance),
    }
    scores |= {name: scoring.score_codes(*codes, relevance, None) for name, codes in pairs.items()}
    return scores | {name: scoring.score_hits(nearest[name], relevance) for name in sorted(query.descriptors)}


def exact_hits(query: EncodedSplit, gallery: EncodedSplit) -> dict[str, Hits]:
    """Exact Euclidean search of the whole gallery: by embeddings (`float`), and by each image descriptor."""
    pairs = {"float": (query.encoded.embeddings, gallery.encoded.embeddings)}
    pairs |= {name: (query.descriptors[name], gallery.descriptors[name]) for name in sorted(query.descriptors)}
    return {name: _search_exact(*pair) for name, pair in pairs.items()}


def code_pairs(query: Encoded, gallery: Encoded, bits: int) -> dict[str, CodePair]:
    """Codes of queries and gallery by method: the model's own, and training-free ones of its embeddings.

    `lsh`: random hyperplanes through the mean of the gallery embeddings. `itq`: fitted on at most ITQ_SAMPLES evenly
    spaced gallery embeddings; skipped if there are more bits than embedding dimensions.
    """
    pairs = {} if query.codes is None or gallery.codes is None else {"code": (query.codes, gallery.codes)}
    embeddings = gallery.embeddings
    planes = {"lsh": (embeddings.mean(axis=0), hyperplanes(embeddings.shape[1], bits, seed=0).numpy())}
    if bits <= embeddings.shape[1]:
        centre, projection = itq(torch.from_numpy(embeddings[:: -(-len(embeddings) // ITQ_SAMPLES)]), bits)
        planes["itq"] = centre.numpy(), projection.numpy()
    return pairs | {
        name: (_hyperplane_codes(query.embeddings, centre, normals), _hyperplane_codes(embeddings, centre, normals))
        for name, (centre, normals) in planes.items()
    }


def code_metrics(gallery: EncodedSplit, bits: int) -> dict[str, float]:
    """`codes/<metric>` of the gallery codes (see CodeStatistics); collapsed codes are logged as a warning."""
    encoded = gallery.encoded
    if encoded.codes is None:
        return {}
    statistics = code_statistics(encoded.codes, bits)
    problem = describe_collapse(statistics, bits, encoded.predicted[encoded.predicted >= 0])
    if problem:
        log.warning("%s", problem)
    extra = {} if gallery.quantisation_error is None else {"codes/quantisation_error": gallery.quantisation_error}
    return {f"codes/{name}": value for name, value in statistics._asdict().items()} | extra


def _hyperplane_codes(embeddings: np.ndarray, centre: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Packed sides of hyperplanes.  (N, D) embeddings, centre (D,), normals (D, bits) -> (N, W) uint8."""
    return pack(embeddings @ normals - centre @ normals, 0.0)


def _search_exact(queries: np.ndarray, gallery: np.ndarray) -> Hits:
    index, rows = FloatIndex(gallery.shape[1], 1), np.arange(len(gallery))
    index.add(gallery, np.zeros(len(gallery), dtype=np.int64), rows)
    return index.search(queries, np.zeros((len(queries), 1), dtype=np.int64), MAX_K)
