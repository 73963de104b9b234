"""Review of the data of a run: noise is found, linked rows share a fold, files are written and handed back."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.corrections import COLUMNS
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.review.findings import LABEL, OUTLIER, Finding
from fashion_lsh.report import label_review
from fashion_lsh.report.label_review import (
    LabelCheck,
    Review,
    check_labels,
    describe_review,
    encode_rows,
    review_data,
    write_review,
)
from tests.data.review.factories import noisy_embeddings
from tests.evaluation.fake_model import FakeModel

MakeData = Callable[..., GarmentData]


def catalogue_of(labels: np.ndarray, **columns: list[str]) -> Catalogue:
    ids = [f"{number:04}" for number in range(len(labels))]
    return Catalogue.from_columns(
        {"id": ids, "image": ids, "category": [f"category {label}" for label in labels], **columns}
    )


def test_wrong_labels_are_ranked_first() -> None:
    embeddings, labels, is_wrong = noisy_embeddings()
    catalogue = catalogue_of(labels)
    check = check_labels(catalogue, np.arange(len(labels)), embeddings, np.full(len(labels), "", dtype=object))
    first = [finding.row for finding in check.findings[:20]]
    assert is_wrong[first].mean() > 0.8  # chance: 0.1
    assert (check.num_rows, check.unchecked) == (len(labels), [])
    assert check.accuracy > 0.7
    assert all(finding.suggested != catalogue.column("category")[finding.row] for finding in check.findings)


def test_linked_rows_do_not_vouch_for_each_other() -> None:
    """Copies of a wrongly labelled image have the same wrong label: in other folds, they would confirm it."""
    embeddings, labels, _ = noisy_embeddings(noise=0)
    rows = np.r_[np.arange(len(labels)), np.repeat(0, 12)]
    labels = np.where((rows == 0), 1, labels[rows])
    copies = np.flatnonzero(rows == 0)
    found = []
    for groups in (np.where(rows == 0, "g", ""), np.full(len(rows), "")):
        check = check_labels(catalogue_of(labels), np.arange(len(rows)), embeddings[rows], groups.astype(object))
        found.append({finding.row for finding in check.findings} & set(copies.tolist()))
    assert len(found[0]) == len(copies)
    assert not found[1]


def test_a_category_of_linked_rows_is_not_checked(caplog: pytest.LogCaptureFixture) -> None:
    embeddings, labels, _ = noisy_embeddings()
    items = ["same" if label == 4 else "" for label in labels]
    catalogue = catalogue_of(labels, item=items)
    check = check_labels(catalogue, np.arange(len(labels)), embeddings, np.full(len(labels), "", dtype=object))
    assert check.unchecked == ["category 4"]
    assert "category 4" in caplog.text
    assert check.num_rows == (labels != 4).sum()
    named = {catalogue.column("category")[each.row] for each in check.findings} | {
        each.suggested for each in check.findings
    }
    assert "category 4" not in named


def test_a_single_category_has_no_doubtful_labels() -> None:
    catalogue = catalogue_of(np.zeros(6, np.int64))
    check = check_labels(catalogue, np.arange(6), np.eye(6), np.full(6, "", dtype=object))
    assert (check.findings, check.num_rows) == ([], 0)


def test_all_rows_are_encoded_once(make_data: MakeData) -> None:
    for data in (make_data(), make_data(gallery="train")):
        rows, embeddings = encode_rows(FakeModel(data.categories), data)
        used = [row for name in set(data.catalogue.column("split")) for row in data.catalogue.rows(name)]
        if data.gallery == "train":
            used = [row for row in used if data.catalogue.column("split")[row] != "gallery"]
        assert sorted(rows.tolist()) == sorted(used)
        assert len(embeddings) == len(rows)


def test_files_are_written_once_and_handed_back(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data()
    review = review_data(FakeModel(data.categories), data, limit=3)
    assert len([each for each in review.findings if LABEL in each.reason]) <= 3
    findings = [Finding(0, "cross", LABEL, -0.5), Finding(5, "", OUTLIER, 1.5)]
    review = Review(data.catalogue, findings, LabelCheck(findings[:1], 72, 0.9, []))
    paths = write_review(tmp_path / "out", review, data)
    assert [path.name for path in paths] == ["review.csv", "sheet_01.png"]
    with Image.open(paths[1]) as sheet:
        assert sheet.width > label_review.TILE_SIZE
    with paths[0].open(newline="") as file:
        header, *lines = list(csv.reader(file))
    assert tuple(header) == COLUMNS
    row = data.catalogue.row(0)
    assert lines[0] == ["1", row["id"], row["image"], row["category"], "cross", LABEL, "-0.500", "", ""]
    assert make_data(corrections=str(paths[0])).checksum == data.checksum
    lines[0][-2] = "relabel"
    with paths[0].open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    corrected = make_data(corrections=str(paths[0]))
    assert corrected.checksum != data.checksum
    with pytest.raises(FileExistsError, match=r"out/review\.csv"):
        write_review(tmp_path / "out", review, data)
    assert "cross" in corrected.catalogue.row(0)["category"]
    text = describe_review(review, paths)
    assert all(
        part in text for part in ("72", "0.900", "circle → cross 1", "1 doubtful labels", "1 outliers", str(paths[0]))
    )


def test_many_findings_fill_several_sheets(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(label_review, "TILES_PER_LINE", 2)
    monkeypatch.setattr(label_review, "LINES_PER_SHEET", 2)
    data = make_data()
    findings = [Finding(row, "", OUTLIER, 1.0) for row in range(5)]
    keys = data.catalogue.column("image")
    original = data.source.image

    def image(key: str) -> np.ndarray:
        if key == keys[4]:
            raise OSError(key)
        return original(key)

    monkeypatch.setattr(data.source, "image", image)
    paths = write_review(tmp_path, Review(data.catalogue, findings, LabelCheck([], 0, 0, [])), data)
    assert [path.name for path in paths] == ["review.csv", "sheet_01.png", "sheet_02.png"]
    assert keys[4] in caplog.text
