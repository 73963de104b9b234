"""Compare promised and measured coverage of the probed lists over random divisions into calibration and test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt

from fashion_lsh.data.calibration_split import CALIBRATION
from fashion_lsh.data.datamodule import GarmentData, SplitName
from fashion_lsh.evaluation.latency import latency_summary, single_thread, time_interleaved
from fashion_lsh.evaluation.protocol import EncodedSplit, encode_split
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.retrieval import MAX_HITS
from fashion_lsh.models.encoding import Model
from fashion_lsh.report.page_file import Row
from fashion_lsh.runs.environment import environment
from fashion_lsh.search.coverage import risk_threshold
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.studies import coverage_page
from fashion_lsh.studies.coverage_page import BY_CUMULATIVE, BY_NUMBER, CALIBRATED, ONE_LIST, PLAIN, SHIFTED
from fashion_lsh.studies.coverage_pool import Pool, build_pools

# (num_groups,) bool, groups that calibrate -> (Q, C) bool, probed lists in the order of the pool's lists
Rule = Callable[[np.ndarray], np.ndarray]
Key = tuple[str, float, str]  # relevance, promised coverage and name of a rule


@dataclass(frozen=True)
class CoverageStudy:
    """Promised against measured coverage; call the object to run the study.

    Attributes:
        levels: Promised coverages.
        draws: Number of random divisions of the groups of linked images into two halves: calibration and test.
        num_queries: Number of timed queries; 0: no times.
    """

    levels: list[Annotated[float, Field(gt=0, lt=1)]]
    draws: Annotated[int, Field(ge=2)]
    num_queries: NonNegativeInt

    def __call__(self, model: Model, data: GarmentData, policy: SearchPolicy, _folder: Path) -> list[Row]:
        """Return one row per relevance, level and rule, and for the rule CALIBRATED one per category.

        The queries are those of the run and of its calibration part, if it has one: they selected nothing.

        Args:
            model: Model of the run.
            data: Data of the run.
            policy: Search policy of the run, of which only the distance is used.
        """
        names: tuple[SplitName, ...] = ("query", "gallery", CALIBRATION)
        parts: dict[str, EncodedSplit] = {
            name: encode_split(model, data, name) for name in names if len(data.rows(name))
        }
        gallery = Gallery.build(model, parts["gallery"].encoded, parts["gallery"].catalogue)
        searcher = Searcher(model, gallery, SearchPolicy(policy.distance, 1, policy.rerank_k, policy.alpha))
        rows: list[Row] = []
        for pool, shifted in build_pools(parts, model.categories):
            for level in self.levels:
                rules = build_rules(pool, shifted, level)
                measured = [self._measure(pool, searcher, level, name, rule) for name, rule in rules.items()]
                times = self._time(pool, searcher, rules)
                for total, *by_category in measured:
                    rows += [total | times.get(total["rule"], {}), *by_category]
        machine = environment(gpu=model.device.type == "cuda")
        return [row | {"draws": self.draws, **machine} for row in rows]

    def page(self, rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows; no figures."""
        return coverage_page.page(rows)

    def _measure(self, pool: Pool, searcher: Searcher, level: float, name: str, rule: Rule) -> list[Row]:
        """Rows of one rule: over all categories (category ""), then by category for CALIBRATED."""
        sizes = searcher.gallery.index.list_sizes() / len(searcher.gallery)
        means, lists, scanned = [], [], []
        for seed in range(self.draws):
            is_calibration = pool.draw_half(seed)
            is_probed, is_test = rule(is_calibration) & (pool.lists >= 0), ~is_calibration[pool.groups]
            means.append(pool.mean_by_category(pool.at_first(is_probed) > 0, is_test))
            lists.append(is_probed[is_test].sum(axis=1).mean())
            scanned.append((is_probed * sizes[pool.lists])[is_test].sum(axis=1).mean())
        shared: Row = {"relevance": pool.relevance, "promised": level, "rule": name, "queries": len(pool.first),
                       "groups": len(np.unique(pool.groups)), "excluded": pool.excluded}  # fmt: skip
        rows = []
        for category in means[0] if name == CALIBRATED else [""]:
            values = np.array([each[category] for each in means])
            coverage, error = float(np.nanmean(values)), float(np.nanstd(values, ddof=1) / np.sqrt(self.draws))
            row = {"category": category, "coverage": coverage, "standard error": error}
            rows.append(shared | row | {"held": coverage >= level - 2 * error})
        rows[0] |= {"lists probed": float(np.mean(lists)), "scanned": float(np.mean(scanned))}
        return rows

    def _time(self, pool: Pool, searcher: Searcher, rules: dict[str, Rule]) -> dict[str, Row]:
        """Latency of the search in the lists of each rule, with the first division: columns by rule."""
        if not self.num_queries:
            return {}
        timed = np.linspace(0, len(pool.first) - 1, self.num_queries).astype(np.int64)
        first_half, queries = pool.draw_half(0), pool.encoded.take(timed)

        def search(rule: Rule) -> Callable[[int], object]:
            lists = np.where(rule(first_half), pool.lists, -1)[timed]
            return lambda query: searcher.search_lists(queries.at(query), lists[[query]], MAX_HITS)

        methods = {name: search(rule) for name, rule in rules.items()}
        with single_thread():
            milliseconds = time_interleaved(methods, len(timed))
        return {name: dict(latency_summary("search", values)) for name, values in milliseconds.items()}


def build_rules(pool: Pool, shifted: Pool | None, level: float) -> dict[str, Rule]:
    """Rules that select the lists to probe for the queries of a pool, by name.

    Args:
        pool: queries.
        shifted: queries with other views that calibrate SHIFTED; None without.
        level: promised coverage.
    """
    probabilities, positions = _list_probabilities(pool), np.arange(pool.lists.shape[1])
    rules = {CALIBRATED: _calibrated(level, pool, probabilities)}
    if shifted is not None:
        rules[SHIFTED] = _calibrated(level, pool, probabilities, shifted, _list_probabilities(shifted))
    remaining = np.cumsum(probabilities[:, :0:-1], axis=1)[:, ::-1]  # probability that is left before each further list
    rules[BY_CUMULATIVE] = _calibrated(level, pool, np.concatenate([probabilities[:, :1], remaining], axis=1))
    rules[BY_NUMBER] = _calibrated(level, pool, np.broadcast_to(1 - positions / len(positions), probabilities.shape))
    plain = SearchPolicy(min_probability=level).select_lists(pool.encoded.probabilities) >= 0
    return rules | {PLAIN: lambda _: plain, ONE_LIST: lambda _: np.broadcast_to(positions == 0, plain.shape)}


def _list_probabilities(pool: Pool) -> np.ndarray:
    """Probability of each list in the order of the pool, 1 for the first, which is always probed: (Q, C) float32."""
    probabilities = np.take_along_axis(pool.encoded.probabilities, pool.lists, axis=1)
    probabilities[:, 0] = 1
    return probabilities


def _calibrated(
    level: float, pool: Pool, values: np.ndarray, other: Pool | None = None, other_values: np.ndarray | None = None
) -> Rule:
    """Rule that probes lists with a value (Q, C) of at least a threshold, see `risk_threshold`.

    other, other_values: queries that calibrate, and values of their lists; None: the queries of `pool`.
    """
    calibration = other or pool
    scores = calibration.at_first(values if other_values is None else other_values)

    def select(is_calibration: np.ndarray) -> np.ndarray:
        rows = is_calibration[calibration.groups]
        threshold = risk_threshold(scores[rows], calibration.groups[rows], level)
        return np.asarray(values.astype(np.float32) >= threshold)

    return select
