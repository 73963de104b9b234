"""What "classify first, then search inside the category" saves, and what it costs: at several sizes of the gallery."""

import copy
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.datamodule import GarmentData
from fashion_lsh.catalogue.sources.shop_street import ShopStreet
from fashion_lsh.environment import environment
from fashion_lsh.evaluation.distractors import Filed, copies, further, joined
from fashion_lsh.evaluation.frequencies import SOURCE, deal
from fashion_lsh.evaluation.latency import interleaved, one_thread, saving, summary
from fashion_lsh.evaluation.protocol import Pictures, encode_part, own_search
from fashion_lsh.evaluation.scores import DEPTH, Truth
from fashion_lsh.evaluation.steps import before_search, steps
from fashion_lsh.files import written
from fashion_lsh.retrieval.encoding import Encoded, Model
from fashion_lsh.retrieval.gallery import Gallery
from fashion_lsh.retrieval.hits import Hits
from fashion_lsh.retrieval.search import Search
from fashion_lsh.retrieval.searcher import Searcher

log = logging.getLogger(__name__)

DISTANCES = ("euclidean", "hamming", "shortlist")
ARMS: dict[str, dict[str, Any]] = {  # how the lists are chosen
    "whole": {"probes": "all"},
    "1": {"probes": 1}, "2": {"probes": 2}, "3": {"probes": 3},
    "0.9": {"probes": 0.9}, "0.95": {"probes": 0.95}, "0.99": {"probes": 0.99},
    "1, whole if unsure": {"probes": 1, "whole_below": 0.5},
    "true category": {"probes": 1},
}  # fmt: skip
COUNTED = ("whole", "1", "2", "3")  # arms for lists of another data set's frequencies: no classifier, no masses
NEAR = 10  # places whose recall is told

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """The queries of one setting: as they are filed and asked, how long each took before its search.

    encoded: Q queries; known: the same with all mass on the true category; labels: (Q,); items: (Q,); timed: (T,) which
    of them are timed; front: their milliseconds before the search, by step, (T,) each.
    """

    encoded: Encoded
    known: Encoded
    labels: np.ndarray
    items: np.ndarray
    timed: np.ndarray
    front: dict[str, np.ndarray]

    def of(self, arm: str) -> Encoded:
        """As they are asked in one arm."""
        return self.known if arm == "true category" else self.encoded


@dataclass(frozen=True)
class Speedup:
    """Times every way of choosing lists, by every distance, in galleries of every size.

    Attributes:
        sizes: of the galleries, each with the run's own gallery in it.
        composed: garments that are really composed and encoded; what is beyond are disturbed copies of all these, and
            then only times, shares and recall against the whole library are told.
        queries: that are timed; scores are those of all.
    """

    sizes: list[int]
    composed: int
    queries: int

    def __call__(self, model: Model, data: GarmentData, search: Search, folder: Path) -> list[Row]:
        """A row for each size, kind of lists, filing, distance and arm.

        Args:
            model: the run's, with a hash layer.
            data: shop_street, whose garments can be composed anew in other looks.
            search: the run's; its shortlist is taken.
            folder: of the run, where encoded garments and the rows of each size are kept, and read the next time.

        Raises:
            ValueError: the run has no codes, its data are not shop_street, or its shortlist is a share.
        """
        source = data.source
        if model.bits is None or not isinstance(source, ShopStreet) or not isinstance(search.shortlist, int):
            raise ValueError(
                "experiment=speedup needs codes, garments that can be composed anew, and a shortlist of so many rows: "
                "choose a run of data=shop_street with a hash layer, and search.shortlist=200"
            )
        query, gallery = encode_part(model, data, "query"), encode_part(model, data, "gallery")
        own = Filed(gallery.encoded, gallery.catalogue.labels(model.categories), gallery.catalogue.column("item"))
        wanted = max(0, min(self.composed, max(self.sizes)) - len(own.labels))
        composed = joined([own, further(model, source, wanted, folder / "further.npz")]) if wanted else own
        with one_thread():
            asked = _asked(model, data, query, self.queries)
            sized = (
                _of_size(model, asked, composed, size, search.shortlist, folder / "speedup") for size in self.sizes
            )
            return [row for rows in sized for row in rows]


def _of_size(model: Model, asked: Asked, composed: Filed, size: int, shortlist: int, folder: Path) -> list[Row]:
    kept = folder / f"{size}-{len(composed.labels)}-{len(asked.timed)}-{shortlist}.json"  # all that decides it
    if kept.exists():
        log.info("gallery of %d rows: read from %s", size, kept)
        return list(json.loads(kept.read_text()))
    log.info("gallery of %d rows", size)
    real, categories = size <= len(composed.labels), len(model.categories)
    filed = composed.first(size)
    if not real:
        filed = joined([composed, copies(composed, size - len(composed.labels), model.bits or 0)])
    about: Row = {
        "gallery": size,
        "bits": model.bits,
        "queries": len(asked.timed),
        "load": round(os.getloadavg()[0], 2),
        **environment(),
    }
    rows: list[Row] = []
    for by, masses in (("predicted", filed.encoded.masses), ("true", _certain(filed.labels, categories))):
        timed = _timed(model, filed_gallery(model, filed, masses), asked, shortlist, ARMS, real)
        rows += [about | {"lists": "own", "filed by": by} | row for row in timed]
    other, lists, queried = _relisted(model, asked, size)
    gallery = filed_gallery(other, filed, _certain(lists, len(other.categories)))
    timed = _timed(other, gallery, queried, shortlist, {name: ARMS[name] for name in COUNTED}, scored=False)
    rows += [about | {"lists": SOURCE, "filed by": "frequency"} | row for row in timed]
    with written(kept) as draft:
        draft.write_text(json.dumps(rows, indent=1))
    return rows


def _asked(model: Model, data: GarmentData, query: Pictures, count: int) -> Asked:
    labels = query.catalogue.labels(model.categories)
    known = query.encoded._replace(masses=_certain(labels, len(model.categories)))
    timed = np.linspace(0, len(labels) - 1, count).astype(np.int64)
    front = before_search(model, data, data.rows("query")[timed])
    return Asked(query.encoded, known, labels, query.catalogue.column("item").astype(str), timed, front)


def _certain(labels: np.ndarray, categories: int) -> np.ndarray:
    """(N,) -> (N, C) float32: all mass on the label."""
    return np.eye(categories, dtype=np.float32)[labels]


def filed_gallery(model: Model, filed: Filed, masses: np.ndarray) -> Gallery:
    """Garments filed by the greatest of (N, C) masses; their catalogue knows true labels and items alone."""
    ids = np.arange(len(filed.labels)).astype(str)
    catalogue = Catalogue.of({"id": ids, "picture": ids, "category": filed.labels.astype(str), "item": filed.items})
    return Gallery.filed(model, filed.encoded._replace(masses=masses), catalogue)


def _relisted(model: Model, asked: Asked, size: int) -> tuple[Model, np.ndarray, Asked]:
    """The same model with the lists of another data set, the list of each row, and queries dealt to them alike."""
    names, shares = deal()
    other = copy.copy(model)
    other.categories = names
    rng = np.random.default_rng(0)
    lists = rng.choice(len(names), size, p=shares)
    own = rng.choice(len(names), len(asked.labels), p=shares)
    masses = rng.random((len(own), len(names)), dtype=np.float32) * 0.01
    masses[np.arange(len(own)), own] = 1
    queried = asked.encoded._replace(masses=masses / masses.sum(axis=1, keepdims=True))
    return other, lists, replace(asked, encoded=queried, known=queried, labels=own)


def _timed(
    model: Model, gallery: Gallery, asked: Asked, shortlist: int | float, arms: dict[str, dict[str, Any]], scored: bool
) -> Iterator[Row]:
    """A row for each distance and arm."""
    plain = Search("hamming", 1, shortlist, alpha=0.5, whole_below=0.0)
    any_way = Searcher(model, gallery, plain)
    searchers = {(distance, arm): any_way.by(replace(plain, distance=distance, **chosen))  # type: ignore[arg-type]
                 for distance in DISTANCES for arm, chosen in arms.items()}  # fmt: skip

    def one(distance: str, arm: str) -> Callable[[int], object]:
        return lambda query: searchers[distance, arm].hits(asked.of(arm).one(int(asked.timed[query])), DEPTH)

    milliseconds = interleaved({"|".join(key): one(*key) for key in searchers}, len(asked.timed))
    before = np.sum(list(asked.front.values()), axis=0)
    for (distance, arm), searcher in searchers.items():
        taken, whole = (milliseconds[f"{distance}|{name}"] for name in (arm, "whole"))
        row: Row = {"distance": distance, "arm": arm} | _speed(searcher, asked, arm, before, taken, whole)
        if distance == "shortlist":
            row |= steps(searcher, asked.of(arm), asked.timed)
        if len(arms) > len(COUNTED):  # the lists are the model's own
            row |= _recalled(searcher, searchers[distance, "whole"], asked, arm)
            row |= _scores(searcher, asked, arm) if scored else {}
        yield row


def _speed(searcher: Searcher, asked: Asked, arm: str, before: np.ndarray, taken: np.ndarray, whole: np.ndarray) -> Row:
    """Times of one arm beside those of the whole library, (T,) milliseconds each; `before`: until the search begins."""
    gallery, lists = searcher.gallery, searcher.search.lists(asked.of(arm).masses)
    scanned = np.append(gallery.index.list_sizes(), 0)[lists].sum(axis=1) / len(gallery)
    ours, theirs = before + taken, before + whole
    share = float(whole.mean() / theirs.mean())
    saved, low, high = saving(ours, theirs)
    return {
        "lists probed": float((lists >= 0).sum(axis=1).mean()), "scanned": float(scanned.mean()),
        **summary("search", taken), **summary("end_to_end", ours),
        **{f"{step}_ms": float(np.median(values)) for step, values in asked.front.items()},
        "search share": share, "saved": saved, "saved low": low, "saved high": high,
        "faster by": float(theirs.mean() / ours.mean() - 1), "search faster by": float(whole.mean() / taken.mean() - 1),
        "predicted saving": share * float(1 - scanned[asked.timed].mean()),
    }  # fmt: skip


def _recalled(searcher: Searcher, whole: Searcher, asked: Asked, arm: str) -> Row:
    """Of the first NEAR places, how many are as near as the last of them in the whole library."""
    part = asked.of(arm).taken(asked.timed)
    found, best = searcher.hits(part, NEAR).distances, whole.hits(part, NEAR).distances
    return {f"recall@{NEAR} of whole": float((found <= best[:, -1:] * (1 + 1e-6)).mean())}


def _scores(searcher: Searcher, asked: Asked, arm: str) -> Row:
    """Item scores over all queries, and apart for those whose category was predicted right and wrong."""
    of, items = asked.of(arm), searcher.gallery.catalogue.column("item")
    hits = Hits.joined([], DEPTH) if searcher.search.distance == "hamming" else searcher.hits(of, DEPTH)
    scores = own_search(searcher, of, Truth.of(asked.items, items), hits)
    right = asked.encoded.predicted == asked.labels
    row = {f"item {name}": float(np.nanmean(scores[name])) for name in ("map@100", "recall@10")}
    row |= {f"item map@100, {name}": float(np.nanmean(scores["map@100"][which]))
            for name, which in (("category right", right), ("category wrong", ~right))}  # fmt: skip
    known = np.flatnonzero(items != "")
    filed = dict(zip(items[known], searcher.gallery.lists[known], strict=True))
    wanted = np.array([filed.get(item, -1) for item in asked.items])
    labels = searcher.gallery.catalogue.column("category")[known].astype(int)
    lists = searcher.search.lists(of.masses)
    return row | {
        "gallery top-1": float((searcher.gallery.lists[known] == labels).mean()),
        "scored": len(right),
        "top-1": float(right.mean()),
        "list reached": float((lists == wanted[:, None]).any(axis=1).mean()),
    }
