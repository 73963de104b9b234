"""Settings as sentences."""

from typing import Any, get_args

import pytest

from fashion_lsh.data.detections import Which
from fashion_lsh.report.phrases import (
    code_words,
    crop_words,
    hash_words,
    listed,
    one_line,
    pictures_words,
    row_words,
    search_words,
    split_words,
    weights_words,
)
from fashion_lsh.search.policy import SearchPolicy


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (" a\n b\t", "a b"),
        ("\x00", "?"),
        ("外套", "外套"),
        ("\u202egnp.exe", "gnp.exe"),
        ("", "?"),
        ("a\u00a0b", "a b"),
    ],
)
def test_text_is_brought_to_one_line(typed: str, shown: str) -> None:
    assert one_line(typed) == shown


@pytest.mark.parametrize(
    ("probes", "where"),
    [(1, "in the predicted category only"), (3, "in the 3 likeliest categories"), ("all", "in the whole gallery"),
     (0.95, "in the likeliest categories that together hold 95 % of the softmax mass")],
)  # fmt: skip
def test_a_search_says_by_what_and_where(probes: Any, where: str) -> None:
    for distance, how in (
        ("hamming", "Hamming distance between codes"),
        ("rerank", "the best 200 by Hamming distance, then ordered by Euclid between embeddings"),
        ("euclidean", "exact Euclid between embeddings"),
        ("tie_break", "Hamming distance between codes, equal ones ordered by Euclid between embeddings"),
        ("weighted", "0.3 of the relative Hamming distance and the rest of Euclid between embeddings"),
    ):
        assert search_words(SearchPolicy(distance, probes, 200, 0.3, 0.0).label) == f"{how}; {where}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "said"),
    [("shortlist0.1_1", "the best 0.1 of the rows reached by Hamming distance, then ordered by Euclid"),
     ("hamming_1_sure0.5", "category only, but in the whole gallery where the likeliest has less than 50 % of"),
     ("random", "random"), ("hamming_sometimes", "hamming_sometimes")],
)  # fmt: skip
def test_labels_of_shares_of_the_unsure_and_unknown_ones(label: str, said: str) -> None:
    assert said in search_words(label)


@pytest.mark.parametrize(
    ("row", "said"),
    [("shortlist50_2", "The run's own search: the best 50 by"), ("random", "The gallery in any order."),
     ("hamming_all", "Asked for later with evaluate.py: Hamming distance between codes; in the whole gallery."),
     ("euclidean_0.5", "Asked for later with evaluate.py: exact Euclid between embeddings; in the likeliest")],
)  # fmt: skip
def test_each_row_is_explained(row: str, said: str) -> None:
    assert row_words(row, "shortlist50_2").startswith(said)


@pytest.mark.parametrize(
    ("name", "weights", "said"),
    [("resnet18", None, "from scratch"), ("resnet18", "/a/b.pth", "a file of weights"),
     ("resnet18", "imagenet", "non-commercial"), ("efficientnet_lite0", "imagenet", "Apache-2.0")],
)  # fmt: skip
def test_weights_are_said_with_their_terms(name: str, weights: str | None, said: str) -> None:
    words = weights_words({"name": name, "weights": weights})
    assert said in words
    assert "/a" not in words


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("shop_street", "MIT"),
        ("fashion_mnist", "Zalando"),
        ("fashion_mnist_official", "Zalando"),
        ("folder", "Your own"),
        ("coco", "coco"),
        ("modanet_corrected", "CC BY-NC"),
        ("scenes", "Apache"),
        ("thesis30", "card.md in the merged folder"),
    ],
)
def test_pictures_are_said_with_their_licence(source: str, said: str) -> None:
    assert said in pictures_words(source)


def test_crops_and_splits() -> None:
    data = {"crop": "annotated", "margin": 0.125, "gallery": "gallery"}
    assert "12.5 % of it" in crop_words(data)
    assert "whole" in crop_words(data | {"crop": "whole"})
    assert split_words(data).startswith("disjoint")
    assert "training pictures are searched" in split_words(data | {"gallery": "train"})


@pytest.mark.parametrize("others", [{}, {"gallery": "train"}, {"unseen": 6}])
def test_a_split_that_leaks_is_called_nothing_else(others: dict[str, Any]) -> None:
    told = split_words({"gallery": "gallery", "leaks": "report", **others})
    assert "as published: what stands on two sides" in told
    assert "disjoint" not in told
    assert "no item" not in told


@pytest.mark.parametrize("which", get_args(Which))
@pytest.mark.parametrize(("fallback", "said"), [("whole", "the whole picture"), ("skip", "left out")])
def test_every_choice_of_found_boxes_has_its_words(which: str, fallback: str, said: str) -> None:
    choice = {"select": which, "min_score": 0.3, "min_size": 8.0, "fallback": fallback}
    told = crop_words({"crop": "detected", "margin": 0.1, "box_selector": choice})
    assert "a score of at least 0.3" in told
    assert told.endswith(f"where there is none: {said}" + (", and a query finds nothing" if fallback == "skip" else ""))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (None, "no hash layer"),
        ({"bits": 48}, "48 bits (softmax)"),
        ({"_target_": "a.hash_head.HashHead", "bits": 12, "loss": "softmax", "bihalf": True}, "12 bits (bihalf)"),
        ({"bits": 8, "loss": "csq", "bihalf": True, "item_weight": 0.5}, "8 bits (csq, bihalf, items with weight 0.5)"),
        ({"_target_": "a.baselines.LSH", "bits": 9}, "9 bits (lsh)"),
        ({"_target_": "a.baselines.PredictedCategory"}, "a bit a category (predicted_category)"),
    ],
)
def test_a_hash_layer_in_words(layer: dict[str, Any] | None, said: str) -> None:
    assert hash_words(layer) == said


def test_what_makes_codes_in_a_word() -> None:
    layers = [None, {"loss": "softmax", "bihalf": True}, {"loss": "csq", "item_weight": 0.5}]
    assert [code_words(layer) for layer in layers] == ["none", "bihalf", "csq, items"]


def test_a_long_list_is_cut() -> None:
    assert listed(["a", "b"], most=2) == "a, b"
    assert listed(["a", "b", "c", "d"], "; ", 2) == "a; b; and 2 more"
