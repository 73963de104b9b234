"""Commands with crop=detected: a detector is trained first, and later stages use the detected boxes."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.cli import search
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.detections import NO_BOXES, Boxes, BoxSelector, Detections
from fashion_lsh.gallery import updates
from fashion_lsh.gallery.image_encoding import Cropper
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.runs.run import Run
from tests.cli.factories import DETECTOR, open_gallery, read_results, run_script, scores_without_times

pytestmark = pytest.mark.train

TWO_BOXES = Boxes(np.float32([[2, 2, 20, 30], [8, 8, 36, 36]]), np.float32([0.9, 0.8]), np.zeros(2, np.int64))


@pytest.fixture(scope="session")
def runs(shapes: Path, shared_folder: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Runs folder with a finished run with a detector; tests must not change the folder."""
    words = [*DETECTOR, f"data.root={shapes}", "crop.eval_modes=[whole,detected]"]
    return shared_folder("detector_runs", lambda folder: run_script("train.py", *words, f"runs={folder}"))


@pytest.fixture
def fake_boxes(monkeypatch: pytest.MonkeyPatch) -> list[Boxes]:
    """Fake detections; each test appends a single element, the Boxes of every image."""
    detections: list[Boxes] = []
    monkeypatch.setattr(DetectorModel, "detect", lambda _self, images: [detections[0] for _ in images])
    return detections


@pytest.fixture
def extra_images(shapes: Path, tmp_path: Path) -> Path:
    """Folder of two images to add."""
    folder = tmp_path / "further"
    folder.mkdir()
    for number in range(2):
        shutil.copy(shapes.parent / f"square-{number}-street.png", folder / f"{number}.png")
    return folder


def test_train_with_detector_runs_all_stages(runs: Path) -> None:
    run = runs / "latest"
    assert {"detector.ckpt", "detections.parquet", "classifier.ckpt", "hash_head.ckpt"} <= {
        each.name for each in run.iterdir()
    }
    results = read_results(run)
    assert {"box_ap", "box_ap50", "undetected", "latency_ms"} <= {
        row.metric for row in results.select(method="detector")
    }
    assert results.value("classifier", "accuracy", condition="crop=whole") is not None
    undetected = {row.condition for row in results if row.metric == "undetected"}
    assert undetected == {"", "crop=whole", "crop=detected"}
    report = (run / "report" / "report.md").read_text()
    assert "## Detection\n" in report
    assert "detection with a score of at least 0.01" in report


def test_detector_and_detections_are_reused(runs: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    argv = [*DETECTOR, f"data.root={shapes}", f"runs={tmp_path / 'runs'}", "hash=none", "crop.select=largest"]
    printed = run_script("train.py", *argv)
    assert "Reusing detector.ckpt of" in printed
    assert "Reusing detections.parquet of" in printed
    assert not re.search("detect(ing|ed) garments", printed, re.IGNORECASE)


def test_trained_detector_can_use_flip_tta(runs: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    argv = [*DETECTOR, f"data.root={shapes}", f"runs={tmp_path / 'runs'}", "hash=none", "detector.flip_tta=true"]
    printed = run_script("train.py", *argv)
    assert "Reusing detector.ckpt of" in printed
    assert "Reusing detections.parquet of" not in printed
    detector = Run(tmp_path / "runs" / "latest").detector()
    assert detector is not None
    assert detector.flip_tta


def test_same_config_results_in_the_same_metrics(runs: Path, shapes: Path, tmp_path: Path) -> None:
    run_script("train.py", *DETECTOR, f"data.root={shapes}", f"runs={tmp_path}", "crop.eval_modes=[whole,detected]")
    assert scores_without_times(tmp_path / "latest") == pytest.approx(scores_without_times(runs / "latest"), abs=1e-6)


def test_run_stopped_before_detection_resumes(runs: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    run = tmp_path / "runs" / "latest"
    before = scores_without_times(run)
    for name in ("detections.parquet", "classifier.ckpt", "hash_head.ckpt", "metrics.json"):
        (run / name).unlink()
    argv = [*DETECTOR, f"data.root={shapes}", f"runs={tmp_path / 'runs'}", "crop.eval_modes=[whole,detected]"]
    printed = run_script("train.py", *argv)
    assert "Loading the trained detector" in printed
    assert (run / "detections.parquet").exists()
    assert scores_without_times(run) == pytest.approx(before, abs=1e-6)


def test_gallery_without_detections_is_rejected(shapes: Path, tmp_path: Path) -> None:
    argv = [*DETECTOR, f"data.root={shapes}", f"runs={tmp_path}", "crop.min_score=1.0", "crop.fallback=skip"]
    printed = run_script("train.py", *argv, status=1)
    assert ": no detection in split '" in printed
    assert "crop.min_score" in printed


@pytest.mark.parametrize(("select", "count"), [("best", 1), ("largest", 1), ("all", 2)])
def test_added_images_are_cropped_to_detections(
    run: Run, fake_boxes: list[Boxes], extra_images: Path, select: Any, count: int
) -> None:
    fake_boxes.append(TWO_BOXES)
    _change_selector(run, select=select)
    result = add_images(run, extra_images)
    new_rows = _indexed_catalogue(run).take(
        np.arange(len(_indexed_catalogue(run)) - result.added, len(_indexed_catalogue(run)))
    )
    assert result.added == 2 * count
    boxes = TWO_BOXES.xyxy if select == "all" else TWO_BOXES.xyxy[[1 if select == "largest" else 0]]
    assert np.array_equal(new_rows.boxes, np.tile(boxes, (2, 1)))
    second_ids = [name for name in new_rows.column("id") if name.endswith("#2")]
    assert len(second_ids) == (2 if select == "all" else 0)
    with pytest.raises(ValueError, match="already"):
        add_images(run, extra_images)


def test_ids_of_several_garments_in_an_image_are_unique(run: Run, fake_boxes: list[Boxes], extra_images: Path) -> None:
    fake_boxes.append(TWO_BOXES)
    _change_selector(run, select="all")
    add_images(run, extra_images)
    updates.remove(run.gallery_folder, run.model().fingerprint(), ["0.png"])
    (extra_images / "1.png").unlink()
    assert add_images(run, extra_images).added == 2  # the id `0.png#2` is still in use
    assert set(_indexed_catalogue(run).column("id")[-2:]) == {"0.png", "0.png#3"}


@pytest.mark.parametrize("fallback", ["whole", "skip"])
def test_added_image_without_detections_is_added_or_skipped(
    run: Run, fake_boxes: list[Boxes], extra_images: Path, fallback: Any
) -> None:
    fake_boxes.append(NO_BOXES)
    before = len(_indexed_catalogue(run))
    _change_selector(run, fallback=fallback)
    result = add_images(run, extra_images)
    assert len(result.skipped) == (2 if fallback == "skip" else 0)
    assert set(result.skipped.values()) <= {"no garment detected"}
    assert result.added == 2 - len(result.skipped) == len(_indexed_catalogue(run)) - before
    assert np.isnan(_indexed_catalogue(run).boxes[before:]).all()


def test_search_uses_all_garments_or_the_requested_garment(
    run: Run, fake_boxes: list[Boxes], shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_boxes.append(TWO_BOXES)
    image = str(shapes.parent / "circle-0-street.png")
    assert search.main([str(run.path), image, "--k", "2"]) == 0
    printed = capsys.readouterr().out
    assert "garment 1 at 2 2 20 30" in printed
    assert "garment 2 at 8 8 36 36" in printed
    assert search.main([str(run.path), image, "--garment", "2"]) == 0
    printed = capsys.readouterr().out
    assert "garment 2" in printed
    assert "garment 1" not in printed
    assert search.main([str(run.path), image, "--garment", "3"]) == 1
    assert "--garment 3: not detected; pass at most 2" in capsys.readouterr().err
    assert search.main([str(run.path), image, "--box", "1", "1", "30", "30"]) == 0
    assert "garment 1" not in capsys.readouterr().out.split("\n")[0]


def test_python_search_equals_the_command_and_imports_no_training_library(
    run: Run, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change_selector(run, min_score=0.0, min_size=1.0)  # the detector is trained for a few steps only
    image = str(shapes.parent / "circle-0-street.png")
    code = (
        "import json, sys\n"
        "from fashion_lsh import Run\n"
        f"results = Run({str(run.path)!r}).searcher().search_garments({image!r}, k=2)\n"
        "print(json.dumps([[result.box, *([*hit[:5]] for hit in result.hits)] for result in results]))\n"
        "print({'pytorch_lightning', 'wandb', 'matplotlib', 'hydra'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    results, imported = printed.splitlines()
    assert imported == "set()"
    assert search.main([str(run.path), image, "--k", "2", "--json"]) == 0
    by_query: dict[str, list[Any]] = {}
    for record in json.loads(capsys.readouterr().out):
        hit = [record[name] for name in ("id", "path", "category", "item", "distance")]
        by_query.setdefault(record["query"], []).append(hit)
    boxes, hits = [each[0] for each in json.loads(results)], [each[1:] for each in json.loads(results)]
    assert boxes
    assert all(boxes)
    assert hits == [*by_query.values()]
    assert [query.rpartition(" at ")[2] for query in by_query] == [" ".join(f"{x:.0f}" for x in box) for box in boxes]


def test_query_without_detections_uses_the_fallback(
    run: Run, fake_boxes: list[Boxes], shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_boxes.append(NO_BOXES)
    image = str(shapes.parent / "circle-0-street.png")
    assert search.main([str(run.path), image, "--k", "2"]) == 0
    assert "no garment detected, whole image" in capsys.readouterr().out
    _change_selector(run, fallback="skip")
    assert search.main([str(run.path), image]) == 1
    assert "no garment detected; pass --box X1 Y1 X2 Y2" in capsys.readouterr().err


def test_damaged_detections_file_raises_with_its_name(run: Run) -> None:
    path = run.path / "detections.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"detections\.parquet: "):
        Detections.open(path)


def add_images(run: Run, folder: Path) -> updates.AdditionResult:
    """Add images to the gallery of a run as the gallery command does."""
    cropper = Cropper(run.model(), run.detector(), run.box_selector)
    return updates.add(run.gallery_folder, cropper, str(folder), run.config["data"]["crop"], run.add_skipped)


def _indexed_catalogue(run: Run) -> Catalogue:
    return open_gallery(run).catalogue


def _change_selector(run: Run, **changes: Any) -> None:
    """Change the box selector in the config of the run."""
    box_selector = run.box_selector
    assert isinstance(box_selector, BoxSelector)
    changed_selector = replace(box_selector, **changes)
    config = (run.path / "config.yaml").read_text()
    for name in changes:
        config = config.replace(
            f"    {name}: {getattr(box_selector, name)}\n", f"    {name}: {getattr(changed_selector, name)}\n"
        )
    (run.path / "config.yaml").write_text(config)
    assert Run(run.path).box_selector == changed_selector
