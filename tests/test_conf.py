"""Every choice in conf/ composes, and fits the constructor it names."""

import inspect
from pathlib import Path
from typing import Any, cast

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from fashion_lsh.models.backbones import BACKBONES
from fashion_lsh.runs.config import check, meant, resolve, targets
from fashion_lsh.runs.keys import run_key, stage_keys

CONF = Path(__file__).parents[1] / "conf"
CHOICES = [
    f"{file.parent.relative_to(CONF)}={file.stem}"
    for file in sorted(CONF.glob("*/*.yaml"))
    if not file.stem.startswith("_")
]
KNOWN_BY_DATA: dict[str, dict[str, Any]] = {
    "classifier": {"categories": ["a"]}, "hash": {"categories": ["a"]},
    "detector": {"classes": ["a"]}, "scenes": {"data": None},
}  # fmt: skip


def settings(*typed: str, script: str = "train") -> dict[str, Any]:
    """Compose the configuration of train.py, or of evaluate.py for an experiment of it, as the command line would."""
    script = next((_script(word.partition("=")[2]) for word in typed if word.startswith("experiment=")), script)
    root = [] if any(word.startswith("data.root") for word in typed) else ["data.root=/nowhere"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(script, [*typed, *(root if script == "train" else ["run=/nowhere"])])
        return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


@pytest.mark.parametrize("choice", CHOICES)
def test_choice_fits_its_constructor(choice: str) -> None:
    chosen = settings(choice)
    check(chosen)
    for path, node in targets(chosen):
        arguments = {name: value for name, value in node.items() if not name.startswith("_")}
        given = KNOWN_BY_DATA.get(path, {})
        inspect.signature(resolve(node["_target_"])).bind(**(given | arguments))


def test_every_backbone_has_its_choice() -> None:
    assert {file.stem for file in (CONF / "backbone").glob("[!_]*.yaml")} == set(BACKBONES)
    assert all(settings(f"backbone={name}")["backbone"]["name"] == name for name in BACKBONES)


def test_no_default_stands_in_conf_and_in_the_constructor() -> None:
    for path, node in targets(settings()):
        signature = inspect.signature(resolve(node["_target_"]))
        twice = [name for name in node if name in signature.parameters and _has_default(signature.parameters[name])]
        assert not twice, f"{path}: {twice} have a default in the constructor too"


def test_the_defaults_are_the_promised_ones() -> None:
    plain = settings()
    assert plain["backbone"] == {"name": "resnet101", "weights": None, "frozen": False, "lr_factor": 1.0}
    assert plain["data"]["source"] == "shop_street"
    assert plain["data"]["crop"] == "annotated"
    assert plain["hash"]["bits"] == 48
    assert (plain["search"]["distance"], plain["search"]["probes"]) == ("shortlist", 1)


def test_unseen_categories_are_searched_in_all_lists_in_any_way() -> None:
    for further in ([], ["search=hamming"], ["hash=none"]):
        chosen = settings("split=unseen_categories", "split.unseen=[coat,dress]", *further)
        assert chosen["search"]["probes"] == "all"
        assert chosen["data"]["unseen"] == ["coat", "dress"]
    assert settings("split=unseen_categories", "search.probes=2")["search"]["probes"] == 2


def test_hash_none_searches_embeddings() -> None:
    assert settings("hash=none")["hash"] is None
    assert settings("hash=none")["search"]["distance"] == "euclidean"


@pytest.mark.parametrize("file", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda file: file.stem)
def test_experiment_is_short_and_names_its_command(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) <= 15
    assert lines[1].startswith(("# python train.py", "# python evaluate.py"))
    assert f"experiment={file.stem}" in lines[1]


@pytest.mark.parametrize("name", BACKBONES)
def test_each_backbone_learns_at_its_own_rate_within_one_budget(name: str) -> None:
    """resnet34 is not among the compared: it has no rate."""
    if name == "resnet34":
        with pytest.raises(InterpolationKeyError, match="rates"):
            settings("experiment=backbones", f"backbone={name}")
        return
    final, tried = (settings(f"experiment={each}", f"backbone={name}") for each in ("backbones", "backbones_rates"))
    check(meant(final))
    assert final["optim"]["lr"] == final["classifier"]["optim"]["lr"] == final["rates"][name]
    assert final["classifier"]["lr_factor"] == tried["classifier"]["lr_factor"] == 1
    assert (final["hash"]["optim"]["name"], final["hash"]["optim"]["lr"]) == ("adamw", 0.002)
    pictures = {each: final["data"]["samples_per_epoch"] * final[each]["epochs"] for each in ("classifier", "hash")}
    assert sum(pictures.values()) <= 40_000
    assert 3 * tried["data"]["samples_per_epoch"] * tried["classifier"]["epochs"] == pictures["classifier"]
    assert meant(tried)["hash"] is None


def test_stability_stands_on_the_runs_of_the_hash_layer() -> None:
    words = ["hash=softmax", "seed=1"]
    one, other = (meant(settings(f"experiment={name}", *words)) for name in ("hash_layer", "stability"))
    assert stage_keys(one, "") == stage_keys(other, "")
    assert run_key(one, "") != run_key(other, "")  # spoilt pictures are scored, too


def _script(experiment: str) -> str:
    """Which script an experiment is for: its second line names it."""
    return (CONF / f"experiment/{experiment}.yaml").read_text().splitlines()[1].split()[2].removesuffix(".py")


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not inspect.Parameter.empty
