"""Find the image files named in DeepFashion's lists."""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fashion_lsh.data.datasets.deepfashion.files import Reasons
from fashion_lsh.data.datasets.image_files import MISSING_IMAGE, report_unreadable

log = logging.getLogger(__name__)

IMG_FOLDER = re.compile(r"img(-\S*\d)?", re.IGNORECASE)  # img, Img, and img-001 of a partial download


def find_images(root: Path, names: Iterable[str]) -> tuple[dict[str, str], Reasons]:
    """Map listed names (`img/...`) to paths below root, and missing names to reasons.

    Searches `img`, `Img`, `img-001` and so on in the root, and folders with such names inside them. Names that differ
    only in case are matched too, and counted in the log.

    Raises:
        FileNotFoundError: The root has no such folder.
    """
    folders = _image_folders(root) if root.is_dir() else []
    if not folders:
        raise FileNotFoundError(f"{root}: no folder img or Img; unpack img.zip into {root / 'Img'}")
    known: dict[str, str] = {}
    for folder in reversed(folders):  # the first folder wins if a name occurs twice
        known.update(_list_files(folder, root))
    requested = list(names)
    case_differs = any(name not in known for name in requested)
    by_casefold = {name.casefold(): path for name, path in known.items()} if case_differs else {}
    found = {name: path for name in requested if (path := known.get(name) or by_casefold.get(name.casefold()))}
    n_case_differs, n_missing = sum(name not in known for name in found), len(requested) - len(found)
    if n_case_differs:
        log.warning("%d images match the lists only if upper and lower case are ignored", n_case_differs)
    if n_missing:
        log.warning("%d of %d listed images are missing below %s", n_missing, len(requested), root)
    searched_folders = ", ".join(str(folder) for folder in folders)
    return found, {name: f"{MISSING_IMAGE} (searched {searched_folders})" for name in requested if name not in found}


def _image_folders(folder: Path) -> list[Path]:
    try:
        inner = sorted(child for child in folder.iterdir() if IMG_FOLDER.fullmatch(child.name) and child.is_dir())
    except PermissionError:
        return []  # `_list_files` reports the folder as unreadable
    return [deepest for child in inner for deepest in _image_folders(child) or [child]]


def _list_files(folder: Path, root: Path) -> dict[str, str]:
    """Map listed names to paths below root for one image folder."""
    relative = folder.relative_to(root).as_posix()
    files: dict[str, str] = {}
    read_errors: list[OSError] = []
    for path, _, names in os.walk(folder, onerror=read_errors.append):
        inner = Path(path).relative_to(folder).as_posix()
        below = "" if inner == "." else f"{inner}/"
        files.update({f"img/{below}{name}": f"{relative}/{below}{name}" for name in names})
    report_unreadable(read_errors)
    return files
