"""An experiment's table, from the files its jobs left."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.report.jobs import gather, main
from fashion_lsh.report.pages import BEGIN, END

README = f"# Backbones\n\nThe question.\n\n{BEGIN}\nolder\n{END}\n\nWhat it shows.\n"
EXPERIMENTS = sorted(path.parent for path in (Path(__file__).parents[2] / "experiments").rglob("jobs"))


def job(folder: Path, key: str, backbone: str, score: float, **metrics: float) -> None:
    (folder / "jobs").mkdir(exist_ok=True)
    settings: dict[str, Any] = {
        "seed": 0, "backbone": {"name": backbone, "weights": None}, "data": {"image_size": 64},
        "classifier": {"backbone": backbone, "epochs": 3},
    }  # fmt: skip
    name = "query/category/map@100"
    found = {"query/accuracy": 0.5, name: score, f"{name}_low": score - 0.01, f"{name}_high": score + 0.01, **metrics}
    made = {"settings": settings, "data": "d0", "environment": {"fashion-lsh": "0.1.0"}, "metrics": found}
    (folder / "jobs" / f"{key}.json").write_text(json.dumps(made))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    job(tmp_path, "aaaa0000", "vgg16", 0.25)
    job(tmp_path, "bbbb0000", "alexnet", 0.1234567, **{"query/count": 311})
    return tmp_path


def cells(folder: Path) -> list[list[str]]:
    lines = (folder / "README.md").read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_row_a_job_with_what_differs_and_its_scores(folder: Path) -> None:
    gather(folder)
    header, _, *rows = cells(folder)
    assert header[0] == "backbone.name"  # neither what is the same in all, nor what a stage repeats
    assert header[-1] == "job"
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["backbone.name"] for row in found] == ["alexnet", "vgg16"]
    assert found[0]["category mAP@100"] == "0.123 [0.113, 0.133]"
    assert (found[0]["top-1"], found[0]["queries"], found[1]["queries"]) == ("0.500", "311", "–")
    assert (found[0]["job"], found[1]["job"]) == ("bbbb0000", "aaaa0000")


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


def test_rows_are_ordered_by_number_and_told_apart_by_data(folder: Path) -> None:
    for path in folder.glob("jobs/*.json"):
        path.unlink()
    for bits in (128, 12, 24):
        job(folder, f"cccc{bits:04}", "vgg16", 0.25)
        path = folder / "jobs" / f"cccc{bits:04}.json"
        content = json.loads(path.read_text())
        content["settings"]["hash"] = {"_target_": "some.Class", "bits": bits, "backbone": "vgg16"}
        path.write_text(json.dumps(content | {"data": f"d{bits}"}))
    gather(folder)
    header, _, *rows = cells(folder)
    assert header[:2] == ["hash.bits", "data"]
    assert [row[0] for row in rows] == ["12", "24", "128"]


def test_rows_of_several_seeds_are_one_with_mean_and_deviation(folder: Path) -> None:
    for seed in (1, 2):
        score = 0.25 + seed / 100
        job(folder, f"dddd000{seed}", "vgg16", score)
        path = folder / "jobs" / f"dddd000{seed}.json"
        content = json.loads(path.read_text())
        content["settings"] |= {"seed": seed}
        content["settings"]["data"] |= {"seed": seed}
        path.write_text(json.dumps(content))
    gather(folder)
    header, _, *rows = cells(folder)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["seeds"] for row in found] == ["0", "0, 1, 2"]
    assert [row["category mAP@100"] for row in found] == ["0.123 [0.113, 0.133]", "0.260 ± 0.010"]
    with (folder / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_a_job_that_was_scored_with_several_crops_has_a_row_for_each(folder: Path) -> None:
    for path in folder.glob("jobs/*.json"):
        path.unlink()
    for key, mode in (("aaaa0000", "whole"), ("bbbb0000", "detected")):
        scores = {"crops/whole/accuracy": 0.5, "crops/detected/accuracy": 0.7, "crops/detected/missed": 0.1}
        job(folder, key, "vgg16", 0.25, **scores, **{"detector/query/box_ap50": 0.9})
        path = folder / "jobs" / f"{key}.json"
        content = json.loads(path.read_text())
        content["settings"] |= {"crop": {"mode": mode}}
        content["settings"]["data"] |= {"crop": mode}
        path.write_text(json.dumps(content))
    gather(folder)
    header, _, *rows = cells(folder)
    assert header[:2] == ["crop.mode", "tested on"]
    assert [row[:2] for row in rows] == [["detected", "detected"], ["detected", "whole"],
                                         ["whole", "detected"], ["whole", "whole"]]  # fmt: skip
    found = dict(zip(header, rows[0], strict=True))
    assert (found["top-1"], found["nothing found"], found["box AP50"]) == ("0.700", "0.100", "0.900")


@pytest.mark.parametrize(("spoil", "reason"), [
    (lambda folder: [path.unlink() for path in (folder / "jobs").iterdir()], "no jobs/*.json in"),
    (lambda folder: (folder / "jobs" / "aaaa0000.json").write_text('{"settings": {'), "aaaa0000.json is damaged"),
    (lambda folder: (folder / "jobs" / "aaaa0000.json").write_text('{"settings": {}}'), "aaaa0000.json is damaged"),
    (lambda folder: (folder / "README.md").write_text("no place"), "README.md has no place for the table"),
    (lambda folder: (folder / "README.md").write_text(f"{END}{BEGIN}"), "README.md has no place for the table"),
])  # fmt: skip
def test_what_cannot_be_gathered_is_named_and_nothing_is_written(
    folder: Path, spoil: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    assert main([str(folder)]) == 1
    assert reason in capsys.readouterr().err
    assert not (folder / "results.csv").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.name)
def test_tables_of_the_experiments_are_what_their_jobs_say(experiment: Path, tmp_path: Path) -> None:
    copy = tmp_path / experiment.name
    (copy / "jobs").mkdir(parents=True)
    for path in [*experiment.glob("jobs/*.json"), experiment / "README.md"]:
        (copy / path.relative_to(experiment)).write_bytes(path.read_bytes())
    gather(copy)
    for name in ("results.csv", "README.md"):
        assert (copy / name).read_text() == (experiment / name).read_text()
