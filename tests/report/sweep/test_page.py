"""An experiment's page, from the files its jobs left."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.report.page_file import BEGIN, END
from fashion_lsh.report.sweep.page import BOLD, gather
from tests.report.sweep.factories import HASHER, README, cells, change, job, right, scored, tables


def test_the_file_keeps_all_digits_and_the_text_around_the_table_stays(folder: Path) -> None:
    gather(folder)
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["category mAP@100"]) == 0.1234567
    assert float(rows[0]["category mAP@100 low"]) == pytest.approx(0.1134567)
    text = (folder / "README.md").read_text()
    assert text.startswith("# Backbones\n\nThe question.\n\n")
    assert text.endswith(f"{END}\n\nWhat it shows.\n")
    assert "older" not in text
    gather(folder)
    assert (folder / "README.md").read_text() == text


@pytest.mark.parametrize(("spoil", "reason"), [
    (lambda folder: [path.unlink() for path in (folder / "jobs").iterdir()], "no jobs/*.json in"),
    (lambda folder: (folder / "jobs" / "aaaa0000.json").write_text('{"settings": {'), "aaaa0000.json is damaged"),
    (lambda folder: (folder / "jobs" / "aaaa0000.json").write_text('{"settings": {}}'), "aaaa0000.json is damaged"),
    (lambda folder: (folder / "README.md").write_text("no place"), "README.md has no place for the table"),
    (lambda folder: (folder / "README.md").write_text(f"{END}{BEGIN}"), "README.md has no place for the table"),
])  # fmt: skip
def test_what_cannot_be_gathered_is_named_and_nothing_is_written(folder: Path, spoil: Any, reason: str) -> None:
    spoil(folder)
    with pytest.raises((OSError, ValueError), match=re.escape(reason)):
        gather(folder)
    assert not (folder / "results.csv").exists()


def test_the_same_jobs_make_the_same_files_in_another_folder(methods: Path, tmp_path_factory: Any) -> None:
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(methods, copy, dirs_exist_ok=True)
    gather(methods)
    gather(copy)
    files = {path.name for path in methods.glob("*.*")}
    assert {"README.md", "results.csv", "results.svg"} <= files
    assert all((copy / name).read_bytes() == (methods / name).read_bytes() for name in files)


def test_a_page_says_which_measures_it_shows(folder: Path) -> None:
    job(folder, "cccc0000", "resnet18", 0.5, **{"codes/distinct": 164.0, "query/item/recall@10": 0.4})
    page = folder / "README.md"
    gather(folder)
    assert "distinct codes" not in cells(folder)[0]  # special ones are shown where they are asked for
    page.write_text(f"<!-- columns: category mAP@100 | distinct codes -->\n{page.read_text()}")
    gather(folder)
    header, _, *rows = cells(folder)
    assert header == ["backbone.name", "category mAP@100", "distinct codes", "job"]
    assert dict(zip(header, rows[1], strict=True))["distinct codes"] == "164"
    with (folder / "results.csv").open(newline="") as file:
        assert "item recall@10" in next(csv.reader(file))


def test_a_measure_that_there_is_not_is_named(folder: Path) -> None:
    page = folder / "README.md"
    page.write_text(f"<!-- columns: top-1 | beauty -->\n{page.read_text()}")
    with pytest.raises(ValueError, match="column 'beauty' is unknown; known are top-1, "):
        gather(folder)


def test_the_best_is_bold_only_where_it_surely_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    base = right(0, 0.5)
    for number, (more, codes) in enumerate(((0, 0), (2, 9), (1, 18))):  # more queries right, of sixty
        better, surely = base.copy(), base.copy()
        better[np.flatnonzero(~base)[:more]] = True
        surely[np.flatnonzero(~base)[:codes]] = True
        scored(tmp_path, f"eeee000{number}", {"_target_": HASHER, "loss": f"loss{number}"}, 0,
               accuracy=better, codes=surely)  # fmt: skip
    gather(tmp_path)
    header, _, *rows = tables(tmp_path)[0]
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert [found[f"loss{number}"]["item mAP@100, codes alone"][:2] for number in range(3)] == ["0.", "0.", "**"]
    assert not any(row["top-1"].startswith("**") for row in found.values())
    assert BOLD in (tmp_path / "README.md").read_text()


def test_the_page_says_on_what_the_jobs_were_made(folder: Path) -> None:
    here = {"fashion-lsh": "0.3.0", "torch": "2.14.1", "processor": "AMD EPYC", "cores": 2, "gpu": None}
    change(folder, "aaaa0000", environment=here)
    change(folder, "bbbb0000", environment=here)
    gather(folder)
    told = "2 jobs, made on 2 cores of AMD EPYC with fashion-lsh 0.3.0 and torch 2.14.1."
    assert told in (folder / "README.md").read_text()
    change(folder, "bbbb0000", environment=here | {"gpu": "NVIDIA H100"})
    gather(folder)
    told = "torch 2.14.1 (1); on NVIDIA H100 with fashion-lsh 0.3.0 and torch 2.14.1 (1)."
    assert told in (folder / "README.md").read_text()
