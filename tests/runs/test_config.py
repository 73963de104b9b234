"""Config values are validated against constructors; errors contain key, value and expected type or range."""

import re
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.evaluation.crop_modes import CropMode
from fashion_lsh.evaluation.robustness import CORRUPTIONS
from fashion_lsh.io.targets import import_target
from fashion_lsh.runs.config import SCHEMA, check, resolve_config, targets
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.training.classifier import Classifier

OPTIM = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1}
CLASSIFIER = {
    "_target_": "fashion_lsh.training.classifier.Classifier", "backbone": "resnet18", "image_size": 64, "margin": 0.1,
    "frozen": False, "epochs": 4, "lr_factor": 1.0, "head_factor": 1.0, "label_smoothing": 0.1,
    "frozen_blocks": 0, "layer_decay": 1.0, "mixup": 0.0, "ema_decay": 0.0,
    "optim": OPTIM, "seed": 0,
}  # fmt: skip
BOX_SELECTOR = {"_target_": "fashion_lsh.data.detections.BoxSelector", "select": "given", "min_score": 0.3,
                "min_size": 8.0, "fallback": "whole"}  # fmt: skip
DATA = {
    "_target_": "fashion_lsh.data.datamodule.GarmentData", "source": "folder", "root": None, "categories": None,
    "sources": None, "crop": "whole", "box_selector": BOX_SELECTOR, "margin": 0.1, "image_size": 64, "jitter": 0.1,
    "min_crop_area": 1.0, "ratios": {"train": 0.8, "val": 0.2}, "gallery": "train", "leaks": "refuse", "split_seed": 0,
    "batch_size": 64, "workers": 1, "samples_per_epoch": None, "balanced": False, "seed": 0,
}  # fmt: skip
SEARCH = {"_target_": "fashion_lsh.search.policy.SearchPolicy", "distance": "hamming", "nprobe": 1, "rerank_k": 1000,
          "rerank_by": "euclidean"}  # fmt: skip
CONFIG = {"seed": 0, "classifier": CLASSIFIER, "data": DATA, "search": SEARCH, "hash": None}


def set_key(key: str, value: Any) -> dict[str, Any]:
    """Copy CONFIG and replace the value of one dotted key."""

    def walk(node: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
        first, *rest = names
        return {**node, first: walk(node[first], rest) if rest else value}

    return walk(CONFIG, key.split("."))


VALID_SETTINGS = [
    ("classifier.optim.lr", 1),  # an integer is a valid float
    ("classifier.optim.weight_decay", 0),
    ("data.root", "images"),
    ("data.categories", ["dress", "shirt"]),
    ("data.samples_per_epoch", 100),
    ("data.balanced", True),
    ("search.min_probability", 0.95),
    ("search.nprobe", "all"),
    ("search.nprobe", 3),
]
INVALID_SETTINGS = [
    ("classifier.epochs", True),  # a Boolean is not accepted as a number
    ("classifier.optim.lr", True),
    ("classifier.epochs", 2.0),
    ("classifier.epochs", "4"),
    ("classifier.epochs", None),
    ("classifier.epochs", 0),
    ("classifier.epochs", -1),
    ("classifier.optim.lr", 0),
    ("classifier.optim.lr", "fast"),
    ("classifier.optim.lr", float("nan")),
    ("classifier.image_size", 0),
    ("classifier.margin", -0.1),
    ("classifier.head_factor", 0.0),
    ("classifier.label_smoothing", 1.1),
    ("classifier.layer_decay", 0),
    ("classifier.layer_decay", 1.5),
    ("classifier.mixup", -0.1),
    ("classifier.ema_decay", 1),
    ("classifier.frozen_blocks", -1),
    ("classifier.backbone", 18),
    ("classifier.optim", "sgd"),
    ("classifier.optim.name", "adam"),
    ("classifier.optim.momentum", 2),
    ("classifier.optim.weight_decay", -1),
    ("classifier.optim.weight_decay", "none"),
    ("classifier.optim.warmup", 1.5),
    ("classifier.optim.nesterov", True),
    ("data.balanced", 1),
    ("data.crop", "annotatd"),
    ("data.categories", "dress"),
    ("data.categories", []),
    ("data.ratios.val", "some"),
    ("search.nprobe", True),
    ("search.nprobe", "some"),
    ("search.nprobe", 0.95),
    ("search.min_probability", 1.5),
    ("search.distance", "hamming_distance"),
    ("search.rerank_by", "hamming"),
]
ANY_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers())
)


def test_valid_config_passes() -> None:
    check(CONFIG)
    check({})


@pytest.mark.parametrize(("key", "value"), VALID_SETTINGS)
def test_value_of_the_expected_type_passes(key: str, value: Any) -> None:
    check(set_key(key, value))


@pytest.mark.parametrize(("key", "value"), INVALID_SETTINGS)
def test_error_contains_key_value_and_expected_type(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{key}={value!r}: ')}\w+.*[^.]$"):
        check(set_key(key, value))


@settings(max_examples=40)
@given(ANY_VALUE)
def test_error_contains_the_value(value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        check(set_key("classifier.epochs", value))
        return
    with pytest.raises(ValueError, match=r"^classifier\.epochs=") as caught:
        check(set_key("classifier.epochs", value))
    assert str(caught.value).startswith(f"classifier.epochs={value!r}: ")


def test_error_lists_all_allowed_values() -> None:
    with pytest.raises(ValueError, match=r"valid integer or .*'all'"):
        check(set_key("search.nprobe", "some"))
    with pytest.raises(ValueError, match="'annotated', 'whole' or 'detected'"):
        check(set_key("data.crop", "annotatd"))


@pytest.mark.parametrize("project", ["team/project", "a b?", "", "x" * 129])
def test_invalid_wandb_project_is_rejected(project: str) -> None:
    with pytest.raises(ValueError, match=r"^logger\.project="):
        check({**CONFIG, "logger": {"project": project}})
    check({**CONFIG, "logger": {"project": "a project, of 2"}})


def test_error_contains_the_invalid_list_element() -> None:
    with pytest.raises(ValueError, match=r"^data\.categories=7: "):
        check(set_key("data.categories", ["dress", 7]))


@pytest.mark.parametrize("name", ["epoch", "optim.rate", "_epochs"])
def test_error_for_an_unknown_key_lists_the_parameters(name: str) -> None:
    config = set_key("classifier", {**CLASSIFIER, name: 3})
    if name.startswith("_"):
        check(config)  # keys with an underscore belong to Hydra
        return
    with pytest.raises(ValueError, match=rf"^classifier\.{name}=3: .*Classifier.*'epochs'"):
        check(config)


def test_error_contains_the_missing_key_of_a_mapping() -> None:
    optim = {name: value for name, value in OPTIM.items() if name != "warmup"}
    with pytest.raises(ValueError, match=r"^classifier\.optim\.warmup=.*: Field required$"):
        check(set_key("classifier.optim", optim))


def test_targets_finds_nested_constructors() -> None:
    nested = {"a": {"b": SEARCH, "c": {"_target_": "x.Y", "d": SEARCH}}, "e": [SEARCH], "f": None}
    assert [path for path, _ in targets(nested)] == ["a.b", "a.c", "a.c.d"]
    assert [path for path, _ in targets(SEARCH)] == [""]
    with pytest.raises(ValueError, match=r"^nprobe='x': "):
        check({**SEARCH, "nprobe": "x"})


def test_import_target_returns_the_class() -> None:
    assert import_target(SEARCH["_target_"]) is SearchPolicy  # type: ignore[arg-type]
    assert import_target(CLASSIFIER["_target_"]) is Classifier  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["fashion_lsh.nothing.X", "fashion_lsh.models.classifier.Clasifier", "Classifier"])
def test_unknown_target_is_rejected(target: str) -> None:
    with pytest.raises(ValueError, match=rf"^_target_='{target}': "):
        check(set_key("classifier._target_", target))


def test_training_keys_are_dropped_for_untrained_hash_layers() -> None:
    hash_head = {"_target_": "fashion_lsh.training.hash_head.HashHead", "epochs": 4, "bits": 8}
    lsh = {"_target_": "fashion_lsh.models.baselines.LSH", "bits": 8}
    cases = ((None, None), ({"epochs": 4}, None), (hash_head, hash_head),
             ({**lsh, "epochs": 4, "item_weight": 0.5}, lsh),
             ({**lsh, "typo": 1}, {**lsh, "typo": 1}))  # fmt: skip
    for given_hash, expected in cases:
        assert resolve_config({"seed": 1, "hash": given_hash}) == {"seed": 1, "hash": expected}


def resolve_with_backbone(backbone: dict[str, Any], image_size: int | None = 64) -> dict[str, Any]:
    """Resolve a config in which the stages interpolate the name of the backbone and the size of the images."""
    stage = {"backbone": backbone["name"], "image_size": image_size}
    data = {"image_size": image_size, "workers": 1}
    return resolve_config(
        {"backbone": backbone, "data": data, "classifier": stage, "hash": {**stage, "_target_": HASH}}
    )


HASH = "fashion_lsh.training.hash_head.HashHead"


@pytest.mark.parametrize(
    ("backbone", "name", "spec"),
    [
        ({"name": "resnet18"}, "resnet18", "resnet18"),
        ({"name": "resnet18", "library": "timm"}, "resnet18", "timm/resnet18"),
        ({"name": "vgg16", "library": "torchvision"}, "vgg16", "torchvision/vgg16"),
        ({"name": "mine.Encoder", "_target_": "mine.Encoder", "width": 8, "frozen": True},
         {"_target_": "mine.Encoder", "width": 8}, {"_target_": "mine.Encoder", "width": 8}),
    ],
)  # fmt: skip
def test_stages_receive_library_and_class_of_the_backbone(backbone: dict[str, Any], name: Any, spec: Any) -> None:
    config = resolve_with_backbone(backbone)
    assert config["backbone"]["name"] == name
    assert config["classifier"]["backbone"] == config["hash"]["backbone"] == spec
    assert config["classifier"]["image_size"] == config["data"]["image_size"] == 64
    assert not {"_target_", "width"} & config["backbone"].keys()


def test_size_of_the_images_without_a_value_is_that_of_the_weights() -> None:
    config = resolve_with_backbone({"name": "vit_small_patch14_dinov2", "library": "timm"}, image_size=None)
    for group in ("data", "classifier", "hash"):
        assert config[group]["image_size"] == 518
    assert config["data"]["workers"] == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [({"overwrite": "no"}, "overwrite='no'"), ({"seed": -1}, "seed=-1"), ({"name": None}, "name=None"),
     ({"gallery": {"embeddings": "no"}}, "gallery.embeddings='no'"),
     ({"backbone": {"weights": 5}}, "backbone.weights=5"),
     ({"backbone": {"library": "keras"}}, "backbone.library='keras'"),
     ({"logger": {"tags": "foo"}}, "logger.tags='foo'"),
     ({"trainer": {"patience": "two"}}, "trainer.patience='two'"),
     ({"trainer": {"limit_val_batches": 0}}, "trainer.limit_val_batches=0"),
     ({"trainer": {"mode": "best"}}, "trainer.mode='best'")],
)  # fmt: skip
def test_settings_without_a_constructor_are_type_checked(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check(config)


def test_error_contains_the_interpolated_key() -> None:
    unresolved = {"classifier": {"optim": "${optim}", "margin": "${crop.margin}"}, "crop": {"margin": "${wide}"}}
    with pytest.raises(ValueError, match=r"^optim\.lr=-1: "):
        check(set_key("classifier.optim.lr", -1), unresolved)
    with pytest.raises(ValueError, match=r"^wide=-1: "):
        check(set_key("classifier.margin", -1), unresolved)
    with pytest.raises(ValueError, match=r"^classifier\.epochs=0: "):
        check(set_key("classifier.epochs", 0), unresolved)


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ({"mode": "detected"}, "crop.mode='detected'"),
        ({"eval_modes": ["whole", "detected_or_whole"]}, "crop.eval_modes="),
    ],
)
def test_detected_crops_need_a_detector(crop: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check({"crop": crop, "detector": None})
    check({"crop": crop, "detector": {"level": "garment"}})
    check({"crop": {"mode": "whole", "eval_modes": ["annotated"]}, "detector": None})


@pytest.mark.parametrize(("name", "value"), [("devices", 0), ("devices", [0, 1]), ("devices", "all"), ("num_nodes", 0)])
def test_invalid_number_of_devices_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(f'trainer.{name}={value!r}: ')}"):
        check({"trainer": {"devices": 1, name: value}})
    check({"trainer": {"devices": 2, "num_nodes": 2, "strategy": "ddp"}})
    check({"trainer": {"devices": "auto"}})


@pytest.mark.parametrize("group", ["backbone", "logger", "crop", "gallery"])
def test_unused_key_is_rejected(group: str) -> None:
    with pytest.raises(ValueError, match=rf"^{group}\.foo=1: "):
        check({group: {"foo": 1}})
    check({"backbone": {"name": "resnet18", "weights": None}})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"evaluator": {"mine": "my_parts.Mine"}}, ["evaluator=", "'evaluators'"]),
        ({"evaluators": {"mine": 5}}, ["evaluators.mine", "5"]),
        ({"callbacks": {"mine": 5}}, ["callbacks.mine", "5"]),
        ({"sections": ["my_parts.Mine"]}, ["sections=", "my_parts.Mine"]),
        ({"logger": {"trackers": {"mine": True}}}, ["logger.trackers.mine", "True"]),
    ],
)
def test_unknown_groups_and_parts_of_another_type_are_rejected(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match="^" + ".*".join(map(re.escape, words))):
        check(config)
    check({"evaluators": {"mine": {"_target_": "collections.Counter"}}})


def test_schema_lists_all_crop_modes_and_corruptions() -> None:
    eval_modes, eval_corruptions = (
        get_args(get_args(SCHEMA[f"crop.{name}"])[0]) for name in ("eval_modes", "eval_corruptions")
    )
    assert eval_modes == get_args(CropMode)
    assert set(eval_corruptions) == set(CORRUPTIONS)


def test_further_arguments_of_a_library_class_are_accepted() -> None:
    logger = {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": ".", "max_queue": 5}
    check({"logger": {"lightning": {"tensorboard": logger}}})
    hash_head = {"_target_": "fashion_lsh.training.hash_head.HashHead", "max_queue": 5}
    with pytest.raises(ValueError, match=r"^hash\.max_queue=5: "):
        check({"hash": hash_head})
