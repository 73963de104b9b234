"""Settings as sentences."""

from typing import Any, get_args

import pytest

from fashion_lsh.data.detections import SelectRule
from fashion_lsh.report.phrases import (
    describe_code,
    describe_crop,
    describe_hash_layer,
    describe_image_licence,
    describe_method,
    describe_search,
    describe_split,
    describe_weights,
    join_names,
    one_line,
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
def test_text_is_joined_to_one_line(typed: str, shown: str) -> None:
    assert one_line(typed) == shown


@pytest.mark.parametrize(
    ("probed", "where"),
    [({"nprobe": 1}, "in the predicted category only"), ({"nprobe": 3}, "in the 3 likeliest categories"),
     ({"nprobe": "all"}, "in the whole gallery"),
     ({"nprobe": 1, "min_probability": 0.95}, "in the most probable categories whose probabilities sum to 95 %"),
     ({"nprobe": 2, "min_probability": 0.9},
      "in the most probable categories whose probabilities sum to 90 %, in 2 at least")],
)  # fmt: skip
def test_a_search_is_described_by_distance_and_probed_lists(probed: Any, where: str) -> None:
    for distance, expected in (
        ("hamming", "Hamming distance between codes"),
        ("rerank", "the best 200 by Hamming distance, then ordered by Euclid between embeddings"),
        ("euclidean", "exact Euclid between embeddings"),
        ("tie_break", "Hamming distance between codes, equal ones ordered by Euclid between embeddings"),
        ("weighted", "0.3 of the relative Hamming distance and the rest of Euclid between embeddings"),
    ):
        policy = SearchPolicy(
            distance, **{"min_probability": None, **probed}, rerank_k=200, alpha=0.3, min_confidence=0.0
        )  # type: ignore[arg-type]
        assert describe_search(policy.label) == f"{expected}; {where}"


@pytest.mark.parametrize(
    ("label", "expected"),
    [("rerank0.1_1", "the best 0.1 of the rows reached by Hamming distance, then ordered by Euclid"),
     ("hamming_1_confidence0.5", "category only, but in the whole gallery where the likeliest has less than 50 % of"),
     ("random", "random"), ("hamming_sometimes", "hamming_sometimes")],
)  # fmt: skip
def test_labels_with_ratios_min_confidence_and_unknown_labels(label: str, expected: str) -> None:
    assert expected in describe_search(label)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("rerank50_2", "The run's own search: the best 50 by"), ("random", "The gallery in any order."),
     ("hamming_all", "Asked for later with evaluate.py: Hamming distance between codes; in the whole gallery."),
     ("euclidean_1_probability0.5",
      "Asked for later with evaluate.py: exact Euclid between embeddings; in the most probable")],
)  # fmt: skip
def test_each_method_is_described(method: str, expected: str) -> None:
    assert describe_method(method, "rerank50_2").startswith(expected)


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [("resnet18", None, "from scratch"), ("resnet18", "/a/b.pth", "a file of weights"),
     ("resnet18", "imagenet", "non-commercial"), ("efficientnet_lite0", "imagenet", "Apache-2.0")],
)  # fmt: skip
def test_weights_are_described_with_their_licence(name: str, weights: str | None, expected: str) -> None:
    description = describe_weights({"name": name, "weights": weights})
    assert expected in description
    assert "/a" not in description


@pytest.mark.parametrize(
    ("source", "expected"),
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
def test_images_are_described_with_their_licence(source: str, expected: str) -> None:
    assert expected in describe_image_licence(source)


def test_crops_and_splits_are_described() -> None:
    data = {"crop": "annotated", "margin": 0.125, "gallery": "gallery"}
    assert "12.5 % of it" in describe_crop(data)
    assert "whole" in describe_crop(data | {"crop": "whole"})
    assert describe_split(data).startswith("disjoint")
    assert "training pictures are searched" in describe_split(data | {"gallery": "train"})


@pytest.mark.parametrize("others", [{}, {"gallery": "train"}, {"unseen": 6}])
def test_a_leaking_split_is_described_as_published(others: dict[str, Any]) -> None:
    description = describe_split({"gallery": "gallery", "leaks": "report", **others})
    assert "as published: what stands on two sides" in description
    assert "disjoint" not in description
    assert "no item" not in description


@pytest.mark.parametrize("which", get_args(SelectRule))
@pytest.mark.parametrize(("fallback", "expected"), [("whole", "the whole picture"), ("skip", "left out")])
def test_every_box_selection_is_described(which: str, fallback: str, expected: str) -> None:
    box_selector = {"select": which, "min_score": 0.3, "min_size": 8.0, "fallback": fallback}
    description = describe_crop({"crop": "detected", "margin": 0.1, "box_selector": box_selector})
    assert "a score of at least 0.3" in description
    assert description.endswith(
        f"where there is none: {expected}" + (", and a query finds nothing" if fallback == "skip" else "")
    )


@pytest.mark.parametrize(
    ("hash_config", "expected"),
    [
        (None, "no hash layer"),
        ({"bits": 48}, "48 bits (softmax)"),
        ({"_target_": "a.hash_head.HashHead", "bits": 12, "loss": "softmax", "bihalf": True}, "12 bits (bihalf)"),
        ({"bits": 8, "loss": "csq", "bihalf": True, "item_weight": 0.5}, "8 bits (csq, bihalf, items with weight 0.5)"),
        ({"_target_": "a.baselines.LSH", "bits": 9}, "9 bits (lsh)"),
        ({"_target_": "a.baselines.PredictedCategory"}, "a bit a category (predicted_category)"),
    ],
)
def test_a_hash_layer_is_described(hash_config: dict[str, Any] | None, expected: str) -> None:
    assert describe_hash_layer(hash_config) == expected


def test_hash_methods_are_named_in_short() -> None:
    layers = [None, {"loss": "softmax", "bihalf": True}, {"loss": "csq", "item_weight": 0.5}]
    assert [describe_code(layer) for layer in layers] == ["none", "bihalf", "csq, items"]


def test_a_long_list_is_truncated() -> None:
    assert join_names(["a", "b"], max_names=2) == "a, b"
    assert join_names(["a", "b", "c", "d"], "; ", 2) == "a; b; and 2 more"
