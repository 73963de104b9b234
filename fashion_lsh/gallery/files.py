"""Gallery folder: files named by their checksum, and a manifest, written last, that lists the current files."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.embeddings import Embeddings
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.io.files import atomic_write, checksum

FORMAT = 3
MANIFEST = "manifest.json"
SUFFIXES = {"index": "faiss", "catalogue": "parquet", "embeddings": "npy"}

REBUILD_HINT = "to rebuild the gallery, delete metrics.json of the run, if present, and run its train.py command again"

Entry = dict[str, Any]  # manifest entry of a file: name, SHA-256 and size in bytes


@dataclass(frozen=True)
class GalleryFiles:
    """Contents of a gallery folder; see Gallery."""

    index: HashIndex | FloatIndex
    embeddings: Embeddings
    catalogue: Catalogue
    fingerprint: str
    pending: frozenset[str]


def save(folder: Path, gallery: GalleryFiles) -> None:
    """Write a gallery; embedding segments opened from this folder are not written again.

    Raises:
        OSError: a file could not be written; the gallery in the folder is unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest: Entry = {"format": FORMAT, "kind": type(gallery.index).__name__, "model": gallery.fingerprint}
    try:
        manifest["index"] = _write_part(folder, "index", gallery.index.save)
        manifest["catalogue"] = _write_part(folder, "catalogue", gallery.catalogue.save)
        manifest["embeddings"] = [_segment_entry(folder, segment) for segment in gallery.embeddings.segments]
        manifest["pending"] = sorted(gallery.pending)
        with atomic_write(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest | {"sha256": _digest(manifest)}, indent=1))
    finally:
        _remove_unreferenced(folder)


def read(folder: Path, verify: bool) -> GalleryFiles:
    """Read a gallery and verify the checksums of its files; those of embeddings only if `verify` is set.

    If another process saves the gallery at the same time, reading starts again.

    Raises:
        FileNotFoundError: the folder has no gallery.
        ValueError: a file is missing, damaged, or has another format; names the file.
    """
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"no gallery in {folder}; {REBUILD_HINT}")
    before = (folder / MANIFEST).read_bytes()
    try:
        return _read(folder, verify)
    except (ValueError, FileNotFoundError):  # another process may delete a file before it is opened
        if (folder / MANIFEST).read_bytes() == before:
            raise
        return read(folder, verify)


def _read(folder: Path, verify: bool) -> GalleryFiles:
    manifest = _read_manifest(folder / MANIFEST)
    index_class: type[HashIndex] | type[FloatIndex] = HashIndex if manifest["kind"] == "HashIndex" else FloatIndex
    segments = [_map_segment(folder, entry, verify) for entry in manifest["embeddings"]]
    index = index_class.open(_check_checksum(folder, manifest["index"]))
    catalogue = Catalogue.open(_check_checksum(folder, manifest["catalogue"]))
    return GalleryFiles(index, Embeddings(segments), catalogue, manifest["model"], frozenset(manifest["pending"]))


def _write_part(folder: Path, part: str, write: Callable[[Path], None]) -> Entry:
    """Write a file with `write(path)`; return its manifest entry."""
    temporary = folder / f"{part}-draft.{SUFFIXES[part]}"
    write(temporary)
    digest, size = checksum(temporary), temporary.stat().st_size
    path = temporary.replace(folder / f"{part}-{digest[:16]}.{SUFFIXES[part]}")
    return {"file": path.name, "sha256": digest, "bytes": size}


def _segment_entry(folder: Path, segment: np.ndarray) -> Entry:
    """Return the manifest entry of a segment; write the segment unless it is mapped from a file of this folder."""
    if isinstance(segment, np.memmap) and (folder / MANIFEST).exists():
        name, size = Path(str(segment.filename)), segment.offset + segment.nbytes
        for entry in _read_manifest(folder / MANIFEST)["embeddings"]:
            if (folder / entry["file"]).resolve() == name and entry["bytes"] == size:
                return dict(entry)

    def write(path: Path) -> None:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, segment)

    return _write_part(folder, "embeddings", write)


def _map_segment(folder: Path, entry: Entry, verify: bool) -> np.ndarray:
    """Memory-map a segment; check its size and dtype, and its checksum if `verify` is set."""
    path = (_check_checksum if verify else _check_size)(folder, entry)
    try:
        mapped = np.load(path.resolve(), mmap_mode="r", allow_pickle=False)
        if (mapped.dtype, mapped.offset + mapped.nbytes) != (Embeddings.dtype, entry["bytes"]):
            raise ValueError(f"shape {mapped.shape}, dtype {mapped.dtype}")
        return mapped
    except (ValueError, EOFError, OSError, SyntaxError, TokenError) as error:  # all raised by numpy for a bad header
        raise ValueError(f"{path} is damaged ({error}); {REBUILD_HINT}") from error


def _check_size(folder: Path, entry: Entry) -> Path:
    path = folder / str(entry["file"])
    if not path.is_file() or path.stat().st_size != entry["bytes"]:
        raise ValueError(f"{path} is missing or damaged (expected {entry['bytes']} bytes); {REBUILD_HINT}")
    return path


def _check_checksum(folder: Path, entry: Entry) -> Path:
    path = _check_size(folder, entry)
    if checksum(path) != entry["sha256"]:
        raise ValueError(f"{path} is damaged (checksum mismatch); {REBUILD_HINT}")
    return path


def _read_manifest(path: Path) -> Entry:
    try:
        manifest: Entry = json.loads(path.read_text())
        version, digest = manifest["format"], manifest.pop("sha256", "")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {REBUILD_HINT}") from error
    if version != FORMAT:
        raise ValueError(f"{path}: format={version}, but this version reads format {FORMAT}; {REBUILD_HINT}")
    if digest != _digest(manifest):
        raise ValueError(f"{path} is damaged (checksum mismatch); {REBUILD_HINT}")
    return manifest


def _digest(manifest: Entry) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _entries(manifest: Entry) -> list[Entry]:
    return [manifest["index"], manifest["catalogue"], *manifest["embeddings"]]


def _remove_unreferenced(folder: Path) -> None:
    """Delete gallery files that the current manifest does not list; all gallery files if there is no manifest."""
    referenced: set[str] = set()
    if (folder / MANIFEST).exists():
        try:
            referenced = {entry["file"] for entry in _entries(_read_manifest(folder / MANIFEST))}
        except ValueError:  # damaged manifest: delete nothing
            return
    for pattern in (".*.part", *(f"{part}-*.{suffix}" for part, suffix in SUFFIXES.items())):
        for path in folder.glob(pattern):
            if path.name not in referenced:
                path.unlink()


def check_fingerprint(gallery: str, stored: str, requested: str) -> None:
    """Check that `gallery` was built by the model in use, by fingerprint.

    Args:
        gallery: description of the gallery for the message.
        stored: fingerprint of the model that built the gallery.
        requested: fingerprint of the model in use.

    Raises:
        ValueError: the fingerprints differ.
    """
    if stored != requested:
        raise ValueError(
            f"{gallery} was built by model {stored[:8]}, but the model in use is {requested[:8]}, "
            f"and codes of different models are not comparable; {REBUILD_HINT}"
        )
