"""Offline wandb runs, read back from the file that a later sync would send."""

import json
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

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.evaluation.protocol import Pictures
from fashion_lsh.report import dashboard
from fashion_lsh.report.dashboard import publish, tracked
from fashion_lsh.report.sheets import Tile
from fashion_lsh.retrieval.encoding import Encoded

CONFIG: dict[str, Any] = {
    "name": "main",
    "logger": {"project": "fashion-lsh", "tags": ["autumn"]},
    "backbone": {"name": "resnet18"},
    "data": {"source": "folder"},
    "seed": 3,
}
CATEGORIES = ["bag", "coat", "hat"]
MASSES = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.5, 0.4], [0.3, 0.4, 0.3], [0.2, 0.7, 0.1]]
LABELS = ["bag", "coat", "coat", "bag", "coat"]  # there is no hat


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder; all that wandb writes stays below it."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    path = tmp_path / "0a1b2c3d"
    path.mkdir()
    return path


def chunks(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and payload of each piece of a LevelDB log: a header of 7 bytes, none across the end of a 32 KiB block."""
    place = 7  # after the mark of a wandb file
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        if place + 7 + size > len(content):  # it is still being written
            return
        yield kind, content[place + 7 : place + 7 + size]
        place += 7 + size


def records(path: Path) -> dict[str, list[Any]]:
    """What stands in a run's file, by kind."""
    found, held = defaultdict(list), b""
    for kind, payload in chunks(path.read_bytes()):
        held += payload
        if kind in (1, 4):  # whole, or the last piece
            record, held = proto.Record.FromString(held), b""
            found[record.WhichOneof("record_type")].append(getattr(record, record.WhichOneof("record_type")))
    return found


def logged(folder: Path) -> dict[str, list[Any]]:
    """All records of the one offline run below `folder`; its file is whole some time after the run has ended."""
    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    end = time.monotonic() + 20
    while "exit" not in (found := records(path)):
        assert time.monotonic() < end, f"the run did not end: it holds {dict(found)}"
        time.sleep(0.02)
    return found


def summary(folder: Path) -> dict[str, Any]:
    updates = [item for record in logged(folder)["summary"] for item in record.update]
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}


def queries() -> Pictures:
    ids = [str(number) for number in range(5)]
    catalogue = Catalogue.of({"id": ids, "picture": ids, "category": LABELS})
    masses = np.array(MASSES, dtype=np.float32)
    return Pictures(catalogue, Encoded(masses, None, masses), {})


def tile(shade: int, caption: str = "", mark: str = "") -> Tile:
    return Tile(np.full((6, 8, 3), shade, np.uint8), caption, mark)


SHEET = [
    [tile(1, "is bag"), tile(2, "seen as bag", "same category"), tile(3, "bag", "same item"), tile(4, "hat")],
    [tile(5, "is coat"), tile(6, "seen as bag", "other category")],
]


def test_a_run_is_open_in_its_block_and_ended_after_it(folder: Path) -> None:
    with tracked(folder, CONFIG) as run:
        assert wandb.run is run
        assert run is not None
        assert run.offline
    assert wandb.run is None
    [begun, *_], [end] = logged(folder)["run"], logged(folder)["exit"]
    assert (begun.project, begun.display_name, begun.run_group) == ("fashion-lsh", "main-0a1b2c3d", "main")
    assert list(begun.tags) == ["autumn", "resnet18", "folder"]
    assert {item.key: json.loads(item.value_json) for item in begun.config.update}["seed"] == 3
    assert end.exit_code == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_raises_ends_its_run_as_failed(error: type[BaseException], folder: Path) -> None:
    with pytest.raises(error, match="in the third epoch"), tracked(folder, CONFIG):
        raise error("in the third epoch")
    assert wandb.run is None
    assert [end.exit_code for end in logged(folder)["exit"]] == [1]


def test_without_a_project_nothing_is_begun_and_nothing_written(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with tracked(folder, CONFIG | {"logger": {"project": None, "tags": []}}) as run:
        assert run is None
        assert wandb.run is None
        publish(run, {"query/accuracy": 1.0}, queries(), CATEGORIES, SHEET)
    assert list(folder.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("variable", "logged_in", "mode"),
    [(None, True, "online"), (None, False, "offline"), ("", False, "offline"), ("disabled", True, "disabled")],
)
def test_a_run_is_online_where_logged_in_unless_the_mode_is_set(
    variable: str | None, logged_in: bool, mode: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[dict[str, Any]] = []
    monkeypatch.delenv("WANDB_MODE")
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr(wandb, "login", lambda **_: logged_in)
    monkeypatch.setattr(wandb, "init", lambda **options: begun.append(options) or SimpleNamespace())
    with tracked(folder, CONFIG):
        pass
    assert [options["mode"] for options in begun] == [mode]


def test_whether_one_is_logged_in_is_asked_without_a_prompt_and_a_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(folder.parent))
    with tracked(folder, CONFIG) as run:
        assert run is not None
        assert run.offline


def published(folder: Path) -> Path:
    """Publish, and give the folder of the tables it wrote."""
    with tracked(folder, CONFIG) as run:
        publish(run, {"query/accuracy": 0.6, "query/item/recall@10": 0.25}, queries(), CATEGORIES, SHEET)
    [media] = folder.glob("wandb/offline-run-*/files/media/table/query")
    return media


def table(media: Path, name: str) -> dict[str, Any]:
    [path] = media.glob(f"{name}_*.json")
    return dict(json.loads(path.read_text()))


def test_what_is_published_is_in_the_run(folder: Path) -> None:
    media = published(folder)
    assert summary(folder).items() >= {"query/accuracy": 0.6, "query/item/recall@10": 0.25}.items()
    matrix = table(media, "confusion_matrix_table")
    counts = {(true, seen): count for true, seen, count in matrix["data"] if count}
    assert matrix["columns"] == ["Actual", "Predicted", "nPredictions"]
    assert counts == {("bag", "bag"): 1, ("bag", "coat"): 1, ("coat", "bag"): 1, ("coat", "coat"): 2}
    found = table(media, "retrieved")
    assert found["columns"] == ["query", "crop", "hit 1", "hit 2"]
    assert [[cell is None for cell in row] for row in found["data"]] == [[False] * 4, [False, False, True, True]]
    history = {item.key or item.nested_key[0] for record in logged(folder)["history"] for item in record.item}
    assert {"query/confusion_matrix_table", "query/pr_curve_table", "query/retrieved"} <= history
    staged = [path for path in folder.parent.glob("WANDB_DATA_DIR/**/*") if path.is_file()]
    assert len([path for path in staged if path.read_bytes().startswith(b"\x89PNG")]) == 6
    captions = " ".join(path.read_text() for path in staged if b'"caption"' in path.read_bytes())
    for caption in ("is bag", "seen as bag same category", "bag same item", "hat", "seen as bag other category"):
        assert f'"caption":"{caption}"' in captions.replace('": "', '":"')


def test_the_curves_are_the_best_precision_from_each_recall_on(folder: Path) -> None:
    curves = table(published(folder), "pr_curve_table")
    assert curves["columns"] == ["step", "lineKey", "lineVal"]
    found: dict[str, list[float]] = {name: [] for name in CATEGORIES}
    for _, name, value in curves["data"]:
        found[name].append(value)
    assert [step for step, *_ in curves["data"][:101]] == pytest.approx([place / 100 for place in range(101)])
    for number, name in enumerate(CATEGORIES):
        ranked = sorted(range(5), key=lambda row: -MASSES[row][number])
        right = [LABELS[row] == name for row in ranked]
        points = [(sum(right[:n]) / max(1, sum(right)), sum(right[:n]) / n) for n in range(1, 6)]
        for place in range(101):
            wanted = max((precision for recall, precision in points if recall >= place / 100), default=0)
            assert found[name][place] == pytest.approx(wanted)


def test_a_failure_while_publishing_ends_the_run_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "_pr_curve", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        published(folder)
    assert wandb.run is None
