"""Settings of a results page."""

from pathlib import Path

import pytest

from fashion_lsh.report.page_settings import PageSettings, Selection, read_page_settings


def read(folder: Path, text: str) -> PageSettings:
    (folder / "page.yaml").write_text(text)
    return read_page_settings(folder)


def test_defaults_apply_to_a_missing_or_empty_file(tmp_path: Path) -> None:
    assert read_page_settings(tmp_path) == PageSettings()
    assert read(tmp_path, "") == read(tmp_path, "# only a comment\n") == PageSettings()


def test_all_settings_are_read(tmp_path: Path) -> None:
    text = """\
commands: [python train.py -m experiment=bits]
minutes: 90
jobs: false
base: hash=softmax hash.bits=48
columns: [top-1, "item recall@10, float", lsh/item/recall@10]
selection: {setting: optim.lr, metric: val top-1}
study: stability
"""
    assert read(tmp_path, text) == PageSettings(
        commands=("python train.py -m experiment=bits",),
        minutes=90,
        jobs=False,
        base="hash=softmax hash.bits=48",
        columns=("top-1", "item recall@10, float", "lsh/item/recall@10"),
        selection=Selection(setting="optim.lr", metric="val top-1"),
        study="stability",
    )


def test_a_file_that_cannot_be_read_is_rejected_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "page.yaml"
    path.write_bytes(b"commands: [\xff\xfe]")
    with pytest.raises(ValueError, match=rf"{path}.*UTF-8"):
        read_page_settings(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=rf"{path}"):
        read_page_settings(tmp_path)


@pytest.mark.parametrize(("text", "reason"), [
    ("colums: [top-1]", "colums.*keys: commands, .*columns"),
    ("columns: top-1", "columns"),
    ("minutes: -1", "minutes"),
    ("selection: {setting: optim.lr}", r"selection\.metric"),
    ("selection: {setting: optim.lr, metric: top-1, by: top-5}", r"selection\.by"),
    ("base: [hash=softmax]", "base"),
    ("- top-1", "mapping of commands"),
    ("just text", "mapping of commands"),
    ("columns: [top-1", "not a YAML file"),
])  # fmt: skip
def test_an_invalid_file_is_rejected_with_its_path_and_key(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"{tmp_path / 'page.yaml'}.*{reason}"):
        read(tmp_path, text)
