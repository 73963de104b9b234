"""The scores of each query that tables compare: which ones, and their small form in the file of a job."""

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
JOB_BYTES = 50_000  # at most, of the file of a job
MODEL_FREE = ("random", "predicted_category", "colour_histogram", "raw_pixels")  # rows that stand for no model
QUANTISATION_STEPS = 65534  # of a score from 0 to 1
UNSCORED = 65535  # NaN: nothing is relevant to the query


class QueryScores(NamedTuple):
    """What the file of a job keeps of its queries.

    Attributes:
        ids: a checksum of their ids in order.
        groups: (Q,) int64, the row of the first query of the same item; of one without an item, its own.
        scores: (Q,) float each, to within 1 / 131,068; NaN where nothing is relevant.
    """

    ids: str
    groups: np.ndarray
    scores: Scores


def search_scores(queries: pa.Table) -> Scores:
    """(Q,) float32 each, of a run's own search, from its rows (see `query_table`): `query/accuracy` is 0 or 1."""
    by_metric = {f"query/{name}": queries[name].to_numpy() for name in COMPARED_METRICS if name in queries.column_names}
    correct = queries["predicted"].to_numpy() == queries["category"].to_numpy()
    return {name: values.astype(np.float32) for name, values in ({"query/accuracy": correct} | by_metric).items()}


def method_scores(method: str, scores: Mapping[str, Scores]) -> Scores:
    """(Q,) float32 each, of one baseline, `baselines/<method>/…`; none of a baseline that stands for no model."""
    by_metric = {
        f"{relevance}/{name}": values for relevance, by_name in scores.items() for name, values in by_name.items()
    }
    names = [name for name in COMPARED_METRICS if name in by_metric and method not in MODEL_FREE]
    return {f"baselines/{method}/{name}": by_metric[name].astype(np.float32) for name in names}


def pack_scores(query: Catalogue, scores: Scores) -> dict[str, str]:
    """Texts for JSON: `ids`, `items`, and each of the (Q,) scores by its name, those first that are wanted most.

    Args:
        query: Q rows.
        scores: (Q,) float each, 0..1 or NaN.
    """
    items = query.column("item").astype(str)
    _, first, item_ids = np.unique(items, return_index=True, return_inverse=True)
    offsets = np.where(items == "", 0, np.arange(len(items)) - first[item_ids])  # to the first query of the same item
    digest = hashlib.sha256("\n".join(query.column("id")).encode()).hexdigest()
    steps = {
        name: np.where(np.isnan(values), UNSCORED, np.rint(values * QUANTISATION_STEPS))
        for name, values in scores.items()
    }
    order = sorted(steps, key=lambda name: [name.startswith(f"baselines/{method}") for method in ("lsh", "itq")])
    texts = {name: _encode(steps[name].astype("<u2")) for name in order}
    return {"ids": digest[:8], "items": _encode(offsets.astype("<u4")), **texts}


def with_query_scores(job: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """The file of a job as JSON: what was made and, as `queries`, as many of the packed scores as there is room for."""
    remaining = JOB_BYTES - len(json.dumps(job, indent=1))
    included: dict[str, str] = {}
    for name, text in texts.items():
        remaining -= len(f'  "{name}": "{text}",\n')
        if remaining < len(' "queries": {\n },\n'):
            break
        included[name] = text
    if len(included) < len(texts):
        left_out = ", ".join(name for name in texts if name not in included)
        log.info("no room in %s bytes for these scores of the queries: %s", f"{JOB_BYTES:,}", left_out)
    return json.dumps({**job, "queries": included} if included.keys() - {"ids", "items"} else job, indent=1)


def unpack_scores(texts: Mapping[str, str]) -> QueryScores:
    """What was packed.

    Raises:
        ValueError: a text is damaged, or two are of different queries.
        KeyError: one is missing.
    """
    offsets = _decode(texts["items"], "<u4").astype(np.int64)
    steps = {name: _decode(text, "<u2") for name, text in texts.items() if name not in ("ids", "items")}
    if mismatched := [name for name, values in steps.items() if len(values) != len(offsets)]:
        raise ValueError(f"{mismatched[0]} has {len(steps[mismatched[0]])} scores of {len(offsets)} queries")
    scores = {name: np.where(values == UNSCORED, np.nan, values / QUANTISATION_STEPS) for name, values in steps.items()}
    return QueryScores(texts["ids"], np.arange(len(offsets)) - offsets, scores)


def _encode(numbers: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(numbers.tobytes(), 9)).decode()


def _decode(text: str, dtype: str) -> np.ndarray:
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype)
    except zlib.error as error:
        raise ValueError(f"scores of queries: {error}") from error
