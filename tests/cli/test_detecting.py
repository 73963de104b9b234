"""crop=detected, as it is typed: the detector first, then all that follows by what it found."""

import json
import shutil
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
from tests.cli.factories import DETECTOR, opened, script

TWO = Boxes(np.float32([[2, 2, 20, 30], [8, 8, 36, 36]]), np.float32([0.9, 0.8]), np.zeros(2, np.int64))


@pytest.fixture(scope="module")
def runs(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one finished run that has a detector."""
    folder = tmp_path_factory.mktemp("runs")
    script("train.py", *DETECTOR, f"data.root={drawn}", f"runs={folder}", "crop.tested=[whole,detected]")
    return folder


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> list[Boxes]:
    """What the detector finds in every picture, to be filled in."""
    seen: list[Boxes] = []
    monkeypatch.setattr(DetectorModel, "find", lambda _self, pictures: [seen[0] for _ in pictures])
    return seen


@pytest.fixture
def further(drawn: Path, tmp_path: Path) -> Path:
    """A folder of two pictures to be added."""
    folder = tmp_path / "further"
    folder.mkdir()
    for number in range(2):
        shutil.copy(drawn.parent / f"square-{number}-street.png", folder / f"{number}.png")
    return folder


def test_one_command_runs_all_stages_and_tells_what_was_found(runs: Path) -> None:
    run = runs / "latest"
    assert {"detector.ckpt", "boxes.parquet", "classifier.ckpt", "hasher.ckpt"} <= {each.name for each in run.iterdir()}
    metrics = json.loads((run / "metrics.json").read_text())
    wanted = {"detector/query/box_ap", "detector/query/box_ap50", "crop/query/missed", "speed/detector_ms"}
    assert wanted | {"crops/whole/accuracy", "crops/whole/missed", "crops/detected/missed"} <= set(metrics)
    report = (run / "report" / "report.md").read_text()
    assert "Garments found in pictures" in report
    assert "by a box that the detector found with a score of at least 0.01" in report


def test_the_detector_and_its_boxes_are_taken_over_by_another_run(runs: Path, drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    words = [*DETECTOR, f"data.root={drawn}", f"runs={tmp_path / 'runs'}", "hash=none", "crop.which=largest"]
    printed = script("train.py", *words)
    assert "its detector.ckpt is taken" in printed
    assert "its boxes.parquet is taken" in printed
    assert "finding garments" not in printed


def test_a_fitted_detector_may_look_at_mirrored_pictures_too(runs: Path, drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    words = [*DETECTOR, f"data.root={drawn}", f"runs={tmp_path / 'runs'}", "hash=none", "detector.mirrored=true"]
    printed = script("train.py", *words)
    assert "its detector.ckpt is taken" in printed
    assert "its boxes.parquet is taken" not in printed
    looking = Run(tmp_path / "runs" / "latest").detector()
    assert looking is not None
    assert looking.mirrored


def test_the_same_command_elsewhere_gives_the_same_scores(runs: Path, drawn: Path, tmp_path: Path) -> None:
    script("train.py", *DETECTOR, f"data.root={drawn}", f"runs={tmp_path}", "crop.tested=[whole,detected]")
    assert scores(tmp_path / "latest") == pytest.approx(scores(runs / "latest"), abs=1e-6)


def scores(run: Path) -> dict[str, float]:
    """All that is no time."""
    metrics = json.loads((run / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if not name.startswith("speed/")}


def test_a_run_stopped_before_the_pictures_were_looked_at_goes_on_there(
    runs: Path, drawn: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    run = tmp_path / "runs" / "latest"
    before = scores(run)
    for name in ("boxes.parquet", "classifier.ckpt", "hasher.ckpt", "metrics.json"):
        (run / name).unlink()
    words = [*DETECTOR, f"data.root={drawn}", f"runs={tmp_path / 'runs'}", "crop.tested=[whole,detected]"]
    printed = script("train.py", *words)
    assert "detector: finished before" in printed
    assert (run / "boxes.parquet").exists()
    assert scores(run) == pytest.approx(before, abs=1e-6)


def test_where_nothing_is_found_in_the_gallery_a_run_that_skips_says_so(drawn: Path, tmp_path: Path) -> None:
    words = [*DETECTOR, f"data.root={drawn}", f"runs={tmp_path}", "crop.score=1.0", "crop.fallback=skip"]
    printed = script("train.py", *words, status=1)
    assert "no garment was found in any picture of split '" in printed
    assert "crop.score" in printed


@pytest.mark.parametrize(("which", "count"), [("best", 1), ("largest", 1), ("all", 2)])
def test_pictures_are_filed_by_what_is_found_in_them(
    run: Run, sees: list[Boxes], further: Path, which: Any, count: int
) -> None:
    sees.append(TWO)
    _chosen(run, which=which)
    added = added_to(run, further)
    filed = _filed(run).take(np.arange(len(_filed(run)) - added.filed, len(_filed(run))))
    assert added.filed == 2 * count
    boxes = TWO.xyxy if which == "all" else TWO.xyxy[[1 if which == "largest" else 0]]
    assert np.array_equal(filed.boxes, np.tile(boxes, (2, 1)))
    numbered = [name for name in filed.column("id") if name.endswith("#2")]
    assert len(numbered) == (2 if which == "all" else 0)
    with pytest.raises(ValueError, match="already"):
        added_to(run, further)


def test_ids_of_further_garments_are_free_ones(run: Run, sees: list[Boxes], further: Path) -> None:
    sees.append(TWO)
    _chosen(run, which="all")
    added_to(run, further)
    updates.remove(run.gallery_folder, run.model().fingerprint(), ["0.png"])
    (further / "1.png").unlink()
    assert added_to(run, further).filed == 2  # `0.png#2` is there still
    assert set(_filed(run).column("id")[-2:]) == {"0.png", "0.png#3"}


@pytest.mark.parametrize("fallback", ["whole", "skip"])
def test_a_picture_on_which_nothing_is_found_does_not_vanish(
    run: Run, sees: list[Boxes], further: Path, fallback: Any
) -> None:
    sees.append(NO_BOXES)
    before = len(_filed(run))
    _chosen(run, fallback=fallback)
    added = added_to(run, further)
    assert len(added.skipped) == (2 if fallback == "skip" else 0)
    assert set(added.skipped.values()) <= {"no garment was found in it"}
    assert added.filed == 2 - len(added.skipped) == len(_filed(run)) - before
    assert np.isnan(_filed(run).boxes[before:]).all()


def test_every_garment_of_a_picture_is_answered_or_the_one_asked_for(
    run: Run, sees: list[Boxes], drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sees.append(TWO)
    picture = str(drawn.parent / "circle-0-street.png")
    assert search.main([str(run.path), picture, "--k", "2"]) == 0
    printed = capsys.readouterr().out
    assert "garment 1 at 2 2 20 30" in printed
    assert "garment 2 at 8 8 36 36" in printed
    assert search.main([str(run.path), picture, "--garment", "2"]) == 0
    printed = capsys.readouterr().out
    assert "garment 2" in printed
    assert "garment 1" not in printed
    assert search.main([str(run.path), picture, "--garment", "3"]) == 1
    assert "--garment 3: 2 are seen in it" in capsys.readouterr().err
    assert search.main([str(run.path), picture, "--box", "1", "1", "30", "30"]) == 0
    assert "garment 1" not in capsys.readouterr().out.split("\n")[0]


def test_a_picture_in_which_no_garment_is_seen_is_answered_by_the_fall_back(
    run: Run, sees: list[Boxes], drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sees.append(NO_BOXES)
    picture = str(drawn.parent / "circle-0-street.png")
    assert search.main([str(run.path), picture, "--k", "2"]) == 0
    assert "no garment is seen: the whole of it" in capsys.readouterr().out
    _chosen(run, fallback="skip")
    assert search.main([str(run.path), picture]) == 1
    assert "no garment is seen in it: give --box X1 Y1 X2 Y2" in capsys.readouterr().err


def test_boxes_that_are_damaged_are_named(run: Run) -> None:
    path = run.path / "boxes.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"boxes\.parquet holds no boxes .* remove it"):
        Detections.open(path)


def added_to(run: Run, folder: Path) -> updates.Added:
    """Add pictures to a run's gallery as the command gallery does; what was told of them."""
    cropper = Cropper(run.model(), run.detector(), run.box_selector)
    return updates.add(run.gallery_folder, cropper, str(folder), run.config["data"]["crop"], run.add_skipped)


def _filed(run: Run) -> Catalogue:
    return opened(run).catalogue


def _chosen(run: Run, **changes: Any) -> None:
    """Have the run choose boxes in another way."""
    box_selector = run.box_selector
    assert isinstance(box_selector, BoxSelector)
    told = replace(box_selector, **changes)
    config = (run.path / "config.yaml").read_text()
    for name in changes:
        config = config.replace(f"    {name}: {getattr(box_selector, name)}\n", f"    {name}: {getattr(told, name)}\n")
    (run.path / "config.yaml").write_text(config)
    assert Run(run.path).box_selector == told
