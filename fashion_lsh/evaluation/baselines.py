"""The rows that every table has, and what the bits of the codes say."""

import logging

import numpy as np
import torch

from fashion_lsh.evaluation.protocol import EncodedPart, truths
from fashion_lsh.evaluation.query_scores import row_scores
from fashion_lsh.index.codes import pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex
from fashion_lsh.metrics import retrieval as scoring
from fashion_lsh.metrics.code_statistics import collapse, quality
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.retrieval import DEPTH, Truth, precision_within
from fashion_lsh.metrics.statistics import intervals, means
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.projection import hyperplanes, itq

log = logging.getLogger(__name__)

FITTED = 10_000  # gallery embeddings that iterative quantisation is fitted on, at most
RADIUS = 2  # bits: how far a look-up of neighbouring codes goes

Pair = tuple[np.ndarray, np.ndarray]  # (Q, W) and (N, W) uint8


def reference_metrics(query: EncodedPart, gallery: EncodedPart, bits: int | None) -> tuple[dict[str, float], Scores]:
    """Means, with intervals, of the rows that every table has: `rows/<row>/<item or category>/<metric>`; `codes/…`.

    A query in which nothing was found asks nothing, and scores 0 in each.

    Args:
        query: the pictures that ask, encoded.
        gallery: those that are searched.
        bits: length of their codes; None: there are none.

    Returns:
        The means, and the scores of each query that tables compare (see `row_scores`).
    """
    kept: Scores = {}
    metrics = {} if bits is None else code_metrics(gallery, bits)
    coded = {} if bits is None else code_pairs(query.encoded, gallery.encoded, bits)
    found = truths(query.catalogue, gallery.catalogue, gallery.lost)
    nearest = exact_hits(query, gallery)
    rows = {name: reference_scores(query, gallery, truth, coded, nearest) for name, truth in found.items()}
    seen = query.encoded.predicted >= 0
    if "code" in coded:
        near = precision_within(*coded["code"], found["category"], RADIUS)
        metrics[f"codes/precision@radius{RADIUS}"] = float(np.nanmean(np.where(seen, near, 0 * near)))
    for row in rows["category"]:
        scores = {
            name: {measure: np.where(seen, values, 0 * values) for measure, values in found[row].items()}  # NaN stays
            for name, found in rows.items()
        }
        metrics |= means(f"rows/{row}", scores) | intervals(f"rows/{row}", scores, query.catalogue.column("item"))
        kept |= row_scores(row, scores)
    return metrics, kept


def reference_scores(
    query: EncodedPart, gallery: EncodedPart, truth: Truth, coded: dict[str, Pair], nearest: dict[str, Hits]
) -> dict[str, Scores]:
    """Scores, over the whole gallery, of the rows that every table has; see `code_pairs`, `exact_hits`."""
    wanted, filed = query.encoded, gallery.encoded
    count = len(gallery.catalogue)
    rows = {
        "random": scoring.of_distances(
            lambda block: np.zeros((len(truth.query[block]), count), dtype=np.int16), 1, truth, None
        ),
        "predicted_category": scoring.of_distances(
            lambda block: (wanted.predicted[block, None] != filed.predicted).astype(np.int16), 2, truth, None
        ),
        "float": scoring.of_hits(nearest["float"], truth),
    }
    rows |= {name: scoring.of_codes(*codes, truth, None) for name, codes in coded.items()}
    return rows | {name: scoring.of_hits(nearest[name], truth) for name in sorted(query.references)}


def exact_hits(query: EncodedPart, gallery: EncodedPart) -> dict[str, Hits]:
    """The first by exact Euclid in the whole gallery: between embeddings (`float`), and between plain references."""
    pairs = {"float": (query.encoded.embeddings, gallery.encoded.embeddings)}
    pairs |= {name: (query.references[name], gallery.references[name]) for name in sorted(query.references)}
    return {name: _nearest(*pair) for name, pair in pairs.items()}


def code_pairs(query: Encoded, gallery: Encoded, bits: int) -> dict[str, Pair]:
    """Codes of queries and gallery by row: the model's own, and those that need no training, of its embeddings.

    `lsh`: random hyperplanes through the mean of the gallery's embeddings. `itq`: fitted on these, at most FITTED,
    evenly chosen; left out where there are more bits than the embeddings are long.
    """
    pairs = {} if query.codes is None or gallery.codes is None else {"code": (query.codes, gallery.codes)}
    filed = gallery.embeddings
    planes = {"lsh": (filed.mean(axis=0), hyperplanes(filed.shape[1], bits, seed=0).numpy())}
    if bits <= filed.shape[1]:
        centre, turned = itq(torch.from_numpy(filed[:: -(-len(filed) // FITTED)]), bits)
        planes["itq"] = centre.numpy(), turned.numpy()
    return pairs | {
        name: (_sides(query.embeddings, centre, normals), _sides(filed, centre, normals))
        for name, (centre, normals) in planes.items()
    }


def code_metrics(gallery: EncodedPart, bits: int) -> dict[str, float]:
    """`codes/<measure>` of the gallery's codes, see Quality; codes that have collapsed are named in the log."""
    encoded = gallery.encoded
    if encoded.codes is None:
        return {}
    found = quality(encoded.codes, bits)
    wrong = collapse(found, bits, encoded.predicted[encoded.predicted >= 0])
    if wrong:
        log.warning("%s", wrong)
    rounding = {} if gallery.rounding is None else {"codes/quantisation_error": gallery.rounding}
    return {f"codes/{name}": value for name, value in found._asdict().items()} | rounding


def _sides(embeddings: np.ndarray, centre: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Packed codes: on which side of planes, (D, bits), through the centre, (D,), embeddings lie.  (N, D) float32."""
    return pack(embeddings @ normals - centre @ normals, 0.0)


def _nearest(queries: np.ndarray, gallery: np.ndarray) -> Hits:
    index, rows = FloatIndex(gallery.shape[1], 1), np.arange(len(gallery))
    index.add(gallery, np.zeros(len(gallery), dtype=np.int64), rows)
    return index.search(queries, np.zeros((len(queries), 1), dtype=np.int64), DEPTH)
