"""Settings are held against the constructors they are for; a refusal names key and value, and says what is wanted."""

import re
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.evaluation.crop_modes import Crop
from fashion_lsh.evaluation.robustness import CORRUPTIONS
from fashion_lsh.runs.config import PLAIN, check, meant, resolve, targets
from fashion_lsh.search.policy import Search
from fashion_lsh.training.classifier import Classifier

OPTIM = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1}
CLASSIFIER = {
    "_target_": "fashion_lsh.training.classifier.Classifier", "backbone": "resnet18", "image_size": 64, "margin": 0.1,
    "frozen": False, "epochs": 4, "lr_factor": 1.0, "head_factor": 1.0, "label_smoothing": 0.1,
    "optim": OPTIM, "seed": 0,
}  # fmt: skip
CHOICE = {"_target_": "fashion_lsh.data.detections.BoxSelector", "select": "given", "min_score": 0.3, "min_size": 8.0,
          "fallback": "whole"}  # fmt: skip
DATA = {
    "_target_": "fashion_lsh.data.datamodule.GarmentData", "source": "folder", "root": None, "categories": None,
    "sources": None, "crop": "whole", "box_selector": CHOICE, "margin": 0.1, "image_size": 64, "jitter": 0.1,
    "min_crop_area": 1.0, "ratios": {"train": 0.8, "val": 0.2}, "gallery": "train", "leaks": "refuse", "split_seed": 0,
    "batch_size": 64, "workers": 1, "samples_per_epoch": None, "balanced": False, "seed": 0,
}  # fmt: skip
SEARCH = {"_target_": "fashion_lsh.search.searcher.Search", "distance": "hamming", "probes": 1, "shortlist": 200}
SETTINGS = {"seed": 0, "classifier": CLASSIFIER, "data": DATA, "search": SEARCH, "hash": None}


def changed(key: str, value: Any) -> dict[str, Any]:
    """SETTINGS with one value, named as on the command line, in place of another."""

    def walk(node: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
        first, *rest = names
        return {**node, first: walk(node[first], rest) if rest else value}

    return walk(SETTINGS, key.split("."))


GOOD = [
    ("classifier.optim.lr", 1),  # an integer is a number
    ("classifier.optim.weight_decay", 0),
    ("data.root", "pictures"),
    ("data.categories", ["dress", "shirt"]),
    ("data.samples_per_epoch", 100),
    ("data.balanced", True),
    ("search.probes", 0.95),
    ("search.probes", "all"),
    ("search.probes", 3),
]
BAD = [
    ("classifier.epochs", True),  # True is no number
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
    ("data.shares.val", "some"),
    ("search.probes", True),
    ("search.probes", "some"),
    ("search.distance", "hamming_distance"),
]
ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))


def test_good_settings_pass() -> None:
    check(SETTINGS)
    check({})


@pytest.mark.parametrize(("key", "value"), GOOD)
def test_a_value_of_the_wanted_type_passes(key: str, value: Any) -> None:
    check(changed(key, value))


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_refusal_names_the_key_as_it_is_typed_the_value_and_what_is_wanted(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(f'{key}={value!r}: ')}\w+.*[^.]$"):
        check(changed(key, value))


@settings(max_examples=40)
@given(ANYTHING)
def test_a_refusal_of_whatever_was_given_shows_it(value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        check(changed("classifier.epochs", value))
        return
    with pytest.raises(ValueError, match=r"^classifier\.epochs=") as refusal:
        check(changed("classifier.epochs", value))
    assert str(refusal.value).startswith(f"classifier.epochs={value!r}: ")


def test_all_that_a_choice_may_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"valid integer or .*valid number or .*'all'"):
        check(changed("search.probes", "some"))
    with pytest.raises(ValueError, match="'annotated', 'whole' or 'detected'"):
        check(changed("data.crop", "annotatd"))


@pytest.mark.parametrize("project", ["team/project", "a b?", "", "x" * 129])
def test_a_project_that_wandb_refuses_is_refused_before_the_run(project: str) -> None:
    with pytest.raises(ValueError, match=r"^logger\.project="):
        check({**SETTINGS, "logger": {"project": project}})
    check({**SETTINGS, "logger": {"project": "a project, of 2"}})


def test_a_bad_element_of_a_list_is_shown() -> None:
    with pytest.raises(ValueError, match=r"^data\.categories=7: "):
        check(changed("data.categories", ["dress", 7]))


@pytest.mark.parametrize("name", ["epoch", "optim.rate", "_epochs"])
def test_an_unknown_key_is_refused_with_those_there_are(name: str) -> None:
    typed = changed("classifier", {**CLASSIFIER, name: 3})
    if name.startswith("_"):
        check(typed)  # Hydra's own
        return
    with pytest.raises(ValueError, match=rf"^classifier\.{name}=3: Classifier takes no '{name}'; it takes .*'epochs'"):
        check(typed)


def test_a_key_that_is_missing_inside_a_value_is_named() -> None:
    optim = {name: value for name, value in OPTIM.items() if name != "warmup"}
    with pytest.raises(ValueError, match=r"^classifier\.optim\.warmup=.*: Field required$"):
        check(changed("classifier.optim", optim))


def test_all_constructors_are_found_however_deep_they_stand() -> None:
    deep = {"a": {"b": SEARCH, "c": {"_target_": "x.Y", "d": SEARCH}}, "e": [SEARCH], "f": None}
    assert [path for path, _ in targets(deep)] == ["a.b", "a.c", "a.c.d"]
    assert [path for path, _ in targets(SEARCH)] == [""]
    with pytest.raises(ValueError, match=r"^probes='x': "):
        check({**SEARCH, "probes": "x"})


def test_a_target_is_the_class_it_names() -> None:
    assert resolve(SEARCH["_target_"]) is Search  # type: ignore[arg-type]
    assert resolve(CLASSIFIER["_target_"]) is Classifier  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["fashion_lsh.nothing.X", "fashion_lsh.models.classifier.Clasifier", "Classifier"])
def test_a_target_that_is_not_there_is_refused_by_name(target: str) -> None:
    with pytest.raises(ValueError, match=rf"^_target_='{target}': .*; give a class or function by its full name"):
        check(changed("classifier._target_", target))


def test_what_an_experiment_says_of_learning_is_nothing_to_what_does_not_learn() -> None:
    layer = {"_target_": "fashion_lsh.training.hash_head.Hasher", "epochs": 4, "bits": 8}
    fixed = {"_target_": "fashion_lsh.models.baselines.LSH", "bits": 8}
    cases = ((None, None), ({"epochs": 4}, None), (layer, layer), ({**fixed, "epochs": 4, "item_weight": 0.5}, fixed),
             ({**fixed, "typo": 1}, {**fixed, "typo": 1}))  # fmt: skip
    for asked, wanted in cases:
        assert meant({"seed": 1, "hash": asked}) == {"seed": 1, "hash": wanted}


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"fresh": "no"}, "fresh='no'"), ({"seed": -1}, "seed=-1"), ({"name": None}, "name=None"),
     ({"backbone": {"weights": 5}}, "backbone.weights=5"), ({"logger": {"tags": "foo"}}, "logger.tags='foo'"),
     ({"trainer": {"patience": "two"}}, "trainer.patience='two'"),
     ({"trainer": {"limit_val_batches": 0}}, "trainer.limit_val_batches=0"),
     ({"trainer": {"precision": "banana"}}, "trainer.precision='banana'")],
)  # fmt: skip
def test_settings_that_go_to_no_constructor_are_held_to_their_types(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check(settings)


def test_a_refusal_names_the_key_that_is_typed_where_a_value_is_a_copy_of_it() -> None:
    unresolved = {"classifier": {"optim": "${optim}", "margin": "${crop.margin}"}, "crop": {"margin": "${wide}"}}
    with pytest.raises(ValueError, match=r"^optim\.lr=-1: "):
        check(changed("classifier.optim.lr", -1), unresolved)
    with pytest.raises(ValueError, match=r"^wide=-1: "):
        check(changed("classifier.margin", -1), unresolved)
    with pytest.raises(ValueError, match=r"^classifier\.epochs=0: "):
        check(changed("classifier.epochs", 0), unresolved)


@pytest.mark.parametrize(
    ("crop", "said"),
    [({"mode": "detected"}, "crop.mode='detected'"), ({"tested": ["whole", "detected_or_whole"]}, "crop.tested=")],
)
def test_found_crops_are_refused_where_nothing_finds_any(crop: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check({"crop": crop, "detector": None})
    check({"crop": crop, "detector": {"level": "garment"}})
    check({"crop": {"mode": "whole", "tested": ["annotated"]}, "detector": None})


@pytest.mark.parametrize(
    ("name", "value"), [("devices", 4), ("devices", [0, 1]), ("devices", "auto"), ("strategy", "ddp"), ("num_nodes", 2)]
)
def test_several_devices_are_refused_with_what_uses_them(name: str, value: Any) -> None:
    said = f"trainer.{name}={value!r}: a run takes one device: type the command once for each GPU"
    with pytest.raises(ValueError, match=rf"^{re.escape(said)}, .*CUDA_VISIBLE_DEVICES=1 .*, or sweep on one"):
        check({"trainer": {"devices": 1, name: value}})
    check({"trainer": {"devices": 1}})


@pytest.mark.parametrize("group", ["trainer", "backbone", "logger", "crop"])
def test_a_key_that_nothing_reads_is_refused(group: str) -> None:
    with pytest.raises(ValueError, match=rf"^{group}\.foo=1: {group} takes \["):
        check({group: {"foo": 1}})
    check({"backbone": {"name": "resnet18", "weights": None}})


def test_what_a_run_may_be_scored_with_is_what_there_is() -> None:
    tested, corrupted = (get_args(get_args(PLAIN[f"crop.{name}"])[0]) for name in ("tested", "corrupted"))
    assert tested == get_args(Crop)
    assert set(corrupted) == set(CORRUPTIONS)
