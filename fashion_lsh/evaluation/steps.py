"""Each step of an answer, timed by itself."""

import time

import numpy as np

from fashion_lsh.catalogue.crops import cut
from fashion_lsh.catalogue.datamodule import GarmentData
from fashion_lsh.evaluation.latency import WARM_UP, interleaved
from fashion_lsh.evaluation.scores import DEPTH
from fashion_lsh.retrieval.distances import rerank
from fashion_lsh.retrieval.encoding import Encoded, Model, encode_crops
from fashion_lsh.retrieval.index import HashIndex
from fashion_lsh.retrieval.searcher import Searcher


def before_search(model: Model, data: GarmentData, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Milliseconds of `decode`, `crop` and `features` (with hash layer and head) for pictures asked one at a time.

    Args:
        model: that answers.
        data: with these rows.
        rows: (Q,) of the catalogue; the first are asked beforehand, to warm up.

    Returns:
        (Q,) float64 each.
    """
    pictures, boxes = data.catalogue.column("picture"), data.crop_boxes
    marks = np.zeros((WARM_UP + len(rows), 4))
    for place, row in enumerate([*np.resize(rows, WARM_UP), *rows]):
        marks[place, 0] = time.perf_counter()
        pixels = data.source.picture(pictures[row])
        marks[place, 1] = time.perf_counter()
        crop = cut(pixels, boxes[row], model.margin, model.image_size)
        marks[place, 2] = time.perf_counter()
        encode_crops(model, [crop])
        marks[place, 3] = time.perf_counter()
    taken = 1000 * np.diff(marks[WARM_UP:], axis=1)
    return dict(zip(("decode", "crop", "features"), taken.T, strict=True))


def steps(searcher: Searcher, queries: Encoded, timed: np.ndarray) -> dict[str, float]:
    """Median milliseconds of the steps of a shortlist search: `category_ms`, `hamming_ms`, `rerank_ms`.

    Args:
        searcher: by shortlist, of so many rows.
        queries: Q.
        timed: (T,) which of them to time.

    Raises:
        ValueError: the search is by no shortlist of so many rows.
    """
    index, codes, wanted = searcher.gallery.index, queries.codes, searcher.search.shortlist
    if codes is None or not isinstance(index, HashIndex) or not isinstance(wanted, int):
        raise ValueError(f"{searcher.search.label} has no shortlist of a fixed number of codes: its steps are others")
    lists = searcher.search.lists(queries.masses)
    shortlists = index.nearest(codes[timed], lists[timed], max(DEPTH, wanted))
    found = interleaved(
        {
            "category": lambda query: searcher.search.lists(queries.one(timed[query]).masses),
            "hamming": lambda query: index.nearest(codes[[timed[query]]], lists[[timed[query]]], max(DEPTH, wanted)),
            "rerank": lambda query: rerank(
                queries.embeddings[[timed[query]]], shortlists.one(query), searcher.gallery.embeddings, DEPTH
            ),
        },
        len(timed),
    )
    return {f"{name}_ms": float(np.median(values)) for name, values in found.items()}
