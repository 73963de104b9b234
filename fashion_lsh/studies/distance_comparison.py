"""Compare the scores and latency of all distances on the same queries and gallery."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.evaluation.latency import latency_summary, single_thread, time_interleaved
from fashion_lsh.evaluation.protocol import EncodedSplit, encode_split
from fashion_lsh.evaluation.scoring import score_search
from fashion_lsh.metrics.retrieval import MAX_HITS, Relevance
from fashion_lsh.metrics.statistics import item_groups, item_interval, paired_difference
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.runs.environment import environment
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.studies import distance_page
from fashion_lsh.studies.large_galleries import build_gallery, extend_gallery

log = logging.getLogger(__name__)

NUM_NEIGHBOURS = 10  # nearest neighbours by exact Euclidean distance
METRICS = (("map", 100), ("precision", 10), ("recall", 1), ("recall", 10))

Row = dict[str, Any]


@dataclass(frozen=True)
class DistanceComparison:
    """Comparison of all distances by score and latency; call the object to run the comparison.

    Attributes:
        gallery_size: Rows in the gallery: the run's own rows, filled up with distractors.
        num_queries: Number of timed queries; scores use all queries.
        rerank_ks: Numbers of candidates, or fractions of the probed rows.
        alphas: Weights of the Hamming distance, 0 for Euclidean distance only. Only the weight with the best item mAP
            on `val` is reported.
    """

    gallery_size: PositiveInt
    num_queries: PositiveInt
    rerank_ks: list[PositiveInt | Annotated[float, Field(gt=0, lt=1)]]
    alphas: list[Annotated[float, Field(ge=0, le=1)]]

    def __call__(self, model: Model, data: GarmentData, policy: SearchPolicy, folder: Path) -> list[Row]:
        """Return one row per scope and distance.

        Args:
            model: Model of the run, with a hash layer.
            data: Data of the run: shop_street, which has items and can compose distractors.
            policy: Search policy of the run.
            folder: Run folder, for a cache of encoded garments.

        Raises:
            ValueError: the run has no codes, its data are not shop_street, or crops are not annotated boxes.
        """
        source = data.source
        if model.bits is None or not isinstance(source, ShopStreet) or data.crop != "annotated":
            raise ValueError(
                "experiment=distances needs codes, items and composed distractors; choose a run of data=shop_street "
                "with crop=annotated and a hash layer"
            )
        policy = replace(policy, coverage=None)  # the lists to probe are those of the two scopes
        val = encode_split(model, data, "val")
        street, shop = (np.flatnonzero(val.catalogue.column("view") == view) for view in ("street", "shop"))
        query, gallery = encode_split(model, data, "query"), encode_split(model, data, "gallery")

        def build_searcher(encoded: Encoded, catalogue: Catalogue) -> Searcher:
            garments = extend_gallery(
                model, source, encoded, catalogue, self.gallery_size, folder / "extra_garments.npz"
            )
            return Searcher(model, build_gallery(model, garments, garments.encoded.probabilities), policy)

        # val first: its gallery needs the most distractors, and all distractors are cached.
        val_searcher = build_searcher(val.encoded.take(shop), val.catalogue.take(shop))
        query_searcher = build_searcher(gallery.encoded, gallery.catalogue)
        items = val.catalogue.column("item")[street]
        with single_thread():
            rows: list[Row] = []
            for nprobe in ("all", 1):
                policies = self._policies(replace(policy, nprobe=nprobe))
                scores = _val_scores(val_searcher, val.encoded.take(street), items, policies)
                results = _compare(query_searcher, query, _keep_best_alpha(policies, scores), self.num_queries)
                rows += [row | {"val item map@100": scores[row["search"]]} for row in results]
            return rows

    def page(self, rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows; no figures."""
        return distance_page.page(rows)

    def _policies(self, policy: SearchPolicy) -> list[SearchPolicy]:
        # `_compare` uses the first two policies as baselines.
        policies = [replace(policy, distance=distance) for distance in ("hamming", "euclidean", "tie_break")]
        policies.append(replace(policy, distance="asymmetric"))
        reranked = [replace(policy, distance="rerank", rerank_k=rerank_k) for rerank_k in self.rerank_ks]
        return [*policies, *reranked, *(replace(policy, distance="weighted", alpha=alpha) for alpha in self.alphas)]


def _keep_best_alpha(policies: list[SearchPolicy], scores: dict[str, float]) -> list[SearchPolicy]:
    """Remove all weighted policies except the policy with the best score on `val`."""
    best = max(
        (policy for policy in policies if policy.distance == "weighted"), key=lambda policy: scores[policy.method]
    )
    return [policy for policy in policies if policy.distance != "weighted" or policy is best]


def _val_scores(
    searcher: Searcher, queries: Encoded, items: np.ndarray, policies: list[SearchPolicy]
) -> dict[str, float]:
    """Item mAP@100 by search method, with street images of `val` as queries and its shop images in the gallery."""
    relevance = Relevance.from_names(items, searcher.gallery.catalogue.column("item"))
    scores = {
        policy.method: float(np.nanmean(score_search(searcher.with_policy(policy), queries, relevance)["map", 100]))
        for policy in policies
    }
    log.info("Item mAP@100 on val: %s", ", ".join(f"{label} {score:.4f}" for label, score in scores.items()))
    return scores


def _compare(base_searcher: Searcher, query: EncodedSplit, policies: list[SearchPolicy], count: int) -> list[Row]:
    """Return one row per policy; all policies have the same scope.  count: number of timed queries."""
    items = query.catalogue.column("item").astype(str)
    relevance = Relevance.from_names(items, base_searcher.gallery.catalogue.column("item"))
    searchers = {policy.method: base_searcher.with_policy(policy) for policy in policies}
    timed_rows = np.linspace(0, len(items) - 1, count).astype(np.int64)
    methods = {name: _timed_search(searcher, query.encoded, timed_rows) for name, searcher in searchers.items()}
    milliseconds = time_interleaved(methods, count)
    scores_by_policy = {name: score_search(searcher, query.encoded, relevance) for name, searcher in searchers.items()}
    baselines = {policy.distance: scores_by_policy[policy.method]["map", 100] for policy in policies[:2]}
    nearest = (
        base_searcher.with_policy(replace(policies[0], distance="euclidean"))
        .search_encoded(query.encoded, NUM_NEIGHBOURS)
        .rows
    )
    rows = []
    for name, searcher in searchers.items():
        scores = {f"item {metric}@{k}": float(np.nanmean(scores_by_policy[name][metric, k])) for metric, k in METRICS}
        row: Row = {
            "scope": "all" if searcher.policy.nprobe == "all" else "predicted category",
            "search": name,
            "distance": searcher.policy.distance,
        }
        precision = scores_by_policy[name]["map", 100]
        row |= scores | _with_bounds("item map@100", scores["item map@100"], *item_interval(precision, items))
        for base, baseline_scores in baselines.items():
            gain = paired_difference([baseline_scores], [precision], item_groups(items))
            row |= _with_bounds(f"gain over {base}", gain.mean, gain.low, gain.high)
        row |= {
            "neighbour recall": _neighbour_recall(searcher, query.encoded, nearest),
            **latency_summary("search", milliseconds[name]),
        }
        machine = environment(gpu=searcher.model.device.type == "cuda")
        rows.append({**row, "gallery": len(searcher.gallery), "queries": len(items), "threads": 1, **machine})
    return rows


def _timed_search(searcher: Searcher, queries: Encoded, timed_rows: np.ndarray) -> Callable[[int], object]:
    return lambda query: searcher.search_encoded(queries.at(int(timed_rows[query])), MAX_HITS)


def _with_bounds(name: str, value: float, low: float, high: float) -> Row:
    return {name: value, f"{name} low": low, f"{name} high": high}


def _neighbour_recall(searcher: Searcher, queries: Encoded, nearest: np.ndarray) -> float:
    """Fraction of the exact Euclidean neighbours that are among the candidates or first hits.

    nearest: (Q, NUM_NEIGHBOURS) int, rows of the exact Euclidean neighbours.
    """
    policy = searcher.policy
    if policy.distance == "rerank":
        rows = searcher.candidates(queries, policy.select_lists(queries.probabilities), NUM_NEIGHBOURS).rows
    else:
        rows = searcher.search_encoded(queries, NUM_NEIGHBOURS).rows
    is_found = [
        np.isin(neighbours[neighbours >= 0], hit_rows) for neighbours, hit_rows in zip(nearest, rows, strict=True)
    ]
    return float(np.concatenate(is_found).mean())
