"""Every config file in conf/ can be composed, and the keys bind to the constructor in `_target_`."""

import os
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from fashion_lsh.cli.components import VECTORS
from fashion_lsh.data.detections import BoxSelector
from fashion_lsh.io.targets import bind, constructor_parameters, import_target, instantiate
from fashion_lsh.models.backbones import create_backbone
from fashion_lsh.runs.config import check, resolve_config, targets
from fashion_lsh.runs.keys import run_key, stage_keys

CONF = Path(__file__).parents[1] / "conf"
GROUP_OVERRIDES = [
    f"{file.parent.relative_to(CONF)}={file.stem}"
    for file in sorted(CONF.glob("*/*.yaml"))
    if not file.stem.startswith("_")
]
BACKBONES = [file.stem for file in sorted((CONF / "backbone").glob("[!_]*.yaml"))
             if file.stem not in (VECTORS, "timm", "torchvision", "own")]  # fmt: skip
REQUIRED_OVERRIDES = {  # keys without default
    "backbone=timm": ["backbone.name=convnext_tiny"], "backbone=torchvision": ["backbone.name=densenet121"],
    "backbone=own": ["backbone._target_=fashion_lsh.models.vector_backbone.VectorBackbone", "+backbone.feature_dim=4"],
}  # fmt: skip
RUNTIME_ARGUMENTS: dict[str, dict[str, Any]] = {
    "classifier": {"categories": ["a"]}, "hash": {"categories": ["a"]},
    "detector": {"classes": ["a"]}, "scenes": {"data": None},
    "logger.lightning.tensorboard": {"save_dir": "."},
}  # fmt: skip


def compose_config(*overrides: str, script: str = "train") -> dict[str, Any]:
    """Compose the config of train.py, or of evaluate.py for experiments that evaluate a run."""
    script = next(
        (_script_name(word.partition("=")[2]) for word in overrides if word.startswith("experiment=")), script
    )
    root = [] if any(word.startswith("data.root") for word in overrides) else ["data.root=/nowhere"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(script, [*overrides, *(root if script == "train" else ["run=/nowhere"])])
        return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


@pytest.mark.parametrize("override", GROUP_OVERRIDES)
def test_config_file_matches_its_constructor(override: str) -> None:
    config = compose_config(override, *REQUIRED_OVERRIDES.get(override, []))
    config = resolve_config(config) if override.startswith("backbone=") else config
    check(config)
    for path, node in targets(config):
        arguments = {name: value for name, value in node.items() if not name.startswith("_")}
        runtime_arguments = RUNTIME_ARGUMENTS.get(path, {})
        bind(import_target(node["_target_"]), runtime_arguments | arguments, path)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "resnet101"])
def test_name_of_a_backbone_config_is_a_network(name: str) -> None:
    backbone = compose_config(f"backbone={name}")["backbone"]
    assert backbone["name"] == name
    assert create_backbone(backbone["name"], 64).name == name


@pytest.mark.parametrize("file", sorted(CONF.glob("hydra/*/[!_]*.yaml")), ids=lambda file: file.stem)
def test_plugin_config_matches_its_constructor(file: Path) -> None:
    """Each launcher and sweeper is one that Hydra accepts, and gets the arguments in its file."""
    group = str(file.parent.relative_to(CONF))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"{group}={file.stem}"], return_hydra_config=True)
    node = cast(dict[str, Any], OmegaConf.to_container(cfg.hydra[file.parent.name], resolve=False))
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    plugin = import_target(node["_target_"])
    assert plugin in Plugins.instance().discover(Sweeper if "sweeper" in group else Launcher)
    bind(plugin, arguments, group)
    written = yaml.safe_load(file.read_text())
    written.pop("defaults", None)
    assert written.items() <= node.items()
    if file.stem == "optuna":
        parameters = constructor_parameters(plugin)
        assert {**arguments, "params": None} == {name: each.default for name, each in parameters.items()}


def test_jobs_of_submitit_local_have_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for variables, expected in (({}, "1"), ({"OMP_NUM_THREADS": "3"}, "3")):
        monkeypatch.setattr("os.environ", os.environ | variables)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", ["hydra/launcher=submitit_local"], return_hydra_config=True)
        assert expected == cfg.hydra.job.env_set.OMP_NUM_THREADS


def test_defaults_of_conf_and_constructors_are_equal() -> None:
    """Each value of the default config equals the default of its constructor, if the constructor has one."""
    config, num_compared = compose_config("backbone=resnet18", "detector=_base", "data.root=null"), 0
    for path, node in targets(config):
        for name, parameter in constructor_parameters(import_target(node["_target_"])).items():
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            if name not in node or default is parameter.empty:
                continue
            value = instantiate(node[name], BoxSelector) if name == "box_selector" else node[name]
            assert value == default, f"{path}.{name}"
            num_compared += 1
    assert num_compared > 50


def test_defaults_are_as_documented() -> None:
    config = compose_config()
    assert config["backbone"] == {"name": "resnet101", "weights": None, "frozen": False, "frozen_blocks": 0,
                                  "lr_factor": 1.0, "layer_decay": 1.0,
                                  "cached_views": "auto"}  # fmt: skip
    assert config["data"]["source"] == "shop_street"
    assert config["data"]["crop"] == "annotated"
    assert config["hash"]["bits"] == 48
    assert (config["search"]["distance"], config["search"]["nprobe"]) == ("rerank", 1)


def test_embeddings_have_the_backbone_of_vectors() -> None:
    assert compose_config("data=embeddings")["backbone"]["name"] == VECTORS
    assert compose_config("data=embeddings", "backbone=resnet18")["backbone"]["name"] == "resnet18"  # refused later


def test_unseen_categories_probe_all_lists() -> None:
    for overrides in ([], ["search=hamming"], ["hash=none"]):
        config = compose_config("split=unseen_categories", "split.unseen=[coat,dress]", *overrides)
        assert config["search"]["nprobe"] == "all"
        assert config["data"]["unseen"] == ["coat", "dress"]
    assert compose_config("split=unseen_categories", "search.nprobe=2")["search"]["nprobe"] == 2


def test_hash_none_ranks_by_euclidean_distance() -> None:
    assert compose_config("hash=none")["hash"] is None
    assert compose_config("hash=none")["search"]["distance"] == "euclidean"


@pytest.mark.parametrize("file", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda file: file.stem)
def test_experiment_file_is_short_and_contains_its_command(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) <= 15
    assert lines[1].startswith(("# python train.py", "# python evaluate.py"))
    assert f"experiment={file.stem}" in lines[1]


@pytest.mark.parametrize("name", BACKBONES)
def test_each_backbone_has_its_own_learning_rate_and_a_limited_budget(name: str) -> None:
    """The experiment includes neither resnet34 nor two of the EfficientNet-Lites: they have no rate."""
    if name in ("resnet34", "efficientnet_lite1", "efficientnet_lite2"):
        with pytest.raises(InterpolationKeyError, match="rates"):
            compose_config("experiment=backbones", f"backbone={name}")
        return
    config, rates_config = (
        compose_config(f"experiment={each}", f"backbone={name}") for each in ("backbones", "backbones_rates")
    )
    check(resolve_config(config))
    assert config["optim"]["lr"] == config["classifier"]["optim"]["lr"] == config["rates"][name]
    assert config["classifier"]["lr_factor"] == rates_config["classifier"]["lr_factor"] == 1
    assert (config["hash"]["optim"]["name"], config["hash"]["optim"]["lr"]) == ("adamw", 0.002)
    images = {each: config["data"]["samples_per_epoch"] * config[each]["epochs"] for each in ("classifier", "hash")}
    assert sum(images.values()) <= 40_000
    assert 3 * rates_config["data"]["samples_per_epoch"] * rates_config["classifier"]["epochs"] == images["classifier"]
    assert resolve_config(rates_config)["hash"] is None


def test_stability_reuses_stages_of_hash_layer() -> None:
    overrides = ["hash=softmax", "seed=1"]
    one, other = (
        resolve_config(compose_config(f"experiment={name}", *overrides)) for name in ("hash_layer", "stability")
    )
    assert stage_keys(one, "") == stage_keys(other, "")
    assert run_key(one, "") != run_key(other, "")  # stability also evaluates corrupted images


def test_methods_of_the_demo_share_a_classifier() -> None:
    one, other = (
        stage_keys(resolve_config(compose_config(f"experiment={name}")), "") for name in ("demo", "demo_items")
    )
    assert one["classifier"] == other["classifier"]
    assert one["hash_head"] != other["hash_head"]


def _script_name(experiment: str) -> str:
    """Script that runs an experiment, from the second line of the config file."""
    return (CONF / f"experiment/{experiment}.yaml").read_text().splitlines()[1].split()[2].removesuffix(".py")
