"""What was measured goes between the marks, and leaves the rest alone."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.report.page_file import BEGIN, END, Row, csv_of, put
from fashion_lsh.studies import distance_page, speedup_page, stability
from fashion_lsh.studies.query_outputs import read_kept
from fashion_lsh.studies.repeats import repeats

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
ROWS = [{"a": 1, "b": "x, y"}, {"a": 2, "c": None}]


def test_what_somebody_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nend\n")
    put(tmp_path, ROWS, "new", {"a.svg": b"<svg/>"})
    assert (tmp_path / "README.md").read_text() == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nend\n"
    assert (tmp_path / "results.csv").read_text() == 'a,b,c\n1,"x, y",\n2,,\n'
    assert (tmp_path / "a.svg").read_bytes() == b"<svg/>"


def test_a_page_is_begun_where_there_is_none(tmp_path: Path) -> None:
    put(tmp_path / "new", ROWS, "text")
    put(tmp_path / "new", ROWS, "later")
    assert (tmp_path / "new/README.md").read_text() == f"# new\n\n{BEGIN}\n\nlater\n\n{END}\n"


@pytest.mark.parametrize("page", ["# no place", f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_a_place_is_refused_before_anything_is_written(page: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(page)
    with pytest.raises(ValueError, match="has no place for the table"):
        put(tmp_path, ROWS, "text", {"a.svg": b""})
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def read(folder: Path) -> list[Row]:
    """Rows as they were measured, from the file that was written of them; empty cells were never there."""

    def value(text: str) -> Any:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        return text

    with (folder / "results.csv").open(newline="") as file:
        rows = [{name: value(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    return [row | {"arm": str(row["arm"])} if "arm" in row else row for row in rows]  # `1` is a name


@pytest.mark.parametrize(
    ("name", "page"),
    [("speedup", speedup_page.page), ("distances", distance_page.page), ("stability", stability.page)],
)
def test_pages_of_the_experiments_are_what_their_files_say(
    name: str, page: Callable[[list[Row]], tuple[str, dict[str, bytes]]]
) -> None:
    if not (EXPERIMENTS / name / "results.csv").exists():
        pytest.skip(f"{name} was not measured yet")
    text, figures = page(read(EXPERIMENTS / name))
    readme = (EXPERIMENTS / name / "README.md").read_text()
    assert readme.partition(BEGIN)[2].partition(END)[0].strip() == text
    for figure, content in figures.items():
        assert (EXPERIMENTS / name / figure).read_bytes() == content


def test_the_rows_of_stability_are_those_of_the_files_that_are_kept() -> None:
    folder = EXPERIMENTS / "stability"
    if not (folder / "results.csv").exists():
        pytest.skip("stability was not measured yet")
    assert csv_of(repeats(read_kept(folder))) == (folder / "results.csv").read_text()
    assert {path.stem for path in folder.glob("answers/*")} == {path.stem for path in folder.glob("jobs/*")}
