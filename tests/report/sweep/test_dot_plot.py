"""The figure of an experiment."""

import re
from typing import Any

import pytest

from fashion_lsh.report.sweep.dot_plot import dots

Row = dict[str, Any]


def texts(figure: bytes | None) -> list[str]:
    assert figure is not None
    return re.findall(r"<text[^>]*>([^<]*)</text>", figure.decode())


def row(score: float, **settings: object) -> Row:
    return {name.replace("_", "."): value for name, value in settings.items()} | {"top-1": score, "top-1 sd": 0.01}


def test_a_row_is_named_by_what_tells_it_apart() -> None:
    means = [
        row(0.5, hash="csq", hash_weight=0.0, search="rerank"),
        row(0.6, hash="csq", hash_weight=0.5, search="rerank"),
        row(0.7, hash="none", hash_weight=None, search="euclidean"),
    ]
    found = texts(dots(means, ["hash", "search", "hash.weight", "seeds"], ["top-1"]))
    assert {"csq · weight 0.0", "csq · weight 0.5", "none"} <= set(found)
    assert "top-1" in found


def test_a_number_of_several_values_is_an_axis_with_a_curve_for_each_other_setting() -> None:
    means = [row(bits / 100, hash=name, bits=bits) for name in ("csq", "softmax") for bits in (12, 24, 256)]
    found = texts(dots(means, ["hash", "bits"], ["top-1"]))
    assert {"12", "24", "256", "bits", "csq", "softmax"} <= set(found)
    few = texts(dots(means[:2], ["bits"], ["top-1"]))
    assert {"bits 12", "bits 24"} <= set(few)  # two are no curve


@pytest.mark.parametrize(("means", "settings", "measures"), [
    ([row(0.5, hash="csq")], ["hash"], ["top-1"]),
    ([row(0.5), row(0.6)], ["seeds"], ["top-1"]),
    ([row(0.5, hash="csq"), row(0.6, hash="none")], ["hash"], ["queries"]),
    ([row(0.5, hash="csq"), row(0.6, hash="none") | {"top-1": None}], ["hash"], ["top-1"]),
])  # fmt: skip
def test_what_cannot_be_compared_is_not_drawn(means: list[Row], settings: list[str], measures: list[str]) -> None:
    assert dots(means, settings, measures) is None


def test_no_more_than_three_measures_are_drawn_those_first_that_are_named_first() -> None:
    names = ["top-1", "macro F1", "item mAP@100", "entropy"]
    means = [{"hash": name} | dict.fromkeys(names, 0.5) for name in ("csq", "none")]
    found = texts(dots(means, ["hash"], names))
    assert [name in found for name in names] == [True, True, True, False]


def test_the_same_rows_give_the_same_file() -> None:
    means = [row(0.5, hash="csq"), row(0.6, hash="none")]
    assert dots(means, ["hash"], ["top-1"]) == dots(means, ["hash"], ["top-1"])
