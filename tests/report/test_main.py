"""python -m fashion_lsh.report: several runs, bad ones among them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fashion_lsh.report.__main__ import main
from fashion_lsh.run import Run


def test_each_run_gets_its_report_and_its_page_is_named(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(key="first").path, make_run(key="second").path]
    assert main([str(path) for path in runs]) == 0
    pages = [path / "report" / "index.html" for path in runs]
    assert capsys.readouterr().out.splitlines() == [str(page) for page in pages]
    assert all(page.is_file() for page in pages)


def test_a_bad_run_is_named_and_the_others_are_done(
    make_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, good = make_run(key="damaged").path, make_run(key="good").path
    (damaged / "metrics.json").write_text("{")
    assert main([str(tmp_path / "none"), str(damaged), str(good)]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(good / "report" / "index.html")]
    none, bad = printed.err.splitlines()
    assert f"{tmp_path / 'none'} is no run" in none
    assert f"{damaged / 'metrics.json'} is damaged" in bad


def test_without_a_run_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "RUN" in capsys.readouterr().err
