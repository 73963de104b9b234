"""Find the image files listed in DeepFashion's annotation files."""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fashion_lsh.data.datasets.deepfashion.files import Reasons
from fashion_lsh.data.datasets.image_files import MISSING_IMAGE, report_unreadable

log = logging.getLogger(__name__)

IMG_FOLDER_REGEX = re.compile(r"img(-\S*\d)?", re.IGNORECASE)  # img, Img, or img-001 from a partial download


def find_images(root: Path, names: Iterable[str]) -> tuple[dict[str, str], Reasons]:
    """Find listed images (`img/...`) below root; return paths relative to root by name, and reasons by missing name.

    The folders `img`, `Img`, `img-001` and similar are searched, and subfolders with such names. Names that differ only
    in case also match; the log counts such names.

    Raises:
        FileNotFoundError: The root contains no such folder.
    """
    folders = _image_folders(root) if root.is_dir() else []
    if not folders:
        raise FileNotFoundError(f"{root}: no folder img or Img; unpack img.zip into {root / 'Img'}")
    paths: dict[str, str] = {}
    for folder in reversed(folders):  # reversed, so that the first folder with a name takes precedence
        paths.update(_list_files(folder, root))
    requested = list(names)
    has_unmatched_names = any(name not in paths for name in requested)
    by_casefold = {name.casefold(): path for name, path in paths.items()} if has_unmatched_names else {}
    locations = {name: path for name in requested if (path := paths.get(name) or by_casefold.get(name.casefold()))}
    num_case_mismatches, num_missing = sum(name not in paths for name in locations), len(requested) - len(locations)
    if num_case_mismatches:
        log.warning("Images that match the lists only if upper and lower case are ignored: %d", num_case_mismatches)
    if num_missing:
        log.warning("%s: %d of %d listed images are missing", root, num_missing, len(requested))
    searched_folders = ", ".join(str(folder) for folder in folders)
    return locations, {
        name: f"{MISSING_IMAGE} (searched {searched_folders})" for name in requested if name not in locations
    }


def _image_folders(folder: Path) -> list[Path]:
    try:
        subfolders = sorted(
            child for child in folder.iterdir() if IMG_FOLDER_REGEX.fullmatch(child.name) and child.is_dir()
        )
    except PermissionError:
        return []  # `_list_files` reports the folder as unreadable
    return [deepest for child in subfolders for deepest in _image_folders(child) or [child]]


def _list_files(folder: Path, root: Path) -> dict[str, str]:
    """List the files of one image folder: listed name -> path relative to root."""
    relative = folder.relative_to(root).as_posix()
    files: dict[str, str] = {}
    read_errors: list[OSError] = []
    for path, _, names in os.walk(folder, onerror=read_errors.append):
        subfolder = Path(path).relative_to(folder).as_posix()
        prefix = "" if subfolder == "." else f"{subfolder}/"
        files.update({f"img/{prefix}{name}": f"{relative}/{prefix}{name}" for name in names})
    report_unreadable(read_errors)
    return files
