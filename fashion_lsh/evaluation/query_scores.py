"""Per-query scores for paired comparisons, packed into a job file.

A job file is a JSON file with the settings and scores of one run of an experiment.
"""

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
MAX_JOB_BYTES = 50_000  # maximum size of a job file
MODEL_FREE = ("random", "predicted_category", "colour_histogram", "raw_pixels")  # baselines that do not use the model
QUANTISATION_STEPS = 65534  # a score from 0 to 1 is stored as an integer from 0 to QUANTISATION_STEPS
UNSCORED = 65535  # stored integer for NaN, the score of a query without relevant rows


class QueryScores(NamedTuple):
    """Unpacked per-query scores of a job file.

    Attributes:
        ids_checksum: checksum of the ordered query ids.
        groups: (Q,) int64, row of the first query of the same item, or own row of a query without an item.
        scores: name -> (Q,) float, rounded to multiples of 1 / 65,534; NaN for queries without relevant rows.
    """

    ids_checksum: str
    groups: np.ndarray
    scores: Scores


def search_scores(queries: pa.Table) -> Scores:
    """Read per-query scores of a search from its query table: name -> (Q,) float32; `query/accuracy` is 0 or 1."""
    scores = {f"query/{name}": queries[name].to_numpy() for name in COMPARED_METRICS if name in queries.column_names}
    is_correct = queries["predicted"].to_numpy() == queries["category"].to_numpy()
    return {name: values.astype(np.float32) for name, values in ({"query/accuracy": is_correct} | scores).items()}


def method_scores(method: str, scores: Mapping[str, Scores]) -> Scores:
    """Per-query scores of a baseline: `baselines/<method>/<metric>` -> (Q,) float32; empty for MODEL_FREE baselines."""
    by_metric = {
        f"{relevance}/{name}": values for relevance, metrics in scores.items() for name, values in metrics.items()
    }
    names = [name for name in COMPARED_METRICS if name in by_metric and method not in MODEL_FREE]
    return {f"baselines/{method}/{name}": by_metric[name].astype(np.float32) for name in names}


def pack_scores(query: Catalogue, scores: Scores) -> dict[str, str]:
    """Encode scores as strings for JSON.

    Args:
        query: Q catalogue rows.
        scores: name -> (Q,) float, 0..1 or NaN.

    Returns:
        `ids` (checksum of the query ids), `items` (encoded items), and each score by name, the most important first.
    """
    items = query.column("item").astype(str)
    _, first_rows, item_ids = np.unique(items, return_index=True, return_inverse=True)
    # Offset of each query to the first query of the same item; 0 without an item.
    offsets = np.where(items == "", 0, np.arange(len(items)) - first_rows[item_ids])
    ids_checksum = hashlib.sha256("\n".join(query.column("id")).encode()).hexdigest()
    steps = {
        name: np.where(np.isnan(values), UNSCORED, np.rint(values * QUANTISATION_STEPS))
        for name, values in scores.items()
    }
    names = sorted(steps, key=lambda name: [name.startswith(f"baselines/{method}") for method in ("lsh", "itq")])
    encoded = {name: _encode(steps[name].astype("<u2")) for name in names}
    return {"ids": ids_checksum[:8], "items": _encode(offsets.astype("<u4")), **encoded}


def job_file_json(job: Mapping[str, Any], packed: Mapping[str, str]) -> str:
    """Build the JSON text of a job file, with as many packed scores under `queries` as MAX_JOB_BYTES allows."""
    remaining_bytes = MAX_JOB_BYTES - len(json.dumps(job, indent=1))
    included: dict[str, str] = {}
    for name, text in packed.items():
        remaining_bytes -= len(f'  "{name}": "{text}",\n')
        if remaining_bytes < len(' "queries": {\n },\n'):
            break
        included[name] = text
    if len(included) < len(packed):
        skipped = ", ".join(name for name in packed if name not in included)
        log.info("Skipped per-query scores to keep the job file below %s bytes: %s", f"{MAX_JOB_BYTES:,}", skipped)
    return json.dumps({**job, "queries": included} if included.keys() - {"ids", "items"} else job, indent=1)


def unpack_scores(packed: Mapping[str, str]) -> QueryScores:
    """Decode packed scores.

    Raises:
        ValueError: an encoded string is damaged, or the numbers of queries differ.
        KeyError: `ids` or `items` is missing.
    """
    offsets = _decode(packed["items"], "<u4").astype(np.int64)
    steps = {name: _decode(text, "<u2") for name, text in packed.items() if name not in ("ids", "items")}
    if mismatched := [name for name, values in steps.items() if len(values) != len(offsets)]:
        raise ValueError(f"{mismatched[0]}: {len(steps[mismatched[0]])} scores for {len(offsets)} queries")
    scores = {name: np.where(values == UNSCORED, np.nan, values / QUANTISATION_STEPS) for name, values in steps.items()}
    return QueryScores(packed["ids"], np.arange(len(offsets)) - offsets, scores)


def _encode(values: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _decode(text: str, dtype: str) -> np.ndarray:
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype)
    except zlib.error as error:
        raise ValueError(f"per-query scores are damaged: {error}") from error
