"""ModaNet: boxes of garments in street pictures of one person each."""

import logging
from pathlib import Path

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.coco import Coco
from fashion_lsh.data.datasets.image_files import Expected, Published

log = logging.getLogger(__name__)

TRAIN = "modanet2018_instances_train.json"
CORRECTED = "instances_all.json"
MERGED = ("boots", "footwear")  # their boxes may hold both feet, or overlap
POINTER = b"version https://git-lfs"  # how the stand-in begins that a plain clone has for a large file


class ModaNet(Coco):
    """Every box of ModaNet's train file as a garment, without splits: the published val has no annotations.

    The file lies in `<root>/annotations` or in `<root>`, or root is the file. Pictures, each named by its id of seven
    digits (`0655364.jpg`), lie in `<root>/images` or `<root>/photos`; those that are not there are left out.

    Args:
        root: the folder of annotations and pictures, or an annotation file.
        corrected: read `instances_all.json`, in which a third party has mended boxes, in place of the published file.
    """

    licence = "annotations CC BY-NC 4.0; the pictures belong to the users of Chictopia"
    published = Published({"": 52_377}, "pictures")

    def __init__(self, root: str, corrected: bool = False) -> None:
        super().__init__(root)
        self.corrected = corrected
        boxes = Expected(f"annotations/{TRAIN}|{TRAIN}", "the boxes of 52,377 pictures")
        if corrected:
            boxes = Expected(f"annotations/{CORRECTED}|{CORRECTED}", "the same, mended by a third party")
        pictures = Expected("images/*.jpg|photos/*.jpg|*.jpg", "the pictures, from Paperdoll")
        self.expected = (pictures,) if self.root.is_file() else (boxes, pictures)

    def listed(self) -> tuple[Catalogue, dict[str, str]]:
        catalogue, left_out = super().listed()
        merged = sum(name in MERGED for name in catalogue.column("category"))
        if merged and not self.corrected:
            log.warning("%d boxes are of %s: some hold both feet, or overlap", merged, " and ".join(MERGED))
        return catalogue.having(source=["modanet"] * len(catalogue)), left_out

    def _files(self) -> list[Path]:
        if self.root.is_file():
            return [_whole(self.root)]
        name = CORRECTED if self.corrected else TRAIN
        found = [path for path in (self.root / "annotations" / name, self.root / name) if path.is_file()]
        if not found:
            raise FileNotFoundError(f"no {name} in {self.root} or its folder annotations: put it there{self._other()}")
        return [_whole(found[0])]

    def _other(self) -> str:
        return ", or leave corrected out" if self.corrected else ", or give data.root another folder"

    def _pictures(self, file: Path) -> Path:
        found = [Path(name) for name in ("images", "photos") if (self.folder / name).is_dir()]
        return found[0] if found else super()._pictures(file)


def _whole(file: Path) -> Path:
    """ValueError: the file is the stand-in for one in Git's large file storage."""
    with file.open("rb") as opened:
        if opened.read(len(POINTER)) == POINTER:
            raise ValueError(f"{file} only points to the annotations: fetch them with `git lfs pull` in that clone")
    return file
