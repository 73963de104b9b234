"""Listed images are found in all folder layouts of the downloads."""

from pathlib import Path

import pytest

from fashion_lsh.data.datasets.deepfashion.image_paths import find_images
from tests.data.datasets.deepfashion.factories import BLOUSE, TEE, save_images


@pytest.mark.parametrize("folder", ["Img", "", "img-001", "Img/img-002", "Img-20230101T000000Z-001/Img"])
def test_images_are_found_in_any_layout(tmp_path: Path, folder: str) -> None:
    save_images(tmp_path / folder, BLOUSE)
    locations, missing = find_images(tmp_path, [BLOUSE])
    assert locations == {BLOUSE: f"{folder}/{BLOUSE}".lstrip("/")}
    assert not missing


def test_partial_downloads_are_combined(tmp_path: Path) -> None:
    save_images(tmp_path / "img-001", BLOUSE)
    save_images(tmp_path / "img-002", TEE.removeprefix("img/"))
    locations, _ = find_images(tmp_path, [BLOUSE, TEE])
    assert locations == {BLOUSE: f"img-001/{BLOUSE}", TEE: f"img-002/{TEE.removeprefix('img/')}"}


def test_file_names_match_case_insensitively_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(tmp_path / "Img", "img/sheer_blouse/img_00000001.JPG", TEE)
    locations, missing = find_images(tmp_path, [BLOUSE, TEE])
    assert (locations[BLOUSE], missing) == ("Img/img/sheer_blouse/img_00000001.JPG", {})
    assert "upper and lower case are ignored: 1" in caplog.text


def test_missing_images_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(tmp_path / "Img", TEE)
    assert find_images(tmp_path, [BLOUSE, TEE])[1] == {BLOUSE: f"image not found (searched {tmp_path / 'Img/img'})"}
    assert "1 of 2 listed images" in caplog.text


def test_a_missing_image_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder img or Img; unpack img\.zip into"):
        find_images(tmp_path, [BLOUSE])
