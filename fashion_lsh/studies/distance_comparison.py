"""Every distance on the same queries and gallery: what each is worth, and what it costs."""

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
from fashion_lsh.evaluation.latency import interleaved, one_thread, summary
from fashion_lsh.evaluation.protocol import EncodedPart, encode_part, own_search
from fashion_lsh.metrics.retrieval import DEPTH, Truth
from fashion_lsh.metrics.statistics import confidence_interval
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.runs.environment import environment
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.studies import distance_page
from fashion_lsh.studies.large_galleries import filed_gallery, grown

log = logging.getLogger(__name__)

NEAR = 10  # true neighbours: the first by exact Euclid
MEASURES = ("map@100", "precision@10", "recall@1", "recall@10")

Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Scores and times of all distances.

    Attributes:
        gallery: rows searched: the run's own, and further garments that nobody asks for up to this number.
        queries: that are timed; scores are those of all.
        shortlists: lengths, or shares of the rows reached.
        alphas: weights of Hamming, of which the best by item mAP on `val` is taken; Euclid alone is 0.
    """

    gallery: PositiveInt
    queries: PositiveInt
    shortlists: list[PositiveInt | Annotated[float, Field(gt=0, lt=1)]]
    alphas: list[Annotated[float, Field(ge=0, le=1)]]

    def __call__(self, model: Model, data: GarmentData, search: SearchPolicy, folder: Path) -> list[Row]:
        """A row for each scope and distance.

        Args:
            model: the run's, with a hash layer.
            data: shop_street, which knows items and whose garments can be composed anew.
            search: the run's.
            folder: of the run, where encoded garments are kept, and read when asked for again.

        Raises:
            ValueError: the run has no codes, or its data are not shop_street.
        """
        source = data.source
        if model.bits is None or not isinstance(source, ShopStreet) or data.crop != "annotated":
            raise ValueError(
                "experiment=distances needs codes, items, and garments that can be composed anew: choose a run of "
                "data=shop_street with crop=annotated and a hash layer"
            )
        val = encode_part(model, data, "val")
        street, shop = (np.flatnonzero(val.catalogue.column("view") == view) for view in ("street", "shop"))
        query, gallery = encode_part(model, data, "query"), encode_part(model, data, "gallery")

        def searcher(encoded: Encoded, catalogue: Catalogue) -> Searcher:
            garments = grown(model, source, encoded, catalogue, self.gallery, folder / "further.npz")
            return Searcher(model, filed_gallery(model, garments, garments.encoded.probabilities), search)

        tuned = searcher(val.encoded.take(shop), val.catalogue.take(shop))  # the fewer of its own, so first
        asked = searcher(gallery.encoded, gallery.catalogue)
        items = val.catalogue.column("item")[street]
        with one_thread():
            rows: list[Row] = []
            for probes in ("all", 1):
                ways = self._searches(replace(search, probes=probes))
                scores = _on_val(tuned, val.encoded.take(street), items, ways)
                found = _compared(asked, query, _chosen(ways, scores), self.queries)
                rows += [row | {"val item map@100": scores[row["search"]]} for row in found]
            return rows

    def page(self, rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows; no figures."""
        return distance_page.page(rows)

    def _searches(self, search: SearchPolicy) -> list[SearchPolicy]:
        ways = [replace(search, distance=distance) for distance in ("hamming", "euclidean", "tie_break")]  # alone first
        shortlists = [replace(search, distance="rerank", rerank_k=length) for length in self.shortlists]
        return [*ways, *shortlists, *(replace(search, distance="weighted", alpha=alpha) for alpha in self.alphas)]


def _chosen(ways: list[SearchPolicy], scores: dict[str, float]) -> list[SearchPolicy]:
    """All searches, but of the weighted ones only that with the highest score on `val`."""
    best = max((way for way in ways if way.distance == "weighted"), key=lambda way: scores[way.label])
    return [way for way in ways if way.distance != "weighted" or way is best]


def _on_val(any_way: Searcher, street: Encoded, items: np.ndarray, searches: list[SearchPolicy]) -> dict[str, float]:
    """Item mAP of each search where street pictures of `val` ask for its shop pictures."""
    truth = Truth.of(items, any_way.gallery.catalogue.column("item"))
    scores = {
        way.label: float(np.nanmean(own_search(any_way.with_policy(way), street, truth)["map@100"])) for way in searches
    }
    log.info("item mAP@100 on val: %s", ", ".join(f"{label} {score:.4f}" for label, score in scores.items()))
    return scores


def _compared(any_way: Searcher, query: EncodedPart, searches: list[SearchPolicy], count: int) -> list[Row]:
    """A row for each search, all of the same scope."""
    items = query.catalogue.column("item").astype(str)
    truth = Truth.of(items, any_way.gallery.catalogue.column("item"))
    searchers = {search.label: any_way.with_policy(search) for search in searches}
    timed = np.linspace(0, len(items) - 1, count).astype(np.int64)
    arms = {name: _ask(searcher, query.encoded, timed) for name, searcher in searchers.items()}
    milliseconds = interleaved(arms, count)
    found = {name: own_search(searcher, query.encoded, truth) for name, searcher in searchers.items()}
    alone = {search.distance: found[search.label]["map@100"] for search in searches[:2]}
    nearest = any_way.with_policy(replace(searches[0], distance="euclidean")).search_encoded(query.encoded, NEAR).rows
    rows = []
    for name, searcher in searchers.items():
        scores = {f"item {measure}": float(np.nanmean(found[name][measure])) for measure in MEASURES}
        row: Row = {
            "scope": "all" if searcher.policy.probes == "all" else "predicted category",
            "search": name,
            "distance": searcher.policy.distance,
        }
        row |= scores | _interval("item map@100", found[name]["map@100"], items)
        for base, scored in alone.items():
            row |= _difference(f"over {base}", found[name]["map@100"] - scored, items)
        row |= {"neighbours kept": _kept(searcher, query.encoded, nearest), **summary("search", milliseconds[name])}
        machine = environment(gpu=searcher.model.device.type == "cuda")
        rows.append({**row, "gallery": len(searcher.gallery), "queries": len(items), "threads": 1, **machine})
    return rows


def _ask(searcher: Searcher, queries: Encoded, timed: np.ndarray) -> Callable[[int], object]:
    return lambda query: searcher.search_encoded(queries.at(int(timed[query])), DEPTH)


def _interval(name: str, scores: np.ndarray, items: np.ndarray) -> Row:
    low, high = confidence_interval(scores, items)
    return {f"{name} low": low, f"{name} high": high}


def _difference(name: str, differences: np.ndarray, items: np.ndarray) -> Row:
    return {name: float(np.nanmean(differences))} | _interval(name, differences, items)


def _kept(searcher: Searcher, queries: Encoded, nearest: np.ndarray) -> float:
    """Share of each query's nearest rows by exact Euclid, (Q, NEAR), that a shortlist holds, or the first NEAR hits."""
    search = searcher.policy
    if search.distance == "rerank":  # all of it, as it is before Euclid orders it
        rows = searcher.candidates(queries, search.select_lists(queries.probabilities), NEAR).rows
    else:
        rows = searcher.search_encoded(queries, NEAR).rows
    asked = [np.isin(near[near >= 0], found) for near, found in zip(nearest, rows, strict=True)]
    return float(np.concatenate(asked).mean())
