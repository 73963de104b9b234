"""Settings, methods and licences described in words."""

from typing import Any, get_args

import numpy as np
import pytest

from fashion_lsh.data.detections import SelectRule
from fashion_lsh.index.hits import Hits
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.report.phrases import (
    BOX_SELECTION,
    LEAK_NOTE,
    METHODS,
    describe_code,
    describe_crop,
    describe_hash_layer,
    describe_image_licence,
    describe_search,
    describe_split,
    describe_weights,
    join_names,
    one_line,
    percent,
)
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.rerank import EmbeddingStore


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a\n b\t", "a b"),
        ("\x00", "?"),
        ("外套", "外套"),
        ("\u202egnp.exe", "gnp.exe"),
        ("", "?"),
        ("a\u00a0b", "a b"),
    ],
)
def test_text_is_joined_to_one_line(text: str, expected: str) -> None:
    assert one_line(text) == expected


def test_a_search_description_states_distance_and_probed_lists() -> None:
    distances = {
        "hamming": ["Hamming"],
        "rerank": ["1000", "Hamming", "Euclid"],
        "euclidean": ["Euclid"],
        "tie_break": ["Hamming", "Euclid"],
        "weighted": ["0.3", "Hamming", "Euclid"],
    }
    list_selections: list[tuple[dict[str, Any], list[str]]] = [
        ({"nprobe": 1}, []),
        ({"nprobe": 3}, ["3"]),
        ({"nprobe": "all"}, []),
        ({"nprobe": 1, "min_probability": 0.95}, ["95 %"]),
        ({"nprobe": 2, "min_probability": 0.9}, ["90 %", "2"]),
    ]
    descriptions = set()
    for distance, named in distances.items():
        for selection, numbers in list_selections:
            options: dict[str, Any] = {"min_probability": None, "rerank_k": 1000, "alpha": 0.3, "min_confidence": 0.0}
            description = describe_search(SearchPolicy(distance, **(options | selection)))  # type: ignore[arg-type]
            distance_text, _, lists_text = description.partition("; ")
            assert all(name in distance_text for name in named)
            assert all(number in lists_text for number in numbers)
            descriptions.add(description)
    assert len(descriptions) == len(distances) * len(list_selections)


@pytest.mark.parametrize(
    ("policy", "named", "absent"),
    [(SearchPolicy("rerank", rerank_k=0.1), "10 %", "0.1"),
     (SearchPolicy("rerank", rerank_k=1), "best 1 by", "%"),
     (SearchPolicy("rerank", rerank_by="asymmetric"), "re-ranked by asymmetric", "Euclid"),
     (SearchPolicy("asymmetric"), "activations of the query and codes", "Euclid"),
     (SearchPolicy("hamming", by="group"), "predicted group of categories", "without"),
     (SearchPolicy("hamming", nprobe=2, by="group", exclude=["hat"]), "2 most probable groups", "predicted"),
     (SearchPolicy("hamming", exclude=["hat", "bag"]), "predicted category only (without hat, bag)", "group"),
     (SearchPolicy("hamming", nprobe="all", exclude=["hat"]), "whole gallery (without hat)", "bag"),
     (SearchPolicy("hamming", min_confidence=0.5), "below 50 %", "cumulative"),
     (SearchPolicy("euclidean", min_probability=0.5), "up to a cumulative probability of 50 %", "below")],
)  # fmt: skip
def test_ratios_and_thresholds_of_a_search_are_described(policy: SearchPolicy, named: str, absent: str) -> None:
    assert named in describe_search(policy)
    assert absent not in describe_search(policy)


class OwnReranker:
    """Re-ranker that keeps the order of the candidates."""

    def rerank(self, queries: np.ndarray, candidates: Hits, embeddings: EmbeddingStore, k: int) -> Hits:
        return candidates


def test_an_own_reranker_is_named() -> None:
    policy = SearchPolicy("rerank", reranker=f"{__name__}.OwnReranker")
    description = describe_search(policy)
    assert "re-ranked by OwnReranker" in description
    assert "Euclid" not in description


def test_every_baseline_is_described() -> None:
    assert {"code", "float", "lsh", "pca", "itq", "rabitq", "int8", "predicted_category", "random",
            *DESCRIPTORS} == METHODS.keys()  # fmt: skip
    assert len(set(METHODS.values())) == len(METHODS)


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [("resnet18", None, "from scratch"), ("resnet18", "/a/b.pth", "weights file"),
     ("resnet18", "imagenet", "non-commercial"), ("efficientnet_lite0", "imagenet", "Apache-2.0"),
     ("convnextv2_atto", "pretrained", "cc-by-nc-4.0"), ("my_parts.Encoder", "weights.pth", "weights file")],
)  # fmt: skip
def test_weights_are_described_with_their_licence(name: str, weights: str | None, expected: str) -> None:
    description = describe_weights({"name": name, "weights": weights})
    assert expected in description
    assert "/a" not in description


def test_library_of_the_weights_is_named() -> None:
    backbone = {"name": "resnet18", "weights": "pretrained"}
    assert "apache-2.0" in describe_weights({**backbone, "library": "timm"})
    assert "torchvision" in describe_weights({**backbone, "library": "torchvision"})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("shop_street", "MIT"),
        ("fashion_mnist", "Zalando"),
        ("fashion_mnist_official", "Zalando"),
        ("folder", "(folder)"),
        ("coco", "coco"),
        ("modanet_corrected", "CC BY-NC"),
        ("scenes", "Apache"),
        ("thesis30", "card.md"),
    ],
)
def test_images_are_described_with_their_licence(source: str, expected: str) -> None:
    assert expected in describe_image_licence(source)


def test_crops_and_splits_are_described() -> None:
    data = {"crop": "annotated", "margin": 0.125, "gallery": "gallery"}
    assert "12.5 %" in describe_crop(data)
    assert "whole" in describe_crop(data | {"crop": "whole"})
    assert describe_split(data).startswith("disjoint")
    assert describe_split(data | {"gallery": "train"}) != describe_split(data)


@pytest.mark.parametrize("settings", [{}, {"gallery": "train"}, {"unseen": 6}])
def test_a_leaking_split_is_described_as_published(settings: dict[str, Any]) -> None:
    description = describe_split({"gallery": "gallery", "leaks": "report", **settings})
    assert LEAK_NOTE in description
    assert "disjoint" not in description


@pytest.mark.parametrize("rule", get_args(SelectRule))
@pytest.mark.parametrize(("fallback", "expected"), [("whole", "whole image"), ("skip", "skipped")])
def test_every_box_selection_is_described(rule: str, fallback: str, expected: str) -> None:
    box_selector = {"select": rule, "min_score": 0.3, "min_size": 8.0, "fallback": fallback}
    description = describe_crop({"crop": "detected", "margin": 0.1, "box_selector": box_selector})
    assert all(text in description for text in ("0.3", "10 %", BOX_SELECTION[rule], expected))


@pytest.mark.parametrize(
    ("hash_config", "named"),
    [
        (None, ["no hash layer"]),
        ({"bits": 48}, ["48 bits", "(softmax)"]),
        ({"_target_": "a.hash_head.HashHead", "bits": 12, "loss": "softmax", "bihalf": True}, ["12 bits", "(bihalf)"]),
        ({"bits": 8, "loss": "csq", "bihalf": True, "item_weight": 0.5}, ["8 bits", "csq, bihalf", "weight 0.5"]),
        ({"_target_": "a.baselines.LSH", "bits": 9}, ["9 bits", "(lsh)"]),
        ({"_target_": "a.baselines.PredictedCategory"}, ["(predicted_category)"]),
    ],
)
def test_a_hash_layer_is_described(hash_config: dict[str, Any] | None, named: list[str]) -> None:
    description = describe_hash_layer(hash_config)
    assert all(text in description for text in named)


def test_a_search_description_names_the_prefix_of_the_codes() -> None:
    assert "first 32 bits" in describe_search(SearchPolicy("hamming", bits=32))
    assert "bits" not in describe_search(SearchPolicy("hamming"))


def test_hash_methods_have_short_names() -> None:
    library_loss = {"loss": "softmax", "item_weight": 1.0, "item_loss": {"name": "ArcFaceLoss"}}
    layers = [None, {"loss": "softmax", "bihalf": True}, {"loss": "csq", "item_weight": 0.5}, library_loss,
              {**library_loss, "item_weight": 0.0}]  # fmt: skip
    expected = ["none", "bihalf", "csq, items", "softmax, ArcFaceLoss", "softmax"]
    assert [describe_code(layer) for layer in layers] == expected
    targets = ("training.item_contrast.ItemContrast", "models.item_codes.ItemLDA")  # names of the config groups
    assert [describe_code({"_target_": f"fashion_lsh.{target}"}) for target in targets] == ["item_contrast", "item_lda"]
    assert "ArcFaceLoss with weight 1" in describe_hash_layer({**library_loss, "bits": 48})
    item_codes = {"_target_": f"fashion_lsh.{targets[0]}", "bits": 48, "item_loss": {"name": "SupConLoss"}}
    assert describe_code(item_codes) == "item_contrast, SupConLoss"
    assert "(item_contrast, SupConLoss)" in describe_hash_layer(item_codes)


def test_percentages_have_a_space_and_no_negative_zero() -> None:
    assert [percent(value) for value in (0.1716, 1, -0.0001, -0.25)] == ["17.2 %", "100.0 %", "0.0 %", "-25.0 %"]
    assert percent(0.25, 0) == "25 %"


def test_a_long_list_is_truncated() -> None:
    assert join_names(["a", "b"], max_names=2) == "a, b"
    assert join_names(["a", "b", "c", "d"], "; ", 2) == "a; b; and 2 more"
