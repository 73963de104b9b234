"""Per-query scores that tables compare, and their compact form in the job file."""

import base64
import hashlib
import json
import logging
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.metrics.ranking import Scores

log = logging.getLogger(__name__)

COMPARED_METRICS = ("category/map@100", "item/map@100", "item/recall@10")
JOB_BYTES = 50_000  # maximum size of a job file
MODEL_FREE = ("random", "predicted_category", "colour_histogram", "raw_pixels")  # baselines that do not use the model
QUANTISATION_STEPS = 65534  # of a score from 0 to 1
UNSCORED = 65535  # NaN: the query has no relevant row


class QueryScores(NamedTuple):
    """Per-query scores of a job file.

    Attributes:
        ids: checksum of the query ids in order.
        groups: (Q,) int64, row of the first query of the same item; a query without an item has its own row.
        scores: (Q,) float each, to within 1 / 131,068; NaN: no relevant row.
    """

    ids: str
    groups: np.ndarray
    scores: Scores


def search_scores(queries: pa.Table) -> Scores:
    """Scores of the search of a run from its query table, (Q,) float32 each; `query/accuracy` is 0 or 1."""
    by_metric = {f"query/{name}": queries[name].to_numpy() for name in COMPARED_METRICS if name in queries.column_names}
    correct = queries["predicted"].to_numpy() == queries["category"].to_numpy()
    return {name: values.astype(np.float32) for name, values in ({"query/accuracy": correct} | by_metric).items()}


def method_scores(method: str, scores: Mapping[str, Scores]) -> Scores:
    """Scores of one baseline, `baselines/<method>/…`, (Q,) float32 each; empty if it is in MODEL_FREE."""
    by_metric = {
        f"{relevance}/{name}": values for relevance, by_name in scores.items() for name, values in by_name.items()
    }
    names = [name for name in COMPARED_METRICS if name in by_metric and method not in MODEL_FREE]
    return {f"baselines/{method}/{name}": by_metric[name].astype(np.float32) for name in names}


def pack_scores(query: Catalogue, scores: Scores) -> dict[str, str]:
    """Encode scores as texts for JSON: `ids`, `items`, and each score by its name, the most important ones first.

    Args:
        query: Q rows.
        scores: (Q,) float each, 0..1 or NaN.
    """
    items = query.column("item").astype(str)
    _, first, item_ids = np.unique(items, return_index=True, return_inverse=True)
    offsets = np.where(items == "", 0, np.arange(len(items)) - first[item_ids])  # to the first query of the item
    digest = hashlib.sha256("\n".join(query.column("id")).encode()).hexdigest()
    steps = {
        name: np.where(np.isnan(values), UNSCORED, np.rint(values * QUANTISATION_STEPS))
        for name, values in scores.items()
    }
    order = sorted(steps, key=lambda name: [name.startswith(f"baselines/{method}") for method in ("lsh", "itq")])
    texts = {name: _encode(steps[name].astype("<u2")) for name in order}
    return {"ids": digest[:8], "items": _encode(offsets.astype("<u4")), **texts}


def with_query_scores(job: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Job file as JSON: the job and, as `queries`, as many packed scores as fit in JOB_BYTES."""
    remaining = JOB_BYTES - len(json.dumps(job, indent=1))
    included: dict[str, str] = {}
    for name, text in texts.items():
        remaining -= len(f'  "{name}": "{text}",\n')
        if remaining < len(' "queries": {\n },\n'):
            break
        included[name] = text
    if len(included) < len(texts):
        skipped = ", ".join(name for name in texts if name not in included)
        log.info("Skipped per-query scores that exceed %s bytes: %s", f"{JOB_BYTES:,}", skipped)
    return json.dumps({**job, "queries": included} if included.keys() - {"ids", "items"} else job, indent=1)


def unpack_scores(texts: Mapping[str, str]) -> QueryScores:
    """Decode packed scores.

    Raises:
        ValueError: a text is damaged, or lengths differ.
        KeyError: `ids` or `items` is missing.
    """
    offsets = _decode(texts["items"], "<u4").astype(np.int64)
    steps = {name: _decode(text, "<u2") for name, text in texts.items() if name not in ("ids", "items")}
    if mismatched := [name for name, values in steps.items() if len(values) != len(offsets)]:
        raise ValueError(f"{mismatched[0]}: {len(steps[mismatched[0]])} scores for {len(offsets)} queries")
    scores = {name: np.where(values == UNSCORED, np.nan, values / QUANTISATION_STEPS) for name, values in steps.items()}
    return QueryScores(texts["ids"], np.arange(len(offsets)) - offsets, scores)


def _encode(numbers: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(numbers.tobytes(), 9)).decode()


def _decode(text: str, dtype: str) -> np.ndarray:
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype)
    except zlib.error as error:
        raise ValueError(f"per-query scores are damaged: {error}") from error
