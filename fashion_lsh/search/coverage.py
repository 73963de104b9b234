"""Calibrated coverage: how many lists to probe so that a promised ratio of the queries reaches a relevant row.

Conformal risk control (A. Angelopoulos et al., ICLR 2024). The loss of a query is 1 if no probed list has a relevant
row, else 0, and never rises as more lists are probed. Queries of one group of linked images are dependent, so a group
counts once, with the mean loss of its queries.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.io.files import atomic_write

NEVER = -1.0  # score of a query without a relevant row in any list that it can probe
ADVICE = "train with a larger split.calibration or more images, lower search.coverage, or set search.nprobe=all"
_TOLERANCE = 1e-9  # rounding of sums of ratios
_METADATA_KEY = b"fashion_lsh"


def order_lists(probabilities: np.ndarray) -> np.ndarray:
    """Order lists by probability, the most probable first.

    Softmax probabilities (Q, C) -> list ids (Q, C) int64; -1 for a query with all probabilities 0 (no detection).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    order[~probabilities.any(axis=1)] = -1
    return order


def first_relevant(lists: np.ndarray, is_relevant: np.ndarray) -> np.ndarray:
    """Position of the first list with a relevant row: (Q,) int64, -1 if there is none.

    Args:
        lists: (Q, C) int64 lists in the order of probing, padded with -1.
        is_relevant: (Q, C) bool, True if a list has a row that is relevant to the query.
    """
    found = np.take_along_axis(is_relevant, lists, axis=1) & (lists >= 0)
    return np.where(found.any(axis=1), found.argmax(axis=1), -1)


def coverage_scores(probabilities: np.ndarray, is_relevant: np.ndarray) -> np.ndarray:
    """Probability of the first list with a relevant row: (Q,) float32, 1 for the most probable list, NEVER for none.

    A query is covered if the most probable list and all lists with at least a threshold are probed, and the threshold
    is not above its score. If the probabilities are right, no other rule of the same coverage of the category probes
    fewer lists on average (M. Sadinle, J. Lei, L. Wasserman, JASA 2019, theorem 1).

    Args:
        probabilities: (Q, C) float32 softmax probabilities; all 0 for a query without a detection.
        is_relevant: (Q, C) bool, see `first_relevant`.
    """
    lists = order_lists(probabilities)
    position = first_relevant(lists, is_relevant)
    found = np.take_along_axis(probabilities, lists, axis=1)[np.arange(len(position)), position]
    return np.select([position < 0, position == 0], [np.float32(NEVER), np.float32(1)], found)


def risk_threshold(scores: np.ndarray, groups: np.ndarray, coverage: float) -> float:
    """Largest threshold t with (sum of the losses + 1) / (n + 1) <= 1 - coverage, at most 1.

    The loss of a group is the ratio of its queries with a score below t; n is the number of groups.

    Args:
        scores: (q,) float32.
        groups: (q,) int64 group of each query.
        coverage: promised coverage, 0..1.

    Returns:
        Threshold, one of the scores or 1; -inf if n is too small for any threshold.
    """
    _, group_ids, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    allowed = (1 - coverage) * (len(sizes) + 1) - 1 + _TOLERANCE
    if allowed < 0:
        return -math.inf
    order = np.argsort(scores, kind="stable")
    losses = np.cumsum(1 / sizes[group_ids[order]])
    position = int(np.searchsorted(losses, allowed, side="right"))
    return float(scores[order[position]]) if position < len(scores) else 1.0


def min_groups(coverage: float) -> int:
    """Smallest number of groups that can promise a coverage: 1 / (n + 1) <= 1 - coverage."""
    return math.ceil(coverage / (1 - coverage) - _TOLERANCE * 1000)


def max_coverage(num_groups: int) -> float:
    """Largest coverage that a number of groups can promise, rounded down to 4 digits."""
    return math.floor(num_groups / (num_groups + 1) * 10_000) / 10_000


def check_size(coverage: float, num_groups: int, missing: Sequence[str]) -> None:
    """Check that calibration queries can promise a coverage.

    Args:
        coverage: promised coverage, 0..1.
        num_groups: number of groups of calibration queries.
        missing: categories without a calibration query.

    Raises:
        ValueError: there are too few groups, or a category is missing.
    """
    if num_groups < (needed := min_groups(coverage)):
        raise ValueError(
            f"search.coverage={coverage}: {num_groups} groups of calibration queries, but {needed} are needed; they "
            f"can promise at most {max_coverage(num_groups)}; {ADVICE}"
        )
    if missing:
        raise ValueError(
            f"search.coverage={coverage}: no calibration query of category {', '.join(map(repr, missing))}; {ADVICE}"
        )


@dataclass(frozen=True)
class CoverageCalibration:
    """Scores of calibration queries, from which a threshold for any coverage is computed.

    Attributes:
        scores: (q,) float32, see `coverage_scores`.
        groups: (q,) int64 group of linked images of each query.
        relevance: `item`: rows of the same item are relevant; `category`: the list of the true category is.
        excluded: number of calibration queries without a relevant row, which were left out.
        missing: categories without a calibration query.
    """

    scores: np.ndarray
    groups: np.ndarray
    relevance: str
    excluded: int = 0
    missing: tuple[str, ...] = ()

    def threshold(self, coverage: float) -> float:
        """Probability of a list from which on it is probed, for a coverage, 0..1; see `risk_threshold`.

        Raises:
            ValueError: the queries are too few, a category is missing, or all lists would have to be probed.
        """
        num_groups = len(np.unique(self.groups))
        check_size(coverage, num_groups, self.missing)
        threshold = risk_threshold(self.scores, self.groups, coverage)
        if threshold <= 0:
            raise ValueError(
                f"search.coverage={coverage}: needs all lists; {(self.scores <= 0).sum()} of {len(self.scores)} "
                f"calibration queries have no relevant row in a list of positive probability; {ADVICE}"
            )
        return threshold

    def save(self, path: Path, fingerprint: str) -> None:
        """Write a Parquet file with a checksum; `fingerprint`: fingerprint of the model that encoded the queries."""
        record = {"fingerprint": fingerprint, "relevance": self.relevance, "excluded": self.excluded,
                  "missing": self.missing}  # fmt: skip
        record["sha256"] = self._digest(record)
        table = pa.table({"score": self.scores, "group": self.groups})
        with atomic_write(path) as temporary:
            pq.write_table(table.replace_schema_metadata({_METADATA_KEY: json.dumps(record)}), temporary)

    @classmethod
    def open(cls, path: Path) -> tuple["CoverageCalibration", str]:
        """Read a file written by `save`: calibration, and fingerprint of the model.

        Raises:
            ValueError: the file is damaged.
        """
        try:
            table = pq.read_table(path)
            record = json.loads((table.schema.metadata or {})[_METADATA_KEY])
            scores, groups = (table[name].to_numpy() for name in ("score", "group"))
            read = cls(scores, groups, record["relevance"], record["excluded"], tuple(record["missing"]))
            if record.pop("sha256") != read._digest(record):
                raise ValueError("checksum mismatch")
            return read, record["fingerprint"]
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged ({error!r}); run the train command of the run again with overwrite=true"
            ) from error

    def _digest(self, record: Mapping[str, Any]) -> str:
        content = json.dumps(record, sort_keys=True).encode() + self.scores.tobytes() + self.groups.tobytes()
        return hashlib.sha256(content).hexdigest()
