"""ModaNet: boxes of garments in street pictures of one person each."""

import logging
from pathlib import Path

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.coco import Coco
from fashion_lsh.data.datasets.image_files import ExpectedFile, PublishedCounts

log = logging.getLogger(__name__)

TRAIN_FILE = "modanet2018_instances_train.json"
CORRECTED_FILE = "instances_all.json"
SHOE_CATEGORIES = ("boots", "footwear")  # their boxes may hold both feet, or overlap
LFS_POINTER = b"version https://git-lfs"  # how the stand-in begins that a plain clone has for a large file


class ModaNet(Coco):
    """Every box of ModaNet's train file as a garment, without splits: the published val has no annotations.

    The file lies in `<root>/annotations` or in `<root>`, or root is the file. Pictures, each named by its id of seven
    digits (`0655364.jpg`), lie in `<root>/images` or `<root>/photos`; those that are not there are left out.

    Args:
        root: the folder of annotations and pictures, or an annotation file.
        corrected: read `instances_all.json`, in which a third party has mended boxes, in place of the published file.
    """

    licence = "annotations CC BY-NC 4.0; the pictures belong to the users of Chictopia"
    published = PublishedCounts({"": 52_377}, "images")

    def __init__(self, root: str, corrected: bool = False) -> None:
        super().__init__(root)
        self.corrected = corrected
        boxes = ExpectedFile(f"annotations/{TRAIN_FILE}|{TRAIN_FILE}", "the boxes of 52,377 pictures")
        if corrected:
            boxes = ExpectedFile(f"annotations/{CORRECTED_FILE}|{CORRECTED_FILE}", "the same, mended by a third party")
        images = ExpectedFile("images/*.jpg|photos/*.jpg|*.jpg", "the pictures, from Paperdoll")
        self.expected = (images,) if self.root.is_file() else (boxes, images)

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        catalogue, left_out = super().list_garments()
        n_shoe_boxes = sum(name in SHOE_CATEGORIES for name in catalogue.column("category"))
        if n_shoe_boxes and not self.corrected:
            log.warning(
                "%d boxes are of %s: some hold both feet, or overlap", n_shoe_boxes, " and ".join(SHOE_CATEGORIES)
            )
        return catalogue.with_columns(source=["modanet"] * len(catalogue)), left_out

    def _files(self) -> list[Path]:
        if self.root.is_file():
            return [_check_not_pointer(self.root)]
        name = CORRECTED_FILE if self.corrected else TRAIN_FILE
        candidates = [path for path in (self.root / "annotations" / name, self.root / name) if path.is_file()]
        if not candidates:
            raise FileNotFoundError(
                f"no {name} in {self.root} or its folder annotations: put it there{self._alternative()}"
            )
        return [_check_not_pointer(candidates[0])]

    def _alternative(self) -> str:
        return ", or leave corrected out" if self.corrected else ", or give data.root another folder"

    def _image_folder(self, file: Path) -> Path:
        candidates = [Path(name) for name in ("images", "photos") if (self.folder / name).is_dir()]
        return candidates[0] if candidates else super()._image_folder(file)


def _check_not_pointer(file: Path) -> Path:
    """ValueError: the file is the stand-in for one in Git's large file storage."""
    with file.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise ValueError(f"{file} only points to the annotations: fetch them with `git lfs pull` in that clone")
    return file
