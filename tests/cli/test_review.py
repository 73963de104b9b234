"""The review command writes a file that, edited, corrects the data of the next run."""

import csv
from pathlib import Path

import pytest

from fashion_lsh.cli import review
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.corrections import COLUMNS
from fashion_lsh.runs.run import Run
from tests.cli.factories import SMALL, run_script

pytestmark = pytest.mark.train


def test_an_edited_review_corrects_the_next_run(
    run: Run, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert review.main([str(run.path), "--out", str(out), "--limit", "9"]) == 0
    assert str(out / "review.csv") in capsys.readouterr().out
    assert (out / "sheet_01.png").is_file()
    with (out / "review.csv").open(newline="") as file:
        header, *lines = list(csv.reader(file))
    assert tuple(header) == COLUMNS
    assert len(lines) >= 2  # the network is hardly trained
    ids = [line[1] for line in lines]
    other = next(name for name in ("circle", "cross", "square") if name != lines[1][3])
    lines[0][-2:], lines[1][-2:] = ["exclude", ""], ["relabel", other]
    with (out / "review.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    words = [*SMALL, f"data.root={shapes}", f"data.corrections={out / 'review.csv'}", f"runs={tmp_path / 'runs'}"]
    run_script("train.py", *words)
    corrected = Run((tmp_path / "runs/latest").resolve())
    assert corrected.path.name != run.path.name
    catalogue = Catalogue.open(corrected.path / "catalogue.parquet")
    categories = dict(zip(catalogue.column("id"), catalogue.column("category"), strict=True))
    assert (ids[0] in categories, categories[ids[1]]) == (False, other)
    assert dict(corrected.skipped)[ids[0]] == "left out by review.csv, line 2"
    assert corrected.corrections == {"exclude": 1, "relabel": 1}
    assert "1 relabelled, 1 left out" in (corrected.path / "report/report.md").read_text()
    lines[2:] = [[*lines[0][:1], "unknown", *lines[0][2:]]]
    with (out / "review.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    printed = run_script("train.py", *words, status=1)
    assert f"{out / 'review.csv'}, line 4: id='unknown'" in printed


def test_a_review_is_not_overwritten(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "review.csv").write_text("edited")
    assert review.main([str(run.path), "--out", str(tmp_path)]) == 1
    assert str(tmp_path / "review.csv") in capsys.readouterr().err
    assert (tmp_path / "review.csv").read_text() == "edited"
    assert review.main([str(tmp_path), "--out", str(tmp_path / "new")]) == 1
    with pytest.raises(SystemExit) as system_exit:
        review.main([str(run.path)])
    assert system_exit.value.code == 2
