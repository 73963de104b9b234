"""DeepFashion category and attribute prediction: coarse annotations, and the fine subset with new labels."""

import logging
from collections.abc import Sequence
from pathlib import Path

from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.fifty_categories import (
    LONG_SLEEVE,
    TEE,
    Annotation,
    FiftyCategories,
    category_by_number,
    long_sleeve_index,
)
from fashion_lsh.data.datasets.deepfashion.files import Reasons
from fashion_lsh.data.datasets.image_files import ExpectedFile, PublishedCounts

log = logging.getLogger(__name__)

SPLIT_ORDER = ("test", "val", "train")  # an image listed in several splits is assigned to the first of these
COARSE_FOLDERS = ("Anno_coarse", "Anno")  # the older release has Anno
FINE_FOLDER, NUM_FINE_ATTRIBUTES = "Anno_fine", 26
FINE_LONG_SLEEVE_INDEX = 7  # index of long_sleeve in the documented order of the 26 attributes

CATEGORY_COLUMNS = ("image_name", "category_label")
BBOX_COLUMNS = ("image_name", "x_1", "y_1", "x_2", "y_2")
PARTITION_COLUMNS = ("image_name", "evaluation_status")


def _in_any(name: str, *folders: str) -> str:
    """Pattern of a file that is in one of several folders (see ExpectedFile)."""
    return "|".join(f"{folder}/{name}" for folder in folders)


class DeepFashionCategory(FiftyCategories):
    """Category and attribute benchmark: one garment of 50 categories per image.

    The annotations are read from `Anno_coarse` (or the older `Anno`). If attributes are present, a Tee with the
    attribute `long sleeve` has category `Tee/long sleeve`. The group is the product folder. Many products are in
    several published splits (see `split.leaks`).
    """

    expected = (
        ExpectedFile("[Ii]mg*/", "images, as Img/img/<product>/img_00000001.jpg"),
        ExpectedFile("Eval/list_eval_partition.txt", "split of each image: train, val or test"),
        ExpectedFile(_in_any("list_category_cloth.txt", *COARSE_FOLDERS), "names of the 50 categories"),
        ExpectedFile(_in_any("list_category_img.txt", *COARSE_FOLDERS), "category of each image"),
        ExpectedFile(_in_any("list_bbox.txt", *COARSE_FOLDERS), "box of each image"),
        ExpectedFile(_in_any("list_attr_cloth.txt", *COARSE_FOLDERS), "names of the 1,000 attributes", required=False),
        ExpectedFile(
            _in_any("list_attr_img.txt", *COARSE_FOLDERS),
            "attributes of each image, used to find long-sleeved tees",
            required=False,
        ),
    )
    published = PublishedCounts({"train": 209_222, "val": 40_000, "query": 40_000})
    annotation_folders = COARSE_FOLDERS
    source = "deepfashion_category"

    def _read_annotations(self) -> tuple[dict[str, Annotation], Reasons]:
        numbers = files.read_table(self._file("list_category_img.txt"), CATEGORY_COLUMNS)
        boxes = files.read_table(self._file("list_bbox.txt"), BBOX_COLUMNS)
        splits = files.read_table(files.find_file(self.root, "list_eval_partition.txt", "Eval"), PARTITION_COLUMNS)
        tables = {"list_category_img.txt": numbers, "list_bbox.txt": boxes, "list_eval_partition.txt": splits}
        paths, skipped = files.inner_join(tables)
        tee_numbers = {
            number
            for (number,) in numbers.rows.values()
            if (category := category_by_number(number, self.names)) and category.name == TEE
        }
        tees = [path for path in paths if numbers.rows[path][0] in tee_numbers]
        long_sleeved, without_attributes = self._find_long_sleeved(tees)
        annotations = {
            path: Annotation(numbers.rows[path][0], boxes.rows[path], splits.rows[path][0], path in long_sleeved)
            for path in paths
            if path not in without_attributes
        }
        return annotations, skipped | without_attributes

    def _find_long_sleeved(self, tees: Sequence[str]) -> tuple[set[str], Reasons]:
        """Return the tees with long sleeves (none without attribute files); reasons for tees without a valid row."""
        try:
            names = [name for name, _ in files.read_names(self._file("list_attr_cloth.txt"))]
            values_file = self._file("list_attr_img.txt")
        except FileNotFoundError as error:
            log.warning("Not separating long-sleeved tees: %s", error)
            return set(), {}
        index = long_sleeve_index(names)
        if index is None:
            log.warning("Not separating long-sleeved tees: none of %d attributes is named %r", len(names), LONG_SLEEVE)
            return set(), {}
        table = files.read_cell(values_file, index, len(names), {path.encode() for path in tees})
        without_attributes = {
            path: "list_attr_img.txt has no row for this Tee" for path in tees if path not in table.rows
        }
        return {path for path, (value,) in table.rows.items() if value == "1"}, without_attributes | table.bad


class DeepFashionFine(FiftyCategories):
    """Fine subset: one garment per image, in 20,000 images with new labels in `Anno_fine`.

    The files have no header, and only `train.txt` contains paths: line n of `train_bbox.txt` belongs to line n of
    `train.txt`. Categories and groups are the same as in DeepFashionCategory.
    """

    expected = (
        ExpectedFile("[Ii]mg*/", "images, as Img/img/<product>/img_00000001.jpg"),
        ExpectedFile(
            _in_any("list_category_cloth.txt", FINE_FOLDER, *COARSE_FOLDERS),
            "names of the 50 categories",
        ),
        *(
            ExpectedFile(f"Anno_fine/{split}{suffix}.txt", f"{content} of split {split}", required=suffix != "_attr")
            for split in SPLIT_ORDER
            for suffix, content in (
                ("", "images"),
                ("_cate", "categories"),
                ("_bbox", "boxes"),
                ("_attr", "attributes"),
            )
        ),
        ExpectedFile("Anno_fine/list_attr_cloth.txt", "names of the 26 attributes", required=False),
    )
    published = PublishedCounts({"train": 14_000, "val": 2_000, "query": 4_000})
    annotation_folders = (FINE_FOLDER, *COARSE_FOLDERS)
    source = "deepfashion_fine"

    def _read_annotations(self) -> tuple[dict[str, Annotation], Reasons]:
        index = self._find_long_sleeve_index()
        annotations: dict[str, Annotation] = {}
        skipped: Reasons = {}
        for split in SPLIT_ORDER:
            for number, (path, annotation) in enumerate(read_fine_rows(self.root, split, index), start=1):
                if path in annotations or not path:
                    reason = f"already listed in {annotations[path].split}.txt" if path else "empty line"
                    skipped[f"{path} (line {number} of {split}.txt)".strip()] = reason
                else:
                    annotations[path] = annotation
        return annotations, skipped

    def _find_long_sleeve_index(self) -> int:
        path = self.root / FINE_FOLDER / "list_attr_cloth.txt"
        names = [name for name, _ in files.read_names(path)] if path.is_file() else []
        index = long_sleeve_index(names) if len(names) == NUM_FINE_ATTRIBUTES else None
        if index is None:
            log.warning(
                "%s does not list %d attributes including %r; assuming that long sleeve is attribute %d",
                path,
                NUM_FINE_ATTRIBUTES,
                LONG_SLEEVE,
                FINE_LONG_SLEEVE_INDEX + 1,
            )
        return FINE_LONG_SLEEVE_INDEX if index is None else index


def read_fine_rows(root: Path, split: str, index: int) -> list[tuple[str, Annotation]]:
    """Read (image path, annotation) from each line of a split's files.

    Args:
        root: Folder that contains `Anno_fine`.
        split: train, val or test.
        index: Index of the attribute `long sleeve`.

    Raises:
        FileNotFoundError: A file is missing, other than the optional attributes.
        ValueError: The files differ in the number of lines, or a row has the wrong number of values.
    """
    paths = [line.strip() for line in files.read_lines(files.find_file(root, f"{split}.txt", FINE_FOLDER))]
    numbers, boxes = (
        _read_aligned(root, split, suffix, len(paths), width) for suffix, width in (("_cate", 1), ("_bbox", 4))
    )
    if (root / FINE_FOLDER / f"{split}_attr.txt").is_file():
        attributes = _read_aligned(root, split, "_attr", len(paths), NUM_FINE_ATTRIBUTES)
    else:
        log.warning("Not separating long-sleeved tees: %s has no %s_attr.txt", root / FINE_FOLDER, split)
        attributes = [["0"] * NUM_FINE_ATTRIBUTES] * len(paths)
    rows = zip(paths, numbers, boxes, attributes, strict=True)
    return [(path, Annotation(number[0], box, split, values[index] == "1")) for path, number, box, values in rows]


def _read_aligned(root: Path, split: str, suffix: str, count: int, width: int) -> list[list[str]]:
    """Read the cells of a file whose lines correspond to the lines of `<split>.txt`."""
    path = files.find_file(root, f"{split}{suffix}.txt", FINE_FOLDER)
    rows = [line.split() for line in files.read_lines(path)]
    if len(rows) != count:
        raise ValueError(
            f"{path}: {len(rows)} lines, but {split}.txt has {count}; unpack both files again, "
            "because their lines must correspond"
        )
    bad_index = next((index for index, cells in enumerate(rows) if len(cells) != width), None)
    if bad_index is not None:
        raise ValueError(
            f"{path}: line {bad_index + 1} has {len(rows[bad_index])} values instead of {width}; "
            "use the official file of Anno_fine"
        )
    return rows
