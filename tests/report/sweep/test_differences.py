"""Paired differences of configurations from a base."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.cli.report import main
from fashion_lsh.metrics.statistics import paired_difference
from fashion_lsh.report.seed_notes import describe_seeds
from fashion_lsh.report.sweep import page
from fashion_lsh.report.sweep.differences import BOLD_NOTE, INTERVALS_NOTE, NO_BOLD_NOTE, difference_between
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.page import write_sweep_page
from fashion_lsh.report.sweep.rows import table_rows
from tests.report.sweep.factories import (
    HASH_HEAD,
    README,
    change_job,
    change_settings,
    random_outcomes,
    tables,
    write_page_settings,
    write_scored_job,
)

HEADING = "Differences from"


def code_scores(seed: int, is_better: bool) -> np.ndarray:
    """Item scores of the codes in the fixture `methods`, (NUM_QUERIES,) float."""
    base = random_outcomes(seed, 0.5)
    return (base | random_outcomes(seed + 9, 0.6) if is_better else base).astype(float)


def test_configurations_are_paired_with_the_base_by_seed_and_query(methods: Path) -> None:
    write_sweep_page(methods)
    header, _, *rows = tables(methods, HEADING)[0]
    assert header == ["hash", "seeds", "top-1", "item mAP@100, codes only"]
    assert [row[:2] for row in rows] == [["csq", "0, 1, 2, 3, 4"], ["lsh", "1, 2, 3, 4"], ["none", "–"]]
    csq, lsh, none = rows
    assert csq[2].startswith("+0.000 [-")
    assert csq[3].startswith("**+0.")
    assert re.fullmatch(r"-0\.\d+ \[-0\.\d+, -0\.\d+\]", lsh[2])  # not bold: four seeds
    assert lsh[3] == "–"  # no per-query scores of this metric
    assert none[2:] == ["–", "–"]
    base, method = ([code_scores(seed, is_better) for seed in range(5)] for is_better in (False, True))
    difference = paired_difference(base, method, np.arange(60) // 2)
    assert csq[3] == f"**{difference.mean:+.3f} [{difference.low:.3f}, {difference.high:.3f}]**"
    text = (methods / "README.md").read_text()
    assert re.search(r"hash=softmax[^\n]*95 %[^\n]*\n\n\|", text)
    assert all(note in text for note in (INTERVALS_NOTE, describe_seeds(4), describe_seeds(5), BOLD_NOTE))
    with (methods / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 20
    write_sweep_page(methods)
    assert (methods / "README.md").read_text() == text


def write_better_methods(folder: Path, methods: int, seeds: int) -> None:
    """Write jobs of a base and of methods with better accuracy: by 6 to 8 of 60 queries, depending on the seed."""
    (folder / "README.md").write_text(README)
    write_page_settings(folder, base="hash=loss0")
    for number, seed in np.ndindex(methods + 1, seeds):
        better = random_outcomes(0, 0.5)
        better[np.flatnonzero(~better)[: (6, 6, 7, 8, 8)[seed] if number else 0]] = True
        write_scored_job(
            folder, f"eeee00{number}{seed}", {"_target_": HASH_HEAD, "loss": f"loss{number}"}, seed, accuracy=better
        )


@pytest.mark.parametrize(("methods", "bold"), [(1, True), (3, False)])
def test_holm_adjusts_for_the_number_of_configurations(tmp_path: Path, methods: int, bold: bool) -> None:
    write_better_methods(tmp_path, methods, seeds=5)
    write_sweep_page(tmp_path)
    header, _, *rows = tables(tmp_path, HEADING)[0]
    assert header == ["hash", "seeds", "top-1"]
    text = "+0.117 [0.012, 0.221]"  # p = 0.031
    assert [row[2] for row in rows] == [f"**{text}**" if bold else text] * methods
    assert BOLD_NOTE in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_nothing_is_bold_with_few_seeds(tmp_path: Path, seeds: int) -> None:
    write_better_methods(tmp_path, 2, seeds)
    for path in (tmp_path / "jobs").glob("eeee002*.parquet"):  # one method is always right
        number = int(path.name[7])
        write_scored_job(
            tmp_path, f"eeee002{number}", {"_target_": HASH_HEAD, "loss": "loss2"}, number, accuracy=np.ones(60)
        )
    write_sweep_page(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "**" not in text
    assert all(note in text for note in (describe_seeds(seeds), NO_BOLD_NOTE, page.NO_BOLD_NOTE))
    assert BOLD_NOTE not in text
    assert page.BOLD_NOTE not in text


@pytest.mark.parametrize(("base", "reason"), [
    ("hash=dpsh", r"hash=dpsh.*hash=csq; hash=lsh; hash=none; hash=softmax"),
    ("hash", r"base.*\bhash\b.*hash=csq; hash=lsh"),
    ("bits=48", r"bits=48.*hash=csq; hash=lsh"),
    ("hash=softmax bits=12", r"matches 0.*hash=csq; hash=lsh"),
])  # fmt: skip
def test_a_base_that_does_not_match_exactly_one_configuration_is_rejected(
    methods: Path, base: str, reason: str
) -> None:
    write_page_settings(methods, base=base)
    with pytest.raises(ValueError, match=reason):
        write_sweep_page(methods)
    assert not (methods / "results.csv").exists()


def test_a_base_that_matches_several_configurations_is_rejected(methods: Path) -> None:
    write_scored_job(methods, "ffff0000", {"_target_": HASH_HEAD, "bits": 12}, 0)
    with pytest.raises(ValueError, match=r"hash=softmax.*hash=softmax hash\.bits=12; hash=softmax"):
        write_sweep_page(methods)
    write_page_settings(methods, base="hash=softmax hash.bits=48")
    write_sweep_page(methods)
    assert [row[:3] for row in tables(methods, HEADING)[0][2:]][-1] == ["softmax", "12", "–"]


@pytest.mark.parametrize("base", ["hash=softmax crop.eval_modes=['whole', 'annotated']", "hash=softmax hash.weight=–"])
def test_a_base_names_values_with_blanks_and_missing_settings(methods: Path, base: str) -> None:
    change_settings(methods, "bbbb0000", **{"crop.eval_modes": ["whole", "annotated"]})
    for seed in range(5):
        change_settings(methods, f"aaaa000{seed}", **{"crop.eval_modes": ["whole", "annotated"]})
    write_page_settings(methods, base=base)
    write_sweep_page(methods)
    assert f"{HEADING} {base}" in (methods / "README.md").read_text()


def test_the_base_option_takes_precedence_over_the_page_settings(
    methods: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for has_settings in (True, False):
        assert (methods / "page.yaml").exists() == has_settings
        assert main([str(methods), "--base", "hash=csq"]) == 0
        assert capsys.readouterr().out == f"{methods / 'index.html'}\n"
        text = (methods / "README.md").read_text()
        assert re.search(rf"{HEADING} hash=csq[^\n]*\n\n\|", text)
        assert f"{HEADING} hash=softmax" not in text
        (methods / "page.yaml").unlink(missing_ok=True)


def test_jobs_with_different_data_or_queries_are_rejected(methods: Path) -> None:
    change_job(methods, "bbbb0001", data="d1")
    with pytest.raises(ValueError, match=r"aaaa0000.*bbbb0001.*\bdata\b"):
        write_sweep_page(methods)
    change_job(methods, "bbbb0001", data="d0")
    write_scored_job(
        methods, "bbbb0001", {"_target_": HASH_HEAD, "bits": 48, "loss": "csq", "weight": 0.1}, 1, accuracy=np.ones(8)
    )
    with pytest.raises(ValueError, match=r"aaaa0000.*bbbb0001.*\bqueries\b"):
        write_sweep_page(methods)
    assert not (methods / "results.csv").exists()


def test_a_base_without_other_configurations_has_no_differences(methods: Path) -> None:
    for path in (methods / "jobs").glob("[bcd]*"):
        path.unlink()
    write_sweep_page(methods)
    assert len(tables(methods)[0]) == 3
    assert "**" not in str(tables(methods)[0])
    assert not any(len(table) > 2 for table in tables(methods, HEADING))  # the table of differences has no row


@pytest.mark.parametrize("metric", ["item mAP@100, codes only", "code/item/map@100"])
def test_the_difference_between_two_configurations_is_a_cell_of_the_table(methods: Path, metric: str) -> None:
    jobs, _ = read_jobs(methods)
    difference = difference_between("hash=softmax", "hash=csq", table_rows(jobs), jobs, metric)
    write_sweep_page(methods)
    [cell] = [row[3] for row in tables(methods, HEADING)[0] if row[0] == "csq"]
    assert cell == f"**{difference.mean:+.3f} [{difference.low:.3f}, {difference.high:.3f}]**"
    reverse = difference_between("hash=csq", "hash=softmax", table_rows(jobs), jobs, metric)
    assert reverse.mean == pytest.approx(-difference.mean)


@pytest.mark.parametrize(("method", "metric", "reason"), [
    ("hash=none", "top-1", r"no per-query top-1 of hash=softmax and hash=none"),
    ("hash=lsh", "item mAP@100, codes only", r"no per-query item mAP@100, codes only"),
    ("hash=csq", "beauty", r"beauty.*top-1"),
    ("hash=dpsh", "top-1", r"hash=dpsh.*hash=csq; hash=lsh"),
])  # fmt: skip
def test_a_difference_without_scores_is_rejected(methods: Path, method: str, metric: str, reason: str) -> None:
    jobs, _ = read_jobs(methods)
    with pytest.raises(ValueError, match=reason):
        difference_between("hash=softmax", method, table_rows(jobs), jobs, metric)
