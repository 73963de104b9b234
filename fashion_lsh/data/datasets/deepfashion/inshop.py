"""DeepFashion's benchmark of a shop's own pictures: one picture of a product finds its others."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.files import LICENCE, Reasons
from fashion_lsh.data.datasets.deepfashion.images import on_disk
from fashion_lsh.data.datasets.image_files import SPLIT_WORDS, Expected, PictureFiles, Published
from fashion_lsh.data.schema import box_of

log = logging.getLogger(__name__)

BOXES = ("image_name", "clothes_type", "pose_type", "x_1", "y_1", "x_2", "y_2")
EVALUATION = ("image_name", "item_id", "evaluation_status")
SIDE = 256  # of the pictures that the boxes belong to, in pixels


class DeepFashionInshop(PictureFiles):
    """A garment a picture, of `Anno`, `Eval` and `Img/img`; splits, query and gallery included, as published.

    A category is `<GENDER>/<folder>/<upper|lower|full>`, as `MEN/Denim/lower`. Boxes belong to the 256 x 256
    pictures of `img`: those of `img_highres` are not looked at.
    """

    licence = LICENCE
    expected = (
        Expected("[Ii]mg*", "the pictures of 256 x 256, as Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg"),
        Expected("Eval/list_eval_partition.txt", "item, and train, query or gallery, of each picture"),
        Expected("Anno/list_bbox_inshop.txt", "box and type of clothes of each picture"),
        Expected("Anno/list_item_inshop.txt", "the 7,982 items", needed=False),
    )
    published = Published({"train": 25_882, "query": 14_218, "gallery": 12_612})

    def listed(self) -> tuple[Catalogue, Reasons]:
        evaluation = files.read_table(files.find(self.root, "list_eval_partition.txt", "Eval"), EVALUATION)
        boxes = files.read_table(files.find(self.root, "list_bbox_inshop.txt", "Anno"), BOXES)
        files.check_items(self.root / "Anno" / "list_item_inshop.txt", {item for item, _ in evaluation.rows.values()})
        paths, left_out = files.joined({"list_eval_partition.txt": evaluation, "list_bbox_inshop.txt": boxes})
        places, gone = on_disk(self.root, paths)
        _check_side(self.root, places)
        rows = ((path, _row(path, place, evaluation.rows[path], boxes.rows[path])) for path, place in places.items())
        return files.gathered(rows, left_out | gone)


def _row(path: str, place: str, evaluation: Sequence[str], garment: Sequence[str]) -> Mapping[str, Any] | str:
    """The columns of a garment, or why it is of no use."""
    (item, status), (kind, _, *sides) = evaluation, garment
    split, category, box = SPLIT_WORDS.get(status.lower()), files.category_of(path, kind), box_of(sides)
    if split is None:
        return f"its split {status!r} is unknown"
    if category is None:
        return f"its clothes_type {kind!r} is none of 1, 2, 3, or it does not lie in img/<gender>/<folder>/<item>"
    if box is None:
        return f"its box {' '.join(sides)} is no box with an area"
    return {
        "picture": place, "category": category, "supercategory": files.kind_of(kind), "item": item, "group": "",
        "split": split, "view": "shop", "source": "deepfashion_inshop", "box": box,
    }  # fmt: skip


def _check_side(root: Path, places: Mapping[str, str]) -> None:
    """Warn where the first picture has another size than that which the boxes belong to."""
    first = next(iter(places.values()), None)
    if first is None:
        return
    try:
        with Image.open(root / first) as picture:
            size = picture.size
    except (OSError, ValueError, Image.DecompressionBombError):  # it is left out, and named, when all are opened
        return
    if size != (SIDE, SIDE):
        log.warning("%s has %d x %d pixels: boxes belong to pictures of %d x %d", first, *size, SIDE, SIDE)
