"""Calibration of the distance limit on val, against loops and in simulated searches."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.nearest_relevant import KEPT, MIN_QUERIES, calibrate, max_distance
from fashion_lsh.search.policy import SearchPolicy
from tests.gallery.factories import random_encoded


def make_catalogue(num_rows: int, seed: int = 0, **columns: Any) -> Catalogue:
    rng = np.random.default_rng(seed)
    defaults = {
        "id": [str(row) for row in range(num_rows)], "image": rng.integers(0, num_rows, num_rows).astype(str),
        "category": rng.choice(["hat", "bag"], num_rows), "item": rng.choice(["", "a", "b", "c"], num_rows),
        "group": rng.choice(["", "", "g", "h"], num_rows),
    }  # fmt: skip
    return Catalogue.from_columns(defaults | columns)


def nearest_in_a_loop(encoded: Encoded, catalogue: Catalogue, relevance: str, distance: str) -> list[float]:
    rows = catalogue.table.to_pylist()
    views = {row["view"] for row in rows} >= {"street", "shop"}
    assert encoded.codes is not None
    bits = np.unpackbits(encoded.codes, axis=1).astype(int)
    nearest = []
    for number, query in enumerate(rows):
        found = []
        for other_number, other in enumerate(rows):
            is_copy = query["image"] == other["image"] or (query["group"] and query["group"] == other["group"])
            has_label = query[relevance] and query[relevance] == other[relevance]
            if has_label and not is_copy and (not views or other["view"] == "shop"):
                difference = encoded.embeddings[number] - encoded.embeddings[other_number]
                hamming = int((bits[number] != bits[other_number]).sum())
                found.append(hamming if distance == "hamming" else float(np.linalg.norm(difference)))
        if found and (not views or query["view"] == "street"):
            nearest.append(min(found))
    return nearest


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_limits_equal_a_loop(seed: int, num_rows: int, views: bool) -> None:
    encoded = random_encoded(seed, num_rows)
    columns = {"view": np.random.default_rng(seed).choice(["street", "shop"], num_rows)} if views else {}
    catalogue = make_catalogue(num_rows, seed, **columns)
    result = calibrate(encoded, catalogue)
    by_item = len(nearest_in_a_loop(encoded, catalogue, "item", "hamming")) >= MIN_QUERIES
    assert result["relevance"] == ("item" if by_item else "category")
    for distance in ("hamming", "euclidean"):
        nearest = sorted(nearest_in_a_loop(encoded, catalogue, result["relevance"], distance))
        assert result["queries"] == len(nearest)
        if len(nearest) < MIN_QUERIES:
            assert result[distance] is None
            with pytest.raises(ValueError, match=rf"max_distance=auto.* {len(nearest)} .*{MIN_QUERIES}"):
                max_distance(result, distance)
        else:
            expected = nearest[ceil(0.95 * (len(nearest) + 1) - 1e-9) - 1]
            assert max_distance(result, distance) == pytest.approx(expected)
    assert max_distance({"hamming": 3, "euclidean": 0.5}, "rerank") == 0.5


def test_vectors_without_codes_have_one_limit() -> None:
    result = calibrate(random_encoded(0, 60, None), make_catalogue(60))
    assert "hamming" not in result
    assert result["euclidean"] > 0


def test_new_queries_keep_their_nearest_relevant_hit_as_promised() -> None:
    """Items are points on a line, and images lie around them: draw val and new queries from the same distribution."""
    kept = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        items = rng.integers(0, 40, 200)
        embeddings = (items + 0.3 * rng.normal(size=200)).astype(np.float32)[:, None]
        encoded = Encoded(np.ones((200, 1), np.float32), None, embeddings)
        catalogue = make_catalogue(200, item=items.astype(str), group=[""] * 200, image=np.arange(200).astype(str))
        half = np.arange(200) < 100
        limit = calibrate(encoded.take(half), catalogue.take(np.flatnonzero(half)))["euclidean"]
        for query in range(100, 200):
            same = np.flatnonzero((items == items[query]) & ~half & (np.arange(200) != query))
            if len(same):
                kept.append(np.abs(embeddings[same] - embeddings[query]).min() <= limit)
    standard_error = (KEPT * (1 - KEPT) / len(kept)) ** 0.5
    assert np.mean(kept) > KEPT - 4 * standard_error
    assert np.mean(kept) < 0.99


OWN = {"reranker": {"_target_": "tests.search.test_policy.OwnReranker", "power": 1}}


@pytest.mark.parametrize("change", [{"distance": "weighted"}, {"distance": "tie_break"}, OWN])
def test_other_distances_are_not_calibrated(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"search\.max_distance=auto.*search=hamming"):
        SearchPolicy(max_distance="auto", **change).check(9, 4)


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_limits_out_of_range_are_rejected(limit: float) -> None:
    with pytest.raises(ValueError, match=r"search\.max_distance="):
        replace(SearchPolicy(), max_distance=limit).check(9, 4)
