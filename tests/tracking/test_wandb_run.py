"""Offline wandb runs, read from the file that `wandb sync` uploads."""

import json
import os
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wandb
from wandb.proto import wandb_internal_pb2 as proto

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.metrics.results import Result, ResultTable
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.report.tiles import Tile, column_titles
from fashion_lsh.tracking import wandb_run
from fashion_lsh.tracking.track import track_run
from fashion_lsh.tracking.wandb_run import track_wandb_run

CONFIG: dict[str, Any] = {
    "name": "main",
    "logger": {"project": "fashion-lsh", "tags": ["autumn"]},
    "backbone": {"name": "resnet18"},
    "hash": {"loss": "csq"},
    "data": {"source": "folder"},
    "seed": 3,
    "overwrite": False,
}
CATEGORIES = ["bag", "coat", "hat"]
PROBABILITIES = [[0.7, 0.2, 0.1], [0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.3, 0.4, 0.3], [0.2, 0.1, 0.7]]
LABELS = ["bag", "coat", "coat", "bag", "coat"]  # no query is a hat, but one is predicted as hat

SEARCH_OF_RUN = ("rerank 1000", "1 list")
RESULTS = ResultTable(
    [
        Result("accuracy", 0.6, method="classifier"),
        Result("recall", 0.25, k=10, method="rerank 1000", scope="1 list", relevance="item"),
    ],
    SEARCH_OF_RUN,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run folder; the user folders of wandb are redirected to its parent folder."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    path = tmp_path / "0a1b2c3d"
    path.mkdir()
    return path


def chunks(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each LevelDB log record: a 7-byte header, never across the end of a 32 KiB block."""
    offset = 7  # after the header of a wandb file
    while offset + 7 <= len(content):
        if 32768 - offset % 32768 < 7:
            offset += 32768 - offset % 32768
            continue
        _, size, chunk_type = struct.unpack_from("<IHB", content, offset)
        if offset + 7 + size > len(content):  # still being written
            return
        yield chunk_type, content[offset + 7 : offset + 7 + size]
        offset += 7 + size


def read_records(path: Path) -> dict[str, list[Any]]:
    """Read the records of a run's file, by type."""
    records_by_type, buffer = defaultdict(list), b""
    for chunk_type, payload in chunks(path.read_bytes()):
        buffer += payload
        if chunk_type in (1, 4):  # full or last fragment
            record, buffer = proto.Record.FromString(buffer), b""
            records_by_type[record.WhichOneof("record_type")].append(getattr(record, record.WhichOneof("record_type")))
    return records_by_type


def logged_records(folder: Path) -> dict[str, list[Any]]:
    """Read the records of the only offline run below `folder`, by type, as soon as its file is complete."""
    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    end = time.monotonic() + 20
    while "exit" not in (records_by_type := read_records(path)):
        assert time.monotonic() < end, f"no exit record in {path}: {dict(records_by_type)}"
        time.sleep(0.02)
    return records_by_type


def summary(folder: Path) -> dict[str, Any]:
    updates = [item for record in logged_records(folder)["summary"] for item in record.update]
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}


def queries() -> EncodedSplit:
    ids = [str(number) for number in range(5)]
    catalogue = Catalogue.from_columns({"id": ids, "image": ids, "category": LABELS})
    probabilities = np.array(PROBABILITIES, dtype=np.float32)
    return EncodedSplit(catalogue, Encoded(probabilities, None, probabilities), {})


def tile(shade: int, caption: str = "", mark: str = "", box: list[float] | None = None) -> Tile:
    corners = None if box is None else np.array(box, dtype=np.float32)
    return Tile(np.full((6, 8, 3), shade, np.uint8), caption, mark, corners)


SHEET = [
    [
        tile(1, "true: bag", box=[1, 2, 6.5, 5]),
        tile(2, "pred: bag", "same category"),
        tile(3, "bag", "same item"),
        tile(4, "hat"),
    ],
    [tile(5, "true: coat", box=[np.nan] * 4), tile(6, "pred: bag", "other category")],
]


def test_a_wandb_run_is_open_inside_the_block_and_finished_after_it(folder: Path) -> None:
    with track_wandb_run(folder, CONFIG) as run:
        assert run is not None
        assert wandb.run is run.run
        assert run.offline
    assert wandb.run is None
    [begun, *_], [end] = logged_records(folder)["run"], logged_records(folder)["exit"]
    assert (begun.project, begun.display_name, begun.run_group) == ("fashion-lsh", "main-0a1b2c3d", "main")
    assert list(begun.tags) == ["autumn", "resnet18", "folder"]
    assert {item.key: json.loads(item.value_json) for item in begun.config.update}["seed"] == 3
    assert end.exit_code == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_finishes_the_run_as_failed(error: type[BaseException], folder: Path) -> None:
    with pytest.raises(error, match="in the third epoch"), track_wandb_run(folder, CONFIG):
        raise error("in the third epoch")
    assert wandb.run is None
    assert [end.exit_code for end in logged_records(folder)["exit"]] == [1]


def test_nothing_is_logged_if_the_project_is_null(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with track_run(folder, CONFIG | {"logger": {"project": None, "tags": [], "trackers": {}}}) as run:
        assert run.trackers == {}
        assert run.loggers() == []
        run.log({"classifier/val/loss": 1.0})
        assert wandb.run is None
        run.publish(RESULTS, queries(), CATEGORIES, SHEET)
    assert list(folder.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("variable", "logged_in", "mode"),
    [(None, True, "online"), (None, False, "offline"), ("", False, "offline"), ("disabled", True, "disabled")],
)
def test_a_run_is_online_when_logged_in_unless_wandb_mode_is_set(
    variable: str | None, logged_in: bool, mode: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[dict[str, Any]] = []
    monkeypatch.delenv("WANDB_MODE")
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr(wandb, "login", lambda **_: logged_in)
    monkeypatch.setattr(wandb, "init", lambda **options: begun.append(options) or SimpleNamespace())
    with track_wandb_run(folder, CONFIG):
        pass
    assert [options["mode"] for options in begun] == [mode]


def test_the_login_is_checked_without_prompt_and_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(folder.parent))
    with track_wandb_run(folder, CONFIG) as run:
        assert run is not None
        assert run.offline


def test_an_unreachable_wandb_falls_back_to_offline(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original_init = wandb.init

    def unreachable(mode: str, **options: Any) -> Any:
        if mode == "online":
            raise wandb.errors.CommError("no such host\nConsider increasing the init_timeout setting")
        return original_init(mode=mode, **options)

    monkeypatch.setattr(wandb, "init", unreachable)
    monkeypatch.setenv("WANDB_MODE", "online")
    with track_wandb_run(folder, CONFIG) as run:
        assert run.offline
    assert list(folder.glob("wandb/offline-run-*"))
    assert "(no such host)" in caplog.text


def publish_results(folder: Path) -> Path:
    """Publish results, and return the folder of the written tables."""
    with track_wandb_run(folder, CONFIG) as run:
        run.publish(RESULTS, queries(), CATEGORIES, SHEET)
    [media] = folder.glob("wandb/offline-run-*/files/media/table/query")
    return media


def read_table(media: Path, name: str) -> dict[str, Any]:
    [path] = media.glob(f"{name}_*.json")
    return dict(json.loads(path.read_text()))


def test_published_results_are_in_the_run(folder: Path) -> None:
    media = publish_results(folder)
    assert summary(folder).items() >= {"classifier/accuracy": 0.6, "search/item/recall@10": 0.25}.items()
    matrix = read_table(media, "confusion_matrix_table")
    counts = {(true, predicted): count for true, predicted, count in matrix["data"] if count}
    assert matrix["columns"] == ["Actual", "Predicted", "nPredictions"]
    assert counts == {("bag", "bag"): 1, ("bag", "coat"): 1, ("coat", "bag"): 1, ("coat", "coat"): 1,
                      ("coat", "hat"): 1}  # fmt: skip
    history = {item.key or item.nested_key[0] for record in logged_records(folder)["history"] for item in record.item}
    assert {f"query/{name}" for name in ("confusion_matrix_table", "pr_curve_table", "retrieved", "sheet")} <= history


def test_unseen_categories_have_no_confusion_matrix(folder: Path) -> None:
    with track_wandb_run(folder, CONFIG) as run:
        run.publish(ResultTable([], SEARCH_OF_RUN), queries(), ["belt", "sock", "tie"], SHEET)
    [media] = folder.glob("wandb/offline-run-*/files/media/table/query")
    assert read_table(media, "retrieved")
    assert not [path for name in ("confusion", "pr_curve") for path in media.glob(f"{name}*")]


def test_queries_are_published_with_boxes_and_hits_with_captions(folder: Path) -> None:
    retrieved = read_table(publish_results(folder), "retrieved")
    assert retrieved["columns"] == column_titles(2)
    assert [[cell is None for cell in row] for row in retrieved["data"]] == [[False] * 4, [False, False, True, True]]
    [first, second] = read_artifact(folder, "query/retrieved.table.json")["data"]
    assert [cell["caption"] for cell in first] == ["true: bag", "pred: bag same category", "bag same item", "hat"]
    assert second[1]["caption"] == "pred: bag other category"
    [box] = first[0]["boxes"]["annotated"]
    assert box["position"] == {"minX": 1, "minY": 2, "maxX": 6.5, "maxY": 5}
    assert (box["domain"], box["box_caption"]) == ("pixel", "true: bag")
    assert [cell for cell in first[1:] + second if cell and "boxes" in cell] == []


def read_artifact(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of an artifact, from the path used by `wandb sync`."""
    files = {
        file.path: file.local_path for entry in logged_records(folder)["artifact"] for file in entry.manifest.contents
    }
    return dict(json.loads(Path(files[name]).read_text()))


def test_all_images_are_in_the_run_folder(folder: Path) -> None:
    publish_results(folder)
    staged = [Path(file.local_path) for entry in logged_records(folder)["artifact"] for file in entry.manifest.contents]
    assert sum(path.read_bytes().startswith(b"\x89PNG") for path in staged) == 6
    assert all(path.is_relative_to(folder) for path in staged)
    [sheet] = folder.glob("wandb/offline-run-*/files/media/images/query/sheet_*.png")
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert not (folder.parent / "XDG_DATA_HOME").exists()
    assert "WANDB_DATA_DIR" not in os.environ


def test_wandb_data_dir_set_by_the_user_is_unchanged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = folder.parent / "chosen"
    monkeypatch.setenv("WANDB_DATA_DIR", str(chosen))
    publish_results(folder)
    assert list(chosen.glob("artifacts/staging/*"))
    assert not (folder / "wandb" / "data").exists()
    assert os.environ["WANDB_DATA_DIR"] == str(chosen)


def log_training(folder: Path) -> None:
    """Log two stages as Lightning does, with steps counted from 0 in each stage."""
    with track_wandb_run(folder, CONFIG) as tracker:
        [logger] = tracker.loggers()
        for stage, accuracies in (("classifier", [0.3, 0.6, 0.5]), ("hash_head", [0.7])):
            logger.log_hyperparams({"backbone": "resnet18", "lr": 0.1})
            for epoch, accuracy in enumerate(accuracies):
                values = {
                    "train/loss": 2.0,
                    "val/accuracy": accuracy,
                    "val/macro_f1": accuracy,
                    "val/loss": 1 - accuracy,
                }
                row = {f"{stage}/{name}": value for name, value in values.items()}
                logger.log_metrics(row | {"epoch": epoch}, step=10 * epoch + 9)


def test_each_stage_is_plotted_against_its_own_steps(folder: Path) -> None:
    log_training(folder)
    rows = [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.item}
            for record in logged_records(folder)["history"]]  # fmt: skip
    steps = [(name, row[name]) for row in rows for name in row if name.endswith("/step")]
    assert steps == [("classifier/step", 9), ("classifier/step", 19), ("classifier/step", 29), ("hash_head/step", 9)]
    assert not {"epoch", "trainer/global_step"} & {name for row in rows for name in row}
    defined = {metric.name or metric.glob_name: metric for metric in logged_records(folder)["metric"]}
    for stage in ("classifier", "hash_head"):
        for name in ("*", "val/accuracy", "val/macro_f1", "val/loss"):
            assert defined[f"{stage}/{name}"].step_metric == f"{stage}/step"
        assert all(defined[f"{stage}/{name}"].options.hidden for name in ("step", "epoch"))


def test_the_run_config_is_not_overwritten_by_stage_hyperparameters(folder: Path) -> None:
    log_training(folder)
    entries = [
        *logged_records(folder)["run"][0].config.update,
        *(e for record in logged_records(folder)["config"] for e in record.update),
    ]
    logged_all = {entry.key or entry.nested_key[0]: json.loads(entry.value_json) for entry in entries}
    logged_config = {name: value for name, value in logged_all.items() if not name.startswith("_")}
    assert logged_config == CONFIG | {"method": "csq"}  # the workspace groups runs by these settings


def test_the_summary_has_the_best_epoch_of_each_stage(folder: Path) -> None:
    log_training(folder)
    logged_summary = summary(folder)
    best = {name: logged_summary[f"classifier/val/{name}"] for name in ("accuracy", "macro_f1", "loss")}
    assert best == {"accuracy": {"max": 0.6}, "macro_f1": {"max": 0.6}, "loss": {"min": 0.4}}
    assert logged_summary["hash_head/val/accuracy"] == {"max": 0.7}
    assert logged_summary["hash_head/train/loss"] == 2.0


def test_pr_curves_are_interpolated_precision(folder: Path) -> None:
    curves = read_table(publish_results(folder), "pr_curve_table")
    assert curves["columns"] == ["step", "lineKey", "lineVal"]
    precisions: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    for _, name, value in curves["data"]:
        precisions[name].append(value)
    assert [step for step, *_ in curves["data"][:101]] == pytest.approx([index / 100 for index in range(101)])
    for number, name in enumerate(CATEGORIES):
        ranked = sorted(range(5), key=lambda row: -PROBABILITIES[row][number])
        correct = [LABELS[row] == name for row in ranked]
        points = [(sum(correct[:n]) / max(1, sum(correct)), sum(correct[:n]) / n) for n in range(1, 6)]
        for index in range(101):
            expected = max((precision for recall, precision in points if recall >= index / 100), default=0)
            assert precisions[name][index] == pytest.approx(expected)


def test_a_failure_while_publishing_finishes_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_run, "_pr_curve", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish_results(folder)
    assert wandb.run is None
