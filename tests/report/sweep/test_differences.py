"""Paired differences of configurations from a base."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fashion_lsh.evaluation.query_scores import unpack_scores

from fashion_lsh.cli.report import main
from fashion_lsh.metrics.statistics import paired_difference
from fashion_lsh.report.sweep.differences import INTERVALS_NOTE
from fashion_lsh.report.sweep.page import write_sweep_page
from tests.report.sweep.factories import HASH_HEAD, README, change_job, random_outcomes, tables, write_scored_job


def test_configurations_are_paired_with_the_base_by_seed_and_query(methods: Path) -> None:
    write_sweep_page(methods)
    header, _, *rows = tables(methods)[1]
    assert header == ["hash", "seeds", "top-1", "item mAP@100, codes only"]
    assert [row[:2] for row in rows] == [["csq", "0, 1, 2"], ["lsh", "1, 2"], ["none", "–"]]
    csq, lsh, none = rows
    assert csq[2].startswith("+0.000 [-")
    assert csq[3].startswith("**+0.")
    assert lsh[2].startswith("**-0.")
    assert lsh[3] == "–"  # no per-query scores of this metric
    assert none[2:] == ["–", "–"]
    base, method = ([unpack_scores(json.loads((methods / "jobs" / f"{name}000{seed}.json").read_text())["queries"])
                  for seed in range(3)] for name in ("aaaa", "bbbb"))  # fmt: skip
    name = "baselines/code/item/map@100"
    difference = paired_difference(
        [scores.scores[name] for scores in base], [scores.scores[name] for scores in method], base[0].groups
    )
    assert csq[3] == f"**{difference.mean:+.3f} [{difference.low:.3f}, {difference.high:.3f}]**"
    text = (methods / "README.md").read_text()
    assert re.search(r"hash=softmax[^\n]*95 %[^\n]*\n\n\|", text)
    assert INTERVALS_NOTE in text
    with (methods / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12
    write_sweep_page(methods)
    assert (methods / "README.md").read_text() == text


@pytest.mark.parametrize(("methods", "bold"), [(1, True), (3, False)])
def test_holm_adjusts_for_the_number_of_configurations(tmp_path: Path, methods: int, bold: bool) -> None:
    (tmp_path / "README.md").write_text(README.replace("The question.", "<!-- base: hash=loss0 -->"))
    base = random_outcomes(0, 0.5)
    for number in range(methods + 1):
        better = base.copy()
        better[np.flatnonzero(~base)[: 6 if number else 0]] = True  # 6 of 60: p = 0.023
        write_scored_job(
            tmp_path, f"eeee000{number}", {"_target_": HASH_HEAD, "loss": f"loss{number}"}, 0, accuracy=better
        )
    write_sweep_page(tmp_path)
    header, _, *rows = tables(tmp_path)[1]
    assert header == ["hash", "top-1"]
    text = "+0.100 [0.017, 0.200]"
    assert [row[1] for row in rows] == [f"**{text}**" if bold else text] * methods


@pytest.mark.parametrize(("base", "reason"), [
    ("hash=dpsh", r"hash=dpsh.*hash=csq; hash=lsh; hash=none; hash=softmax"),
    ("hash", r"base.*\bhash\b.*hash=csq; hash=lsh"),
    ("bits=48", r"bits=48.*hash=csq; hash=lsh"),
    ("hash=softmax -->\n<!-- base: hash=csq", r"README\.md.*hash=softmax.*hash=csq"),
])  # fmt: skip
def test_a_base_that_does_not_match_exactly_one_configuration_is_rejected(
    methods: Path, base: str, reason: str
) -> None:
    (methods / "README.md").write_text(README.replace("The question.", f"<!-- base: {base} -->"))
    with pytest.raises(ValueError, match=reason):
        write_sweep_page(methods)
    assert not (methods / "results.csv").exists()


def test_a_base_that_matches_several_configurations_is_rejected(methods: Path) -> None:
    write_scored_job(methods, "ffff0000", {"_target_": HASH_HEAD, "bits": 12}, 0)
    with pytest.raises(ValueError, match=r"hash=softmax.*hash=softmax hash\.bits=12; hash=softmax"):
        write_sweep_page(methods)
    (methods / "README.md").write_text(README.replace("The question.", "<!-- base: hash=softmax hash.bits=48 -->"))
    write_sweep_page(methods)
    assert [row[:3] for row in tables(methods)[1][2:]][-1] == ["softmax", "12", "–"]


def test_the_base_option_is_used_if_the_page_has_no_base_comment(
    methods: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (methods / "README.md").write_text(README)
    assert main([str(methods), "--base", "hash=csq"]) == 0
    assert capsys.readouterr().out == f"{methods / 'index.html'}\n"
    assert re.search(r"hash=csq[^\n]*\n\n\|", (methods / "README.md").read_text())


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
    assert len(tables(methods)[0]) == 3  # the table of differences has no row
    assert "**" not in str(tables(methods)[0])
    assert not any(len(part) > 2 for part in tables(methods)[1:])
