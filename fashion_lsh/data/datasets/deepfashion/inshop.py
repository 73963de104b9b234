"""DeepFashion's benchmark of a shop's own pictures: one picture of a product finds its others."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.files import LICENCE, Reasons
from fashion_lsh.data.datasets.deepfashion.image_paths import find_images
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, ExpectedFile, ImageFiles, PublishedCounts
from fashion_lsh.data.schema import parse_box

log = logging.getLogger(__name__)

BBOX_COLUMNS = ("image_name", "clothes_type", "pose_type", "x_1", "y_1", "x_2", "y_2")
PARTITION_COLUMNS = ("image_name", "item_id", "evaluation_status")
IMAGE_SIZE = 256  # of the pictures that the boxes belong to, in pixels


class DeepFashionInshop(ImageFiles):
    """A garment a picture, of `Anno`, `Eval` and `Img/img`; splits, query and gallery included, as published.

    A category is `<GENDER>/<folder>/<upper|lower|full>`, as `MEN/Denim/lower`. Boxes belong to the 256 x 256
    pictures of `img`: those of `img_highres` are not looked at.
    """

    licence = LICENCE
    expected = (
        ExpectedFile("[Ii]mg*", "the pictures of 256 x 256, as Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg"),
        ExpectedFile("Eval/list_eval_partition.txt", "item, and train, query or gallery, of each picture"),
        ExpectedFile("Anno/list_bbox_inshop.txt", "box and type of clothes of each picture"),
        ExpectedFile("Anno/list_item_inshop.txt", "the 7,982 items", required=False),
    )
    published = PublishedCounts({"train": 25_882, "query": 14_218, "gallery": 12_612})

    def list_garments(self) -> tuple[Catalogue, Reasons]:
        evaluation = files.read_table(files.find_file(self.root, "list_eval_partition.txt", "Eval"), PARTITION_COLUMNS)
        boxes = files.read_table(files.find_file(self.root, "list_bbox_inshop.txt", "Anno"), BBOX_COLUMNS)
        files.check_items(self.root / "Anno" / "list_item_inshop.txt", {item for item, _ in evaluation.rows.values()})
        paths, left_out = files.inner_join({"list_eval_partition.txt": evaluation, "list_bbox_inshop.txt": boxes})
        locations, missing = find_images(self.root, paths)
        _check_image_size(self.root, locations)
        rows = (
            (path, _row(path, location, evaluation.rows[path], boxes.rows[path]))
            for path, location in locations.items()
        )
        return files.build_catalogue(rows, left_out | missing)


def _row(path: str, location: str, evaluation: Sequence[str], garment: Sequence[str]) -> Mapping[str, Any] | str:
    """The columns of a garment, or why it is of no use."""
    (item, status), (clothes_type, _, *coordinates) = evaluation, garment
    split, category, box = (
        SPLIT_ALIASES.get(status.lower()),
        files.parse_category(path, clothes_type),
        parse_box(coordinates),
    )
    if split is None:
        return f"its split {status!r} is unknown"
    if category is None:
        return (
            f"its clothes_type {clothes_type!r} is none of 1, 2, 3, or it does not lie in img/<gender>/<folder>/<item>"
        )
    if box is None:
        return f"its box {' '.join(coordinates)} is no box with an area"
    return {
        "image": location, "category": category, "supercategory": files.parse_clothes_type(clothes_type),
        "item": item, "group": "",
        "split": split, "view": "shop", "source": "deepfashion_inshop", "box": box,
    }  # fmt: skip


def _check_image_size(root: Path, locations: Mapping[str, str]) -> None:
    """Warn where the first picture has another size than that which the boxes belong to."""
    first = next(iter(locations.values()), None)
    if first is None:
        return
    try:
        with Image.open(root / first) as image:
            size = image.size
    except (OSError, ValueError, Image.DecompressionBombError):  # it is left out, and named, when all are opened
        return
    if size != (IMAGE_SIZE, IMAGE_SIZE):
        log.warning("%s has %d x %d pixels: boxes belong to pictures of %d x %d", first, *size, IMAGE_SIZE, IMAGE_SIZE)
