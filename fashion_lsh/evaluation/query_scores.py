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

COMPARED = ("category/map@100", "item/map@100", "item/recall@10")
JOB_BYTES = 50_000  # at most, of the file of a job
PLAIN = ("random", "predicted_category", "colour_histogram", "raw_pixels")  # rows that stand for no model
STEPS = 65534  # of a score from 0 to 1
UNSCORED = 65535  # NaN: nothing is relevant to the query


class Queries(NamedTuple):
    """What the file of a job keeps of its queries.

    Attributes:
        ids: a checksum of their ids in order.
        groups: (Q,) int64, the row of the first query of the same item; of one without an item, its own.
        scores: (Q,) float each, to within 1 / 131,068; NaN where nothing is relevant.
    """

    ids: str
    groups: np.ndarray
    scores: Scores


def own_scores(queries: pa.Table) -> Scores:
    """(Q,) float32 each, of a run's own search, from its rows (see `query_table`): `query/accuracy` is 0 or 1."""
    found = {f"query/{name}": queries[name].to_numpy() for name in COMPARED if name in queries.column_names}
    right = queries["predicted"].to_numpy() == queries["category"].to_numpy()
    return {name: values.astype(np.float32) for name, values in ({"query/accuracy": right} | found).items()}


def row_scores(row: str, scores: Mapping[str, Scores]) -> Scores:
    """(Q,) float32 each, of one row that every table has, `rows/<row>/…`; none of a row that stands for no model."""
    found = {f"{truth}/{name}": values for truth, by_name in scores.items() for name, values in by_name.items()}
    kept = [name for name in COMPARED if name in found and row not in PLAIN]
    return {f"rows/{row}/{name}": found[name].astype(np.float32) for name in kept}


def packed(query: Catalogue, scores: Scores) -> dict[str, str]:
    """Texts for JSON: `ids`, `items`, and each of the (Q,) scores by its name, those first that are wanted most.

    Args:
        query: Q rows.
        scores: (Q,) float each, 0..1 or NaN.
    """
    items = query.column("item").astype(str)
    _, first, numbers = np.unique(items, return_index=True, return_inverse=True)
    back = np.where(items == "", 0, np.arange(len(items)) - first[numbers])  # to the first query of the same item
    digest = hashlib.sha256("\n".join(query.column("id")).encode()).hexdigest()
    steps = {name: np.where(np.isnan(values), UNSCORED, np.rint(values * STEPS)) for name, values in scores.items()}
    order = sorted(steps, key=lambda name: [name.startswith(f"rows/{row}") for row in ("lsh", "itq")])
    texts = {name: _text(steps[name].astype("<u2")) for name in order}
    return {"ids": digest[:8], "items": _text(back.astype("<u4")), **texts}


def with_queries(made: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """The file of a job as JSON: what was made and, as `queries`, as many of the packed scores as there is room for."""
    room = JOB_BYTES - len(json.dumps(made, indent=1))
    kept: dict[str, str] = {}
    for name, text in texts.items():
        room -= len(f'  "{name}": "{text}",\n')
        if room < len(' "queries": {\n },\n'):
            break
        kept[name] = text
    if len(kept) < len(texts):
        left_out = ", ".join(name for name in texts if name not in kept)
        log.info("no room in %s bytes for these scores of the queries: %s", f"{JOB_BYTES:,}", left_out)
    return json.dumps({**made, "queries": kept} if kept.keys() - {"ids", "items"} else made, indent=1)


def unpacked(texts: Mapping[str, str]) -> Queries:
    """What was packed.

    Raises:
        ValueError: a text is damaged, or two are of different queries.
        KeyError: one is missing.
    """
    back = _numbers(texts["items"], "<u4").astype(np.int64)
    steps = {name: _numbers(text, "<u2") for name, text in texts.items() if name not in ("ids", "items")}
    if uneven := [name for name, values in steps.items() if len(values) != len(back)]:
        raise ValueError(f"{uneven[0]} has {len(steps[uneven[0]])} scores of {len(back)} queries")
    scores = {name: np.where(values == UNSCORED, np.nan, values / STEPS) for name, values in steps.items()}
    return Queries(texts["ids"], np.arange(len(back)) - back, scores)


def _text(numbers: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(numbers.tobytes(), 9)).decode()


def _numbers(text: str, kind: str) -> np.ndarray:
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), kind)
    except zlib.error as error:
        raise ValueError(f"scores of queries: {error}") from error
