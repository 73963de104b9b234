"""Versions of components, and what reuses or refuses a stage of another version."""

import ast
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.io.targets import import_target
from fashion_lsh.runs import component_versions
from fashion_lsh.runs.component_versions import COMPONENTS, changed_components, code_version, digest, used_versions
from fashion_lsh.runs.stage_cache import initialise
from fashion_lsh.runs.training_run import TrainingRun
from tests.runs.factories import hash_head, set_key, write_finished_run
from tests.test_conf import CONF, compose_config

HASH_HEAD = "fashion_lsh.training.hash_head.HashHead"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Function that changes the source of a module of a copy of the package, and clears the caches."""
    folder = tmp_path / "fashion_lsh"
    for file in component_versions.PACKAGE_FOLDER.rglob("*.py"):
        copied = folder / file.relative_to(component_versions.PACKAGE_FOLDER)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(file.read_bytes())
    monkeypatch.setattr(component_versions, "PACKAGE_FOLDER", folder)

    def change(module: str, added: str) -> None:
        file = folder / f"{module}.py"
        file.write_text(file.read_text() + added)
        component_versions._tree.cache_clear()
        code_version.cache_clear()

    change("io/files", "")
    yield change
    component_versions._tree.cache_clear()
    code_version.cache_clear()


def test_digests_are_recorded() -> None:
    """If this test fails, run python -m fashion_lsh.runs.component_versions with --update or --same-results."""
    assert changed_components() == []


def test_every_target_of_a_run_is_a_component() -> None:
    configs = [compose_config(f"hash={file.stem}", "detector=small") for file in (CONF / "hash").glob("[!_]*.yaml")]
    named = {target for config in configs for target in component_versions._targets(config)}
    assert {target for target in named if target.startswith("fashion_lsh.")} == set(COMPONENTS)
    for target in COMPONENTS:
        assert import_target(target).__name__ in target
    assert used_versions(configs[0]).keys() <= set(COMPONENTS)
    assert all(version >= 1 for config in configs for version in used_versions(config).values())


@pytest.mark.parametrize(
    ("module", "changed"),
    [
        ("models/losses/csq", [HASH_HEAD]),
        ("models/hash_head", [HASH_HEAD]),
        ("training/fitting", [f"fashion_lsh.training.{name}" for name in (
            "detector.Detector", "classifier.Classifier", "hash_head.HashHead", "item_contrast.ItemContrast")]),
        ("search/rerank", ["fashion_lsh.search.policy.SearchPolicy"]),
        ("data/crops", ["fashion_lsh.data.datamodule.GarmentData", "fashion_lsh.data.detection_data.DetectionData"]),
        ("report/html", []),
    ],
)  # fmt: skip
def test_change_of_a_module_changes_its_components(
    module: str, changed: list[str], sources: Callable[[str, str], None]
) -> None:
    before, before_code = {name: digest(name) for name in COMPONENTS}, code_version()
    sources(module, "\n\n# a comment\n")
    assert ({name: digest(name) for name in COMPONENTS}, code_version()) == (before, before_code)
    sources(module, "\n\nADDED = 1\n")
    after = {name: digest(name) for name in COMPONENTS}
    assert [name for name in COMPONENTS if after[name] != before[name]] == changed
    assert (code_version() != before_code) == (not module.startswith("report"))


def test_code_version_is_not_read_as_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component_versions, "_digest", lambda modules: "15779176e432")
    code_version.cache_clear()
    with pytest.raises(ValueError, match="code-15779176e432"):
        float(code_version())
    code_version.cache_clear()


@given(st.sampled_from(["x + 1", "f(a, *b, c=3)", "[i for i in y if i]", "lambda: {1: 'a'}", "a if b else c"]))
def test_text_of_a_tree_does_not_depend_on_formatting(expression: str) -> None:
    one, other = (component_versions._text(ast.parse(text)) for text in (expression, f"(  {expression}  )  # note"))
    assert one == other
    assert one != component_versions._text(ast.parse(f"{expression}\npass"))


def test_stage_of_another_component_version_is_reused_only_with_cache_any(
    config: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = write_finished_run(config, data)
    monkeypatch.setattr(
        "fashion_lsh.runs.keys.used_versions", lambda settings: used_versions(settings) | {HASH_HEAD: 99}
    )
    run = TrainingRun.open(config, data)
    assert run.path != other.path
    initialise(hash_head(1), run)
    assert not (run.path / "hash_head.ckpt").exists()
    version = used_versions(config)[HASH_HEAD]
    assert f"{other.path} has version {version} of HashHead instead of 99" in caplog.text
    assert "cache=any" in caplog.text
    run = TrainingRun.open(set_key(config, "cache", "any"), data)
    initialise(hash_head(1), run)
    assert (run.path / "hash_head.ckpt").read_bytes() == (other.path / "hash_head.ckpt").read_bytes()


def test_environment_records_code_and_commit(config: dict[str, Any], data: GarmentData) -> None:
    environment = TrainingRun.open(config, data).read_json("environment.json")
    assert environment["code_version"] == code_version()
    assert {"commit", "own_code", "timm", "torch"} <= environment.keys()
