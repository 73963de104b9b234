"""Output of the search command: files, JSON, and an ended reader; commands start without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fashion_lsh.cli import search
from fashion_lsh.runs.run import Run
from tests.cli.factories import ROOT

COLUMNS = ["query", "rank", "id", "path", "category", "item", "distance", "folded"]


@pytest.mark.train
def test_folder_of_queries_gives_hits_and_a_sheet(
    run: Run, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert search.main([str(run.path), str(images), "--k", "3", "--nprobe", "all", "--json", "--out", str(out)]) == 0
    records = json.loads(capsys.readouterr().out)
    table = pq.read_table(out / "hits.parquet")
    assert table.column_names == COLUMNS
    assert table.to_pylist() == records
    assert len(pyarrow.csv.read_csv(out / "hits.csv")) == len(records) == 12 * 3
    assert [record["rank"] for record in records] == [1, 2, 3] * 12
    assert (out / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("words", [["--help"], ["search", "--help"], ["gallery", "--help"], ["encode", "--help"],
                                   ["train", "--help"], ["train", "backbon=resnet18"]])  # fmt: skip
def test_help_and_a_misspelt_key_do_not_import_torch(words: list[str]) -> None:
    code = "import sys, atexit\nfrom fashion_lsh.__main__ import main\n"
    code += "atexit.register(lambda: print({'torch', 'pytorch_lightning'} & set(sys.modules)))\nmain(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("set()\n"), done.stderr


def test_ended_reader_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m fashion_lsh train --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode in (0, 1), done.stderr) == (True, "")


def test_train_script_runs_from_another_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "backbone=resnet18", "--cfg", "job"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "resnet18" in done.stdout
