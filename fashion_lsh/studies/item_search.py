"""Item recall of a whole system against the rows scanned: lists and distance chosen on `val`, scored on the queries."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from fashion_lsh.data.calibration_split import divide_queries
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import EncodedSplit, encode_split
from fashion_lsh.evaluation.scoring import probed_rows, score_search
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.ranking import ALL, Scores
from fashion_lsh.metrics.retrieval import Relevance, score_embeddings
from fashion_lsh.metrics.statistics import item_groups, item_interval, paired_difference
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.report.page_file import Row
from fashion_lsh.runs.environment import environment
from fashion_lsh.runs.run import Run
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.search.storage import storage_bytes
from fashion_lsh.studies import item_search_page
from fashion_lsh.studies.item_search_page import BY_CODE, HISTOGRAM, OTHER_RUN

CUTOFFS = (1, 10, ALL)
METRICS = {"recall@1": ("recall", 1), "recall@10": ("recall", 10), "map": ("map", ALL)}


class Part(NamedTuple):
    """Queries and gallery of one split.

    Attributes:
        query: Q encoded queries.
        gallery: N encoded garments.
        items: (Q,) str items of the queries.
        relevance: relevance by item.
        histograms: colour histograms of queries (Q, D) and gallery (N, D), float32.
        catalogue: N catalogue rows of the gallery.
    """

    query: Encoded
    gallery: Encoded
    items: np.ndarray
    relevance: Relevance
    histograms: tuple[np.ndarray, np.ndarray]
    catalogue: Catalogue


@dataclass(frozen=True)
class ItemSearchStudy:
    """Item recall by distance and number of lists; call the object to run the study.

    Attributes:
        other_run: run folder of another system, scored by its own search policy; None: none.
    """

    other_run: str | None = None

    def __call__(self, model: Model, data: GarmentData, policy: SearchPolicy, folder: Path) -> list[Row]:
        """Return one row per split, method and number of probed lists.

        Distance and number of lists with the highest item recall@10 on `val` are marked as chosen, the fewest rows
        first; distances that need embeddings are not candidates.

        Args:
            model: model of the run, with a hash layer.
            data: data of the run, with items in `val` that have images of queries and of the gallery.
            policy: search policy of the run; not used.
            folder: run folder.

        Raises:
            ValueError: the run has no codes, `val` or the queries have no items, or the other run has other data.
        """
        if model.bits is None:
            raise ValueError("experiment=item_search needs codes; choose a run with a hash layer")
        parts = _parts(model, data)
        policy = SearchPolicy()
        distances = [*BY_CODE]
        distances += ["euclidean"] if Run(folder).config["gallery"]["embeddings"] else []
        rows = []
        for split, part in parts.items():
            searcher = _searcher(model, part, policy)
            for distance in distances:
                rows += list(_rows(split, distance, part, partial(_score_policy, searcher, part, distance), searcher))
            score = partial(_score_histogram, searcher, part)
            rows += list(_rows(split, HISTOGRAM, part, score, searcher))
        _mark_chosen(rows)
        rows += self._other_rows(data)
        return [row | environment(gpu=model.device.type == "cuda") for row in rows]

    def page(self, rows: list[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows, and its figure."""
        return item_search_page.page(rows)

    def _other_rows(self, data: GarmentData) -> Iterator[Row]:
        """Rows of the other run with its own policy, on both splits."""
        if self.other_run is None:
            return
        run = Run(self.other_run)
        run.check_finished()
        model = run.model()
        other_data = run.instantiate(run.config["data"], GarmentData, box_selector=run.box_selector)
        if other_data.checksum != data.checksum:
            raise ValueError(f"study.other_run={self.other_run}: trained on other data; set a run on the same data")
        for split, part in _parts(model, run.with_detections(other_data)).items():
            policy = run.calibrate(run.policy, model.fingerprint())
            searcher = _searcher(model, part, policy)
            scores = score_search(searcher, part.query, part.relevance, CUTOFFS)
            scanned = searcher.num_probed_rows(searcher.policy.select_lists(part.query.probabilities))
            row: Row = {"split": split, "method": OTHER_RUN, "nprobe": policy.nprobe,
                        "scanned": float(scanned.mean() / len(part.catalogue)),
                        "search": f"{policy.method}, {policy.scope}"}  # fmt: skip
            yield row | _storage(model, part, policy) | _means(scores, part)


def _parts(model: Model, data: GarmentData) -> dict[str, Part]:
    """Queries and gallery of `val` and of the queries.

    Raises:
        ValueError: a split has no item with images of queries and of the gallery.
    """
    query, gallery, val = (encode_split(model, data, name) for name in ("query", "gallery", "val"))
    rows = map(np.flatnonzero, divide_queries(val.catalogue, query.catalogue, gallery.catalogue))
    val_query, val_gallery = (_take(val, each) for each in rows)
    parts = {"val": _part(val_query, val_gallery), "query": _part(query, gallery)}
    for split, part in parts.items():
        if not part.relevance.totals.any():
            raise ValueError(
                f"experiment=item_search: no item of {split} has images of queries and of the gallery; choose data "
                "with items, for example data=shop_street"
            )
    return parts


def _take(split: EncodedSplit, rows: np.ndarray) -> EncodedSplit:
    descriptors = {name: values[rows] for name, values in split.descriptors.items()}
    return EncodedSplit(split.catalogue.take(rows), split.encoded.take(rows), descriptors)


def _part(query: EncodedSplit, gallery: EncodedSplit) -> Part:
    items = query.catalogue.column("item")
    histograms = (query.descriptors[HISTOGRAM], gallery.descriptors[HISTOGRAM])
    relevance = Relevance.from_names(items, gallery.catalogue.column("item"))
    return Part(query.encoded, gallery.encoded, items.astype(str), relevance, histograms, gallery.catalogue)


def _searcher(model: Model, part: Part, policy: SearchPolicy) -> Searcher:
    return Searcher(model, Gallery.build(model, part.gallery, part.catalogue), policy)


def _score_policy(searcher: Searcher, part: Part, distance: Any, nprobe: Any) -> Scores:
    policy = replace(searcher.policy, distance=distance, nprobe=nprobe)
    return score_search(searcher.with_policy(policy), part.query, part.relevance, CUTOFFS)


def _score_histogram(searcher: Searcher, part: Part, nprobe: Any) -> Scores:
    lists = replace(searcher.policy, nprobe=nprobe).select_lists(part.query.probabilities)
    return score_embeddings(*part.histograms, part.relevance, probed_rows(lists, searcher.gallery.lists), CUTOFFS)


def _rows(split: str, method: str, part: Part, score: Callable[[Any], Scores], searcher: Searcher) -> Iterator[Row]:
    """Rows of one method by number of probed lists, with the difference from all lists."""
    numbers = [*range(1, len(searcher.model.categories)), "all"]
    policy = None if method == HISTOGRAM else replace(searcher.policy, distance=cast(Any, method))
    by_number = {nprobe: score(nprobe) for nprobe in numbers}
    recall = {nprobe: np.nan_to_num(scores["recall", 10]) for nprobe, scores in by_number.items()}
    for nprobe, scores in by_number.items():
        lists = replace(searcher.policy, nprobe=nprobe).select_lists(part.query.probabilities)
        scanned = float(searcher.num_probed_rows(lists).mean() / len(part.catalogue))
        row: Row = {"split": split, "method": method, "nprobe": nprobe, "scanned": scanned}
        gain = paired_difference([recall["all"]], [recall[nprobe]], item_groups(part.items))
        row |= {"gain over all lists": gain.mean, "gain low": gain.low, "gain high": gain.high}
        yield row | _storage(searcher.model, part, policy) | _means(scores, part)


def _storage(model: Model, part: Part, policy: SearchPolicy | None) -> Row:
    """Bytes of a garment, see `storage_bytes`; None: a histogram in float32."""
    if policy is None:
        row: Row = {**storage_bytes(SearchPolicy("euclidean"), None, part.histograms[1].shape[1]), "bits": 0}
    else:
        bits = model.bits if policy.uses_codes else 0
        row = {**storage_bytes(policy, bits or None, part.gallery.embeddings.shape[1]), "bits": policy.bits or bits}
    return {"id bytes" if name == "row bytes" else "vector bytes" if name == "embedding bytes" else name: value
            for name, value in row.items()}  # fmt: skip


def _means(scores: Scores, part: Part) -> Row:
    """Means over the queries, with the interval of recall@10."""
    values = {name: np.nan_to_num(scores[key]) for name, key in METRICS.items()}
    low, high = item_interval(values["recall@10"], part.items)
    means = {name: float(each.mean()) for name, each in values.items()}
    sizes = {"queries": len(part.items), "gallery": len(part.catalogue)}
    return means | {"recall@10 low": low, "recall@10 high": high} | sizes


def _mark_chosen(rows: list[Row]) -> None:
    """Set the column `chosen` of all rows, from the rows of `val`."""
    candidates = [row for row in rows if row["split"] == "val" and row["method"] in BY_CODE]
    best = max(candidates, key=lambda row: (row["recall@10"], -row["scanned"]))
    for row in rows:
        row["chosen"] = (row["method"], row["nprobe"]) == (best["method"], best["nprobe"])
