"""Page of the comparison of item codes, from made-up scores."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.metrics.results import ONE_LIST, WHOLE_GALLERY
from fashion_lsh.report.page_file import Row
from fashion_lsh.studies.item_code_scores import METRICS, Search, Searches, read_searches, save_searches
from fashion_lsh.studies.item_codes import code_rows
from fashion_lsh.studies.item_codes_page import SEARCHES, VIEWS, page

QUERIES = 40


def make_searches(value: float, seed: int, names: tuple[str, ...] = SEARCHES) -> Searches:
    """Scores near `value` of all searches."""
    generator = np.random.default_rng(seed)
    keys = [(relevance, scope, metric, k) for relevance in ("item", "category") for scope in (ONE_LIST, WHOLE_GALLERY)
            for metric, k in METRICS]  # fmt: skip
    found = {name: Search(3, {key: (generator.random(QUERIES) < value).astype(np.float32) for key in keys})
             for name in names}  # fmt: skip
    for search in found.values():
        search.scores["category", ONE_LIST, "accuracy", 1] = np.ones(QUERIES, np.float32)
    return found


def make_rows(p_values: dict[str, float], num_seeds: int = 5, items: str = "data") -> list[Row]:
    """Rows of a histogram, of softmax and of methods with these p values of their gain, at 24 and 48 bits."""
    groups = np.arange(QUERIES)
    rows = code_rows("colour_histogram", 0, [make_searches(0.4, 0, ("float",))], groups)
    for number, name in enumerate(["softmax", *p_values]):
        for bits in (24, 48):
            scores = [make_searches(0.2 + 0.1 * number, seed) for seed in range(num_seeds)]
            gain = {"gain": 0.1, "gain low": 0.05, "gain high": 0.15, "gain p": p_values[name]} if number else {}
            rows += [row | gain for row in code_rows(name, bits, scores, groups)]
    return [row | {"items": items, "gallery": 60} for row in rows]


def test_the_table_shows_the_methods_at_48_bits() -> None:
    text, figures = page(make_rows({"lsh": 0.001, "itq": 0.01}))
    assert not figures
    assert not text.startswith(VIEWS)
    for part in ("### Codes of 48 bits by Hamming distance", "| colour_histogram ", "+0.100 [+0.050, +0.150]",
                 "for 2 methods and at least 5 seeds, all differ from 0", "24 bits"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("p_values", "num_seeds", "shown"),
    [
        ({"lsh": 0.001, "itq": 0.2}, 5, "no direction is shown for itq."),
        ({"lsh": 0.03, "itq": 0.04}, 5, "no direction is shown for lsh, itq."),  # Holm: 0.06
        ({"lsh": 0.001}, 4, "no direction is shown for lsh."),
    ],
)
def test_no_direction_without_evidence(p_values: dict[str, float], num_seeds: int, shown: str) -> None:
    assert shown in page(make_rows(p_values, num_seeds))[0]


def test_views_as_items_are_named_first() -> None:
    assert page(make_rows({"lsh": 0.001}, items="views"))[0].startswith(VIEWS)


def test_ratio_to_the_layer_of_the_thesis() -> None:
    rows = make_rows({"lsh": 0.001})
    means = {row["method"]: row["value"] for row in rows
             if (row["bits"], row["search"], row["relevance"], row["scope"], row["metric"], row["k"])
             == (48, "hamming", "item", ONE_LIST, "recall", 10)}  # fmt: skip
    [line] = [line for line in page(rows)[0].splitlines() if line.startswith("| lsh ") and "+0.100" in line]
    assert f" {means['lsh'] / means['softmax']:.2f} " in line


def test_kept_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    searches = make_searches(0.3, 0)
    save_searches(tmp_path / "scores" / "a.npz", searches)
    found = read_searches(tmp_path / "scores" / "a.npz")
    assert found is not None
    assert found.keys() == searches.keys()
    for name, search in searches.items():
        assert found[name].num_bytes == search.num_bytes
        assert found[name].scores.keys() == search.scores.keys()
        for key, values in search.scores.items():
            np.testing.assert_array_equal(found[name].scores[key], values)
    assert read_searches(tmp_path / "missing.npz") is None
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "scores" / "a.npz").read_bytes()[:200])
    assert read_searches(tmp_path / "damaged.npz") is None
