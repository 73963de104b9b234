"""A user's own classes, as in docs/extend.md, and runs that name them."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml

from fashion_lsh import GarmentData, HashHead, Run
from fashion_lsh.cli.report import main as report
from fashion_lsh.index.hits import Hits
from fashion_lsh.io.targets import ComponentError, create
from fashion_lsh.models.backbones import create_backbone
from fashion_lsh.models.checkpoints import load_model, save_model
from fashion_lsh.models.losses import create_loss
from fashion_lsh.runs.trackers import Trackers
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.training.callbacks import guard
from fashion_lsh.training.fitting import fit
from tests.cli.factories import SMALL, run_script
from tests.report.factories import read_queries
from tests.test_docs import ROOT, read_blocks

MakeData = Callable[..., GarmentData]
OWN_BACKBONE = "backbone.name={_target_:my_parts.TinyBackbone,width:8}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory with my_parts.py, which has the classes of docs/extend.md."""
    blocks = [block.text for block in read_blocks(ROOT / "docs/extend.md") if block.language == "python"]
    (tmp_path / "my_parts.py").write_text("\n\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    return tmp_path


def test_own_module_is_found_last_in_the_working_directory(folder: Path) -> None:
    backbone = create_backbone({"_target_": "my_parts.TinyBackbone", "width": 8})
    assert backbone(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 8)
    assert sys.path[-1] == str(folder)


def test_own_loss_transform_and_reranker_are_used() -> None:
    loss = create_loss("my_parts.MarginLoss", 8, 3, 0.0)
    assert loss(torch.full((2, 8), 2.0), torch.zeros(2, 3), torch.tensor([0, 1])) == pytest.approx(np.log(3))
    data = GarmentData("my_parts.Stripes", workers=0, transform={"_target_": "my_parts.GreySquare", "size": 20})
    assert data.categories == ["horizontal", "vertical"]
    images = next(iter(data.train_dataloader())).images
    assert ((images == 128).all(dim=1).sum(dim=(1, 2)) >= 20 * 20).all()
    policy = SearchPolicy(reranker="my_parts.CosineReranker")
    assert policy.label == "rerank 1000 CosineReranker, 1 list"
    queries, embeddings = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[2, 1, 0]]
    assert policy.own_reranker is not None
    candidates = Hits(np.array([[0, 1, 2]] * 3), np.zeros((3, 3), np.float32))
    hits = policy.own_reranker.rerank(queries, candidates, embeddings, 1)
    assert hits.rows.tolist() == [[2], [1], [0]]


def test_lightning_trains_own_backbone_without_run_folder(folder: Path) -> None:
    data = GarmentData("my_parts.Stripes", workers=0)
    module = HashHead("my_parts.TinyBackbone", data.categories, bits=8, loss="my_parts.MarginLoss")
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder
    )
    trainer.fit(module, data)
    trainer.save_checkpoint("head.ckpt")
    loaded = HashHead.load_from_checkpoint("head.ckpt", weights_only=True)
    assert loaded.hparams == module.hparams
    assert loaded.hparams["epochs"] == 1
    state = module.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("my_parts.Missing", ["my_parts.Missing", "AttributeError"]),
        ("no_such_module.Backbone", ["no_such_module", "ModuleNotFoundError"]),
        ("my_parts.MarginLoss", ["my_parts.MarginLoss", "Backbone"]),
        ("os.system", ["os.system", "Backbone"]),
        ({"_target_": "my_parts.TinyBackbone", "depth": 3}, ["depth", "width"]),
    ],
)
def test_own_class_that_does_not_fit_is_one_clear_error(spec: str, words: list[str]) -> None:
    with pytest.raises(ComponentError) as caught:
        create_backbone(spec)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("class TinyBackbone", "class OtherBackbone", ["my_parts.TinyBackbone", "AttributeError"]),
        ("width: int", "depth: int", ["my_parts.TinyBackbone", "'width'"]),
        ("from torch import Tensor, nn", "import no_such_library", ["my_parts.TinyBackbone", "no_such_library"]),
        (
            "        layers = [",
            "        raise KeyError('broken')\n        layers = [",
            ["my_parts.TinyBackbone", "broken"],
        ),
        ("feature_dim=width", "feature_dim=width + 1", ["weights do not fit", "HashHeadModel"]),
    ],
)
def test_checkpoint_of_a_changed_own_class_is_not_called_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, words: list[str]
) -> None:
    backbone = {"_target_": "my_parts.TinyBackbone", "width": 8}
    module = HashHead(backbone, ["coat", "dress"], bits=8, image_size=32)
    save_model(module.model, folder / "head.ckpt", module.hparams)
    code = (folder / "my_parts.py").read_text()
    assert before in code
    (folder / "my_parts.py").write_text(code.replace(before, after))
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    monkeypatch.delitem(sys.modules, "my_parts")
    with pytest.raises(ComponentError) as caught:
        load_model(folder / "head.ckpt", "cpu")
    assert all(word in str(caught.value) for word in ["head.ckpt", *words])
    assert "damaged" not in str(caught.value)


@pytest.mark.train
def test_received_run_executes_nothing(folder: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [OWN_BACKBONE, "hash.loss=my_parts.MarginLoss", "hash.bits=8", f"data.root={shapes}"]
    monkeypatch.syspath_prepend(str(folder))
    run_script("train.py", *SMALL, *settings, f"runs={folder / 'runs'}")
    assert Run("runs/latest").searcher().search(np.zeros((40, 40, 3), np.uint8), k=3).hits

    received = folder / "received"
    shutil.copytree((folder / "runs/latest").resolve(), received)
    config = (received / "config.yaml").read_text()
    (received / "config.yaml").write_text(config.replace("seed: 0", "seed: 1", 1))  # no longer as signed
    (folder / "my_parts.py").write_text((folder / "my_parts.py").read_text() + "\nopen('executed', 'w').close()\n")
    monkeypatch.delitem(sys.modules, "my_parts")
    with pytest.raises(ComponentError, match=r"my_parts\.\w+.*trust"):
        Run(received).searcher()
    assert not (folder / "executed").exists()
    Run(received, trust=True).searcher()
    assert (folder / "executed").exists()

    monkeypatch.delitem(sys.modules, "my_parts")
    (folder / "my_parts.py").unlink()
    with pytest.raises(ComponentError, match=r"hash_head\.ckpt.*my_parts") as caught:
        Run("runs/latest").model()
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("target", ["fashion_lsh.io.files.os", "fashion_lsh.io.files.os.system", "os.system"])
def test_received_config_cannot_name_functions_of_libraries(folder: Path, target: str) -> None:
    run = folder / "run"
    run.mkdir()
    (run / "config.yaml").write_text(
        "{overwrite: false, backbone: {}, data: {}, hash: null, search: {_target_: " + target + "}}"
    )
    with pytest.raises(ComponentError, match=r"config\.yaml|_target_"):
        _ = Run(run).policy


OWN_PARTS = ["+evaluators.lists._target_=my_parts.ListSizes", "+logger.trackers.print=my_parts.PrintTracker",
             "+sections.low_confidence={_target_: my_parts.LowConfidence, count: 3}"]  # fmt: skip
FAILING = """
class Broken:
    def __call__(self, *_): raise KeyError("no such column")

class BrokenTracker:
    def loggers(self): raise OSError("no connection")
    def log(self, row): raise AssertionError("not called after a failure")
    def publish(self, *_): raise AssertionError("not called after a failure")

class BrokenCallback(pl.Callback):
    def on_train_epoch_start(self, *_): raise RuntimeError("no memory")
    def on_train_epoch_end(self, *_): raise AssertionError("not called after a failure")
"""


@pytest.mark.train
def test_own_evaluator_section_and_tracker_are_used(folder: Path, shapes: Path) -> None:
    printed = run_here("train", *SMALL, f"data.root={shapes}", f"runs={folder / 'runs'}", "hash.bits=8", *OWN_PARTS)
    run = Run(folder / "runs/latest")
    [row] = run.result_file.results.select(method="lists")
    assert (row.metric, row.split) == ("largest_list", "gallery")
    assert 1 / 3 <= row.value <= 1
    assert f"'lists/gallery/largest_list': {row.value}" in printed  # printed by the tracker
    assert "'classifier/val/accuracy'" in printed
    report = (run.path / "report/report.md").read_text()
    assert "## Low confidence\n" in report
    confidences = sorted(read_queries(run)["confidence"].to_pylist())[:3]
    section = report.partition("## Low confidence\n")[2].partition("\n## ")[0]
    assert [f"{value:.3f}" in section for value in confidences] == [True] * 3


@pytest.mark.train
def test_failing_own_parts_are_named_and_all_else_is_complete(folder: Path, shapes: Path) -> None:
    with (folder / "my_parts.py").open("a") as file:
        file.write(FAILING)
    parts = [f"+{group}.bad._target_=my_parts.Broken" for group in ("evaluators", "sections")]
    parts += ["+logger.trackers.bad=my_parts.BrokenTracker", "+callbacks.bad._target_=my_parts.BrokenCallback"]
    words = [f"data.root={shapes}", f"runs={folder / 'runs'}", "hash.bits=8"]
    printed = run_here("train", *SMALL, *words, *OWN_PARTS, *parts)
    for text in ("evaluators.bad failed (KeyError: 'no such column')", "sections.bad failed (KeyError",
                 "logger.trackers.bad failed (OSError: no connection)",
                 "callbacks.bad.on_train_epoch_start failed (RuntimeError: no memory)"):  # fmt: skip
        assert text in printed
    assert "not called after a failure" not in printed
    run = Run(folder / "runs/latest")
    results = run.result_file.results
    assert results.select(method="lists")
    assert results.value("search", "map", 100, relevance="category") is not None
    report = (run.path / "report/report.md").read_text()
    assert "sections.bad failed" in report
    assert "## Low confidence\n" in report


def test_further_failures_of_own_parts_are_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Loggers:
        def loggers(self) -> list[str]:
            return ["a logger"]

    class States(pl.Callback):
        def state_dict(self) -> dict[str, int]:
            raise OSError("no state")

    assert Trackers({"logger.trackers.names": Loggers()}).loggers() == []  # type: ignore[dict-item]
    assert guard(States(), "callbacks.states").state_dict() == {}
    for text in ("logger.trackers.names failed (TypeError: loggers() returned 'a logger'",
                 "callbacks.states.state_dict failed (OSError: no state)"):  # fmt: skip
        assert text in caplog.text


SECTIONS = """
from fashion_lsh.report.blocks import Table, Text

class NoText:
    def __call__(self, run_data): return [Text(None)]

class NoRows:
    def __call__(self, run_data): return [Table(["a"], 5)]

class Changes:
    def __call__(self, run_data):
        run_data.config.clear()
        return [Text("changed")]
"""


def test_sections_with_wrong_contents_are_named_and_the_report_is_complete(
    folder: Path, make_run: Callable[..., Run]
) -> None:
    (folder / "my_sections.py").write_text(SECTIONS)
    parts = {name: {"_target_": f"my_sections.{name}"} for name in ("NoText", "NoRows", "Changes")}
    run = make_run()
    config = yaml.safe_load((run.path / "config.yaml").read_text()) | {"sections": parts}
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))  # no longer as signed
    assert report([str(run.path)]) == 0
    text = (run.path / "report/report.md").read_text()
    assert text.count("--trust") == 3
    assert report([str(run.path), "--trust"]) == 0
    text = (run.path / "report/report.md").read_text()
    for name in ("NoText", "NoRows"):
        assert f"sections.{name} failed (" in text
    assert "## Changes\n\nchanged" in text
    assert "backbone.name" in text  # a setting of the run


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+evaluators.mine._target_=my_parts.Missing", ["my_parts.Missing"]),
        ("+evaluators.mine._target_=my_parts.LowConfidence", ["evaluators.mine", "searcher, data, query, gallery"]),
        ("+sections.mine._target_=my_parts.ListSizes", ["sections.mine", "run_data"]),
        ("+sections.mine={_target_: my_parts.LowConfidence, size: 3}", ["size", "count"]),
        ("+logger.trackers.mine=my_parts.ListSizes", ["my_parts.ListSizes", "Tracker"]),
        ("+callbacks.mine._target_=my_parts.ListSizes", ["my_parts.ListSizes", "Callback"]),
    ],
)
def test_part_that_does_not_fit_is_refused_before_training(
    folder: Path, shapes: Path, override: str, words: list[str]
) -> None:
    printed = run_here("train", *SMALL, f"data.root={shapes}", f"runs={folder / 'runs'}", override, status=1)
    assert all(word in printed for word in words), printed
    assert "epoch 1/" not in printed
    assert not list(folder.glob("runs/*/*/*.ckpt"))


def run_here(command: str, *words: str, status: int = 0) -> str:
    """Run a command in the working directory, in this process; return the output."""
    return run_script(command, *words, status=status, folder=Path.cwd())


@pytest.mark.train
def test_documented_drop_path_and_gradient_checkpointing(folder: Path, make_data: MakeData) -> None:
    [text] = [block.text for block in read_blocks(ROOT / "docs/backbones.md") if "DropPathEncoder" in block.text
              and block.language == "python"]  # fmt: skip
    (folder / "my_network.py").write_text(text)
    data = make_data()
    callback = create("my_network.PrepareNetwork", pl.Callback, {}, "callbacks.network", checkpointing=True)
    module = HashHead("my_network.DropPathEncoder", data.categories, image_size=data.image_size, epochs=1)
    network = module.model.backbone.network
    assert any(type(each).__name__ == "DropPath" and each.drop_prob > 0 for each in network.modules())
    model = fit(module, data, folder / "run", accelerator="cpu", callbacks=[callback], limit_train_batches=1)
    assert all(stage.grad_checkpointing for stage in network.stages)
    assert model(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).embedding.shape[0] == 2
