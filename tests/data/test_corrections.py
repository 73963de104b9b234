"""Corrections relabel and leave out rows, change the checksum, and name file, line and value of an error."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.corrections import (
    COLUMNS,
    CorrectedSource,
    Correction,
    apply_corrections,
    correct,
    read_corrections,
)
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.review.findings import LABEL, OUTLIER, Finding, merge_findings, write_findings

MakeData = Callable[..., GarmentData]
SHAPES_USED = ("circle", "cross")
CATALOGUE = Catalogue.from_columns({
    "id": ["a", "b", "c", "d"], "image": ["a.png", "b.png", "c.png", "c.png"],
    "category": ["coat", "dress", "coat", "hat"], "supercategory": ["upper", "full", "upper", ""],
})  # fmt: skip


def write(folder: Path, *lines: str, header: str = "id,category,action,new_category") -> Path:
    file = folder / "review.csv"
    file.write_text("\n".join([header, *lines]) + "\n")
    return file


def change_cells(file: Path, changes: dict[str, tuple[str, str]]) -> None:
    """Set action and new_category of some ids in a file written by `write_findings`."""
    header, *lines = file.read_text().splitlines()
    assert header.split(",") == list(COLUMNS)
    cells = [line.split(",") for line in lines]
    file.write_text("\n".join([header, *(",".join([*row[:-2], *changes.get(row[1], ("", ""))]) for row in cells)]))


def category_by_id(catalogue: Catalogue) -> dict[str, str]:
    return dict(zip(catalogue.column("id"), catalogue.column("category"), strict=True))


def test_a_written_file_is_read_back_with_the_decisions(tmp_path: Path) -> None:
    findings = merge_findings([Finding(0, "dress", LABEL, -0.5), Finding(2, "hat", LABEL, -0.4),
                               Finding(3, "", OUTLIER, 1.2), Finding(0, "", OUTLIER, 1.1)])  # fmt: skip
    assert findings[0] == Finding(0, "dress", f"{LABEL}; {OUTLIER}", -0.5)
    file = tmp_path / "review.csv"
    write_findings(file, CATALOGUE, findings)
    unedited, changes = apply_corrections(CATALOGUE, read_corrections(file))
    assert (unedited.checksum, changes) == (CATALOGUE.checksum, [])
    change_cells(file, {"a": ("relabel", ""), "c": ("Relabel ", " hat"), "d": ("exclude", "")})
    corrected, changes = apply_corrections(CATALOGUE, read_corrections(file))
    assert category_by_id(corrected) == {"a": "dress", "b": "dress", "c": "hat"}
    assert corrected.column("supercategory").tolist() == ["full", "full", ""]
    assert [(change.line, change.id) for change in changes] == [(2, "a"), (3, "c"), (4, "d")]
    assert corrected.checksum != CATALOGUE.checksum


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["", "keep", "relabel", "exclude"])),
        unique_by=lambda pair: pair[0],
    )
)
def test_corrections_change_the_decided_rows_only(decisions: list[tuple[int, str]]) -> None:
    ids = CATALOGUE.column("id")
    corrections = [Correction(Path("x.csv"), 2, ids[row], "", action, "hat" if action == "relabel" else "")
                   for row, action in decisions]  # fmt: skip
    corrected, _ = apply_corrections(CATALOGUE, corrections)
    actions = {ids[row]: action for row, action in decisions}
    expected = {
        name: "hat" if actions.get(name) == "relabel" else category
        for name, category in category_by_id(CATALOGUE).items()
        if actions.get(name) != "exclude"
    }
    assert category_by_id(corrected) == expected


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["a,coat,relabel,hat", "z,coat,exclude,"], ["line 3", "'z'"]),
        (["a,coat,relabel,gown"], ["line 2", "'gown'", "coat, dress, hat"]),
        (["a,coat,relabel,"], ["line 2", "new_category"]),
        (["a,coat,keep,hat"], ["line 2", "'hat'", "'keep'"]),
        (["a,coat,delete,"], ["line 2", "'delete'", "exclude"]),
        (["a,dress,exclude,"], ["line 2", "'dress'", "'coat'", "'a'"]),
        (["a,dress,,"], ["line 2", "'dress'", "'coat'"]),  # the category was edited in place
        (["a,coat,exclude,", "", "a,coat,relabel,hat"], ["line 4", "'a'", "line 2", "relabel hat"]),
        (["a,coat,relabel,hat", "a,coat,relabel,dress"], ["line 3", "'a'", "line 2"]),
        (["a,coat,exclude"], ["line 2", "3 cells", "4"]),
        ([",coat,exclude,"], ["line 2", "id"]),
        (['"a,coat,exclude,', "b,dress,keep,"], ["line 2", "quote"]),
    ],
)
def test_errors_name_file_line_and_value(tmp_path: Path, lines: Sequence[str], named: Sequence[str]) -> None:
    file = write(tmp_path, *lines)
    with pytest.raises(ValueError, match=r"review\.csv") as error:
        apply_corrections(CATALOGUE, read_corrections(file))
    assert all(text in str(error.value) for text in [str(file), *named])


@pytest.mark.parametrize("header", ["id;action", "id,new_category", "id,action,action", ""])
def test_missing_columns_are_named(tmp_path: Path, header: str) -> None:
    with pytest.raises(ValueError, match=r"column '(id|action)'"):
        read_corrections(write(tmp_path, header=header))
    with pytest.raises(FileNotFoundError, match=r"data\.corrections=.*none\.csv"):
        read_corrections(tmp_path / "none.csv")


def test_repeated_and_undecided_lines_do_not_conflict(tmp_path: Path) -> None:
    file = write(tmp_path, "a,coat,,", "a,coat,exclude,", "a,coat,exclude,", "unknown,,,")
    corrected, changes = apply_corrections(CATALOGUE, read_corrections(file))
    assert corrected.column("id").tolist() == ["b", "c", "d"]
    assert len(changes) == 1


def test_spreadsheets_may_add_a_byte_order_mark_and_empty_lines(tmp_path: Path) -> None:
    file = write(tmp_path, "a,coat,exclude,", ",,,")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert [correction.id for correction in read_corrections(file)] == ["a"]


def test_corrected_data_have_another_checksum_and_list_what_was_left_out(make_data: MakeData, tmp_path: Path) -> None:
    plain = make_data()
    assert make_data(corrections=None).checksum == plain.checksum
    first, second = plain.catalogue.column("id")[[0, 10]]
    file = write(tmp_path, f"{first},,exclude,", f"{second},,relabel,cross")
    corrected = make_data(corrections=str(file))
    assert corrected.checksum != plain.checksum
    assert first not in corrected.catalogue.column("id")
    assert "review.csv, line 2" in corrected.skipped[first]
    assert category_by_id(corrected.catalogue)[second] == "cross"
    assert isinstance(corrected.source, CorrectedSource)
    assert [(change.id, change.action) for change in corrected.source.changes] == [
        (first, "exclude"),
        (second, "relabel"),
    ]
    batch = next(iter(corrected.train_dataloader()))
    assert batch.images.shape[1:] == (3, 32, 32)
    assert DetectionData(corrected).classes == DetectionData(plain).classes


def test_corrections_come_before_the_selection_of_categories(make_data: MakeData, tmp_path: Path) -> None:
    categories = category_by_id(make_data().catalogue)
    into, out_of = (next(name for name, category in categories.items() if category == each) for each in SHAPES_USED)
    file = write(tmp_path, f"{into},,relabel,{SHAPES_USED[1]}", f"{out_of},,relabel,{SHAPES_USED[0]}")
    selected = make_data(categories=["cross", "square"], corrections=str(file)).catalogue.column("id")
    assert into in selected
    assert out_of not in selected


def test_several_files_are_applied_one_after_another(make_data: MakeData, tmp_path: Path) -> None:
    name = make_data().catalogue.column("id")[0]
    files = []
    for number, (old, new) in enumerate([("circle", "cross"), ("cross", "square")]):
        (tmp_path / str(number)).mkdir()
        files.append(str(write(tmp_path / str(number), f"{name},{old},relabel,{new}")))
    assert category_by_id(make_data(corrections=files).catalogue)[name] == "square"
    with pytest.raises(ValueError, match=r"category='cross'.*'circle'"):
        _ = make_data(corrections=files[::-1]).catalogue


def test_rows_that_the_data_set_skips_are_known(tmp_path: Path) -> None:
    class Skipping:
        skipped: dict[str, str] = {"gone": "unreadable"}  # noqa: RUF012
        checksum = "1"

        def catalogue(self, filters: object = None) -> Catalogue:
            return CATALOGUE

        def image(self, key: str) -> np.ndarray:
            return np.zeros((1, 1, 3), np.uint8)

    source = correct(Skipping(), [str(write(tmp_path, "gone,,exclude,", "b,dress,exclude,"))])
    assert source.catalogue().column("id").tolist() == ["a", "c", "d"]
    assert getattr(source, "skipped").keys() == {"gone", "b"}  # noqa: B009
    assert source.image("a.png").shape == (1, 1, 3)
    assert correct(source, None) is source
