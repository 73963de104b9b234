"""Rows and arms of an experiment: what differs, what is averaged."""

import csv
import json
from pathlib import Path

import pytest

from fashion_lsh.report.sweep.page import gather
from tests.report.sweep.factories import README, cells, change, job, tables


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


def test_jobs_with_and_without_other_crops_stand_on_one_page(folder: Path) -> None:
    job(folder, "bbbb0000", "vgg16", 0.25, **{"crops/whole/accuracy": 0.5, "crops/annotated/accuracy": 0.7})
    gather(folder)
    header, _, *rows = cells(folder)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert sorted(row["tested on"] for row in found) == ["annotated", "whole", *["–"] * (len(found) - 2)]


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


def test_rows_are_named_by_the_method_of_their_codes(methods: Path) -> None:
    gather(methods)
    header, _, *rows = tables(methods)[0]
    assert header[:2] == ["hash", "seeds"]  # not what follows from it
    assert [row[0] for row in rows] == ["csq", "lsh", "none", "softmax"]
    assert "item mAP@100, codes alone" in header


def test_a_seed_that_lacks_a_measure_is_counted(methods: Path) -> None:
    path = methods / "jobs/bbbb0001.json"
    content = json.loads(path.read_text())
    del content["metrics"]["rows/code/item/map@100"]
    change(methods, "bbbb0001", metrics=content["metrics"])
    gather(methods)
    header, _, *rows = tables(methods)[0]
    assert dict(zip(header, rows[0], strict=True))["item mAP@100, codes alone"].endswith(" (2 of 3)")


def test_two_jobs_of_one_seed_are_named(methods: Path) -> None:
    (methods / "jobs/ffff0001.json").write_text((methods / "jobs/bbbb0001.json").read_text())
    with pytest.raises(ValueError, match="jobs bbbb0001 and ffff0001 are of the same settings, seed and data: remove"):
        gather(methods)
    assert not (methods / "results.csv").exists()


def test_jobs_of_different_data_are_not_averaged_and_named(methods: Path) -> None:
    (methods / "README.md").write_text(README)
    change(methods, "bbbb0001", data="d1")
    gather(methods)
    assert "Not averaged, for their data differ: bbbb0000, bbbb0002, bbbb0001." in (methods / "README.md").read_text()
    header, _, *rows = tables(methods)[0]
    seeds = [row[header.index("seeds")] for row in rows if row[0] == "csq"]
    assert sorted(seeds) == ["0, 2", "1"]
