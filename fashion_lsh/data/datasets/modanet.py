"""ModaNet: garment boxes in street images with one person each."""

import logging
from pathlib import Path

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.coco import Coco
from fashion_lsh.data.datasets.image_files import ExpectedFile, PublishedCounts

log = logging.getLogger(__name__)

TRAIN_FILE = "modanet2018_instances_train.json"
CORRECTED_FILE = "instances_all.json"
SHOE_CATEGORIES = ("boots", "footwear")  # a box of these categories may contain both feet, and boxes may overlap
LFS_POINTER = b"version https://git-lfs"  # first bytes of a Git LFS pointer file


class ModaNet(Coco):
    """ModaNet: each box of the train file is a garment. There are no splits, because the published val has no boxes.

    The annotation file is in `<root>/annotations` or `<root>`, or root is the file. Images are in `<root>/images` or
    `<root>/photos` and named by a seven-digit id (`0655364.jpg`). Garments in missing images are skipped.

    Args:
        root: Folder of annotations and images, or an annotation file.
        corrected: Whether `instances_all.json`, with boxes corrected by a third party, is read instead of the published
            file.
    """

    licence = "annotations CC BY-NC 4.0; the images belong to the users of Chictopia"
    published = PublishedCounts({"": 52_377}, "images")

    def __init__(self, root: str, corrected: bool = False) -> None:
        super().__init__(root)
        self.corrected = corrected
        boxes = ExpectedFile(f"annotations/{TRAIN_FILE}|{TRAIN_FILE}", "boxes of 52,377 images")
        if corrected:
            boxes = ExpectedFile(f"annotations/{CORRECTED_FILE}|{CORRECTED_FILE}", "boxes corrected by a third party")
        images = ExpectedFile("images/*.jpg|photos/*.jpg|*.jpg", "images of Paperdoll")
        self.expected = (images,) if self.root.is_file() else (boxes, images)

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        catalogue, skipped = super().list_garments()
        num_shoe_boxes = sum(name in SHOE_CATEGORIES for name in catalogue.column("category"))
        if num_shoe_boxes and not self.corrected:
            log.warning(
                "%d boxes of %s: some of these boxes contain both feet or overlap",
                num_shoe_boxes,
                " and ".join(SHOE_CATEGORIES),
            )
        return catalogue.with_columns(source=["modanet"] * len(catalogue)), skipped

    def _files(self) -> list[Path]:
        if self.root.is_file():
            return [_check_not_pointer(self.root)]
        name = CORRECTED_FILE if self.corrected else TRAIN_FILE
        candidates = [path for path in (self.root / "annotations" / name, self.root / name) if path.is_file()]
        if not candidates:
            raise FileNotFoundError(
                f"data.root={self.root}: no {name} there or in its folder annotations; "
                f"copy the file there{self._alternative()}"
            )
        return [_check_not_pointer(candidates[0])]

    def _alternative(self) -> str:
        return ", or set data=modanet" if self.corrected else ", or set data.root to another folder"

    def _image_folder(self, file: Path) -> Path:
        candidates = [Path(name) for name in ("images", "photos") if (self.folder / name).is_dir()]
        return candidates[0] if candidates else super()._image_folder(file)


def _check_not_pointer(file: Path) -> Path:
    """Return the file.  Raises ValueError if the file is a Git LFS pointer."""
    with file.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ValueError(
                f"{file}: Git LFS pointer instead of annotations; run `git lfs pull` in the clone of ModaNet"
            )
    return file
