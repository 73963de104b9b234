"""Functions that write DeepFashion files and images for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

FRONT, SIDE, BACK = (f"img/WOMEN/Dresses/id_00000002/{name}.jpg" for name in ("02_1_front", "02_2_side", "03_3_back"))
JEANS = "img/MEN/Denim/id_00000007/01_1_front.jpg"
BLOUSE, SLEEVED, TEE, SKIRT = (f"img/{name}/img_00000001.jpg" for name in ("Sheer_Blouse", "A_Tee", "B_Tee", "C_Skirt"))


def write(path: Path, header: str, rows: Sequence[str], count: int | None = None, end: str = "\n") -> Path:
    """Write a file as published: row count, column names, rows (every second row has trailing blanks)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    padded_rows = [row + "  " * (index % 2) for index, row in enumerate(rows)]
    first_lines = [str(len(rows) if count is None else count), *([header] if header else [])]
    path.write_bytes("".join(line + end for line in [*first_lines, *padded_rows]).encode())
    return path


def row(name: str, *cells: Any) -> str:
    return f"{name:<70} {' '.join(map(str, cells))}"


def save_images(root: Path, *names: str, size: tuple[int, int] = (256, 256)) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 9, 40 * number)).save(root / name)


def replace_text(path: Path, old: str, new: str) -> None:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))


def column_values(source: Any, column: str) -> dict[str, Any]:
    catalogue = source.list_garments()[0]
    return dict(zip(catalogue.column("id"), catalogue.column(column), strict=True))


def assert_required_files_are_read(root: Path, source: Any) -> None:
    """Check that `list_garments` raises an error if any required file or folder is missing."""
    for expected in source.expected:
        paths = list(expected.paths(root))
        if not expected.required:
            continue
        assert paths, expected
        for path in paths:
            path.rename(path.with_name(f"renamed_{path.name}"))
        with pytest.raises(FileNotFoundError):
            source(str(root)).list_garments()
        for path in paths:
            path.with_name(f"renamed_{path.name}").rename(path)


def write_inshop(root: Path) -> Path:
    """Write two items of the in-shop benchmark, with images in both resolutions; return the folder."""
    annotations = {FRONT: (3, "query"), SIDE: (3, "gallery"), BACK: (3, "gallery"), JEANS: (2, "train")}
    save_images(root / "Img", *annotations)
    save_images(root / "Img", *(name.replace("img/", "img_highres/", 1) for name in annotations), size=(75, 110))
    rows = [row(name, name.split("/")[3], status) for name, (_, status) in annotations.items()]
    write(root / "Eval/list_eval_partition.txt", "image_name item_id evaluation_status", rows)
    boxes = [row(name, clothes_type, 1, "065", "045", "233", "252") for name, (clothes_type, _) in annotations.items()]
    header = "image_name  clothes_type  pose_type  x_1  y_1  x_2  y_2"
    write(root / "Anno/list_bbox_inshop.txt", header, boxes)
    write(root / "Anno/list_item_inshop.txt", "", ["id_00000002", "id_00000007"])
    return root
