"""What "classify first, then search inside the category" saves, and what it costs: at several sizes of the gallery."""

import copy
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.evaluation.latency import one_thread
from fashion_lsh.evaluation.protocol import EncodedPart, encode_part
from fashion_lsh.index.indexes import stored_width
from fashion_lsh.io.files import atomic_write
from fashion_lsh.models.encoding import Model
from fashion_lsh.runs.environment import environment
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies import speedup_page
from fashion_lsh.studies.category_frequencies import SOURCE, deal
from fashion_lsh.studies.large_galleries import Labelled, copies, filed_gallery, grown, joined
from fashion_lsh.studies.latency_steps import Before
from fashion_lsh.studies.probing_methods import ARMS, COUNTED, Asked, Row, Told, timed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speedup:
    """Times every way of choosing lists, by every distance, in galleries of every size.

    Attributes:
        sizes: of the galleries, each with the run's own gallery in it.
        composed: garments that are really composed and encoded; what is beyond are disturbed copies of all these, and
            then only times, shares and recall against the whole gallery are told.
        queries: that are timed; scores are those of all.
    """

    sizes: list[PositiveInt]
    composed: PositiveInt
    queries: PositiveInt

    def __call__(self, model: Model, data: GarmentData, search: SearchPolicy, folder: Path) -> list[Row]:
        """A row for each size, kind of lists, filing, distance and arm.

        Args:
            model: the run's, with a hash layer.
            data: shop_street, whose garments can be composed anew in other looks.
            search: the run's; its shortlist is taken.
            folder: of the run, where encoded garments and the rows of each size are kept, and read the next time.

        Raises:
            ValueError: the run has no codes, its data are not all of shop_street, or its shortlist is a share; no size
                is composed whole, or one is below the run's own gallery.
        """
        source, shortlist = _checked(model, data, search)
        own = len(data.rows("gallery"))
        if not own <= min(self.sizes) <= max(self.composed, own):
            raise ValueError(
                f"study.sizes={self.sizes}: give none below the run's own {own:,} garments, and one of "
                f"study.composed={self.composed:,} at most"
            )
        query, gallery = encode_part(model, data, "query"), encode_part(model, data, "gallery")
        total = min(self.composed, max(self.sizes))
        composed = grown(model, source, gallery.encoded, gallery.catalogue, total, folder / "further.npz")
        with one_thread():
            asked = _asked(model, data, query, self.queries)
            sized = (_of_size(model, asked, composed, size, shortlist, folder / "speedup") for size in self.sizes)
            return [row for rows in sized for row in rows]

    def page(self, rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows, and its figures by file name."""
        return speedup_page.page(rows)


def _checked(model: Model, data: GarmentData, search: SearchPolicy) -> tuple[ShopStreet, int]:
    """The data set and the length of the shortlist.  Raises ValueError: the run cannot be measured."""
    fits = model.bits is not None and data.crop == "annotated" and data.unseen is None
    fits = fits and data.filters["category"] is None  # garments of all are composed
    if not fits or not isinstance(data.source, ShopStreet) or not isinstance(search.rerank_k, int):
        raise ValueError(
            "experiment=speedup needs codes, garments that can be composed anew, and a shortlist of so many rows: "
            "choose a run of data=shop_street with crop=annotated and a hash layer that knows all categories, and "
            "search.rerank_k=200"
        )
    return data.source, search.rerank_k


def _of_size(model: Model, asked: Asked, composed: Labelled, size: int, shortlist: int, folder: Path) -> list[Row]:
    machine = environment(gpu=model.device.type == "cuda")
    decides = [model.fingerprint(), size, len(composed.labels), len(asked.timed), shortlist, machine]
    kept = folder / f"{size}-{sha256(json.dumps(decides).encode()).hexdigest()[:8]}.json"
    if before := _kept(kept):
        log.info("gallery of %d rows: read from %s", size, kept)
        return before
    log.info("gallery of %d rows", size)
    told: Told = "scores" if size <= len(composed.labels) else "recalled"
    categories, garments = len(model.categories), composed.first(size)
    if size > len(composed.labels):
        garments = joined([composed, copies(composed, size - len(composed.labels), model.bits or 0)])
    about: Row = {
        "gallery": size,
        "bits": model.bits,
        "queries": len(asked.timed),
        "load": round(os.getloadavg()[0], 2),
        **machine,
    }
    rows: list[Row] = []
    for by, probabilities in (
        ("predicted", garments.encoded.probabilities),
        ("true", _certain(garments.labels, categories)),
    ):
        found = timed(model, filed_gallery(model, garments, probabilities), asked, shortlist, list(ARMS), told)
        rows += [about | {"lists": "own", "filed by": by} | row for row in found]
    other, lists, queried = _relisted(model, asked, size)
    gallery = filed_gallery(other, garments, _certain(lists, len(other.categories)))
    found = timed(other, gallery, queried, shortlist, COUNTED, "times")
    rows += [about | {"lists": SOURCE, "filed by": "frequency"} | row for row in found]
    length = garments.encoded.embeddings.shape[1]
    rows = [row | stored(str(row["distance"]), model.bits or 0, length) for row in rows]
    with atomic_write(kept) as temporary:
        temporary.write_text(json.dumps(rows, indent=1))
    return rows


def stored(distance: str, bits: int, length: int) -> Row:
    """Bytes that one garment takes: its code, its row in a list, and its embedding of `length` numbers, where it is
    searched by (float32, in memory) or re-ranks (float16)."""
    code = 0 if distance == "euclidean" else stored_width(bits)
    embedding = {"euclidean": 4, "hamming": 0, "rerank": 2}[distance] * length
    return {"code bytes": code, "row bytes": 8, "embedding bytes": embedding, "bytes": code + 8 + embedding}


def _kept(file: Path) -> list[Row]:
    """The rows of a file; none where there is none, or it is damaged, which is told."""
    try:
        return [dict(row) for row in json.loads(file.read_text())] if file.exists() else []
    except (ValueError, TypeError) as error:
        log.warning("%s is damaged (%s) and is made again", file, error)
        return []


def _asked(model: Model, data: GarmentData, query: EncodedPart, count: int) -> Asked:
    labels = query.catalogue.labels(model.categories)
    known = query.encoded._replace(probabilities=_certain(labels, len(model.categories)))
    chosen = np.linspace(0, len(labels) - 1, count).astype(np.int64)
    before = Before(model, data, data.rows("query")[chosen])
    return Asked(query.encoded, known, labels, query.catalogue.column("item").astype(str), chosen, before)


def _certain(labels: np.ndarray, categories: int) -> np.ndarray:
    """(N,) -> (N, C) float32: all mass on the label."""
    return np.eye(categories, dtype=np.float32)[labels]


def _relisted(model: Model, asked: Asked, size: int) -> tuple[Model, np.ndarray, Asked]:
    """The same model with the lists of another data set, the list of each row, and queries dealt to them alike."""
    names, shares = deal()
    other = copy.copy(model)
    other.categories = names
    rng = np.random.default_rng(0)
    lists = rng.choice(len(names), size, p=shares)
    own = rng.choice(len(names), len(asked.labels), p=shares)
    probabilities = rng.random((len(own), len(names)), dtype=np.float32) * 0.01
    probabilities[np.arange(len(own)), own] = 1
    queried = asked.encoded._replace(probabilities=probabilities / probabilities.sum(axis=1, keepdims=True))
    return other, lists, replace(asked, encoded=queried, known=queried, labels=own)
