"""Save and read a gallery folder.

The name of a file contains the checksum of its content. The manifest lists the current files and is written last.
"""

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

FORMAT = 4
MANIFEST = "manifest.json"
SUFFIXES = {"index": "bin", "catalogue": "parquet", "embeddings": "npy"}

REBUILD_HINT = "to rebuild the gallery of the run without the added images, use `fashion-lsh gallery build RUN`"

Manifest = dict[str, Any]
FileEntry = dict[str, Any]  # entry of the manifest for one file: name, SHA-256 and size in bytes


@dataclass(frozen=True)
class GalleryFiles:
    """Contents of a gallery folder; the attributes are the arguments of Gallery."""

    index: HashIndex | FloatIndex
    embeddings: Embeddings
    catalogue: Catalogue
    fingerprint: str
    pending_keys: frozenset[str]


def save(folder: Path, gallery: GalleryFiles) -> None:
    """Write a gallery, except embedding segments that were opened from the same folder.

    Raises:
        OSError: a file could not be written; the gallery in the folder is unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest: Manifest = {"format": FORMAT, "kind": type(gallery.index).__name__, "model": gallery.fingerprint}
    try:
        manifest["index"] = _write_file(folder, "index", gallery.index.save)
        manifest["catalogue"] = _write_file(folder, "catalogue", gallery.catalogue.save)
        manifest["embeddings"] = [_segment_entry(folder, segment) for segment in gallery.embeddings.segments]
        manifest["pending"] = sorted(gallery.pending_keys)
        with atomic_write(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(manifest | {"sha256": _manifest_digest(manifest)}, indent=1))
    finally:
        _remove_unreferenced(folder)


def read(folder: Path, verify_embeddings: bool) -> GalleryFiles:
    """Read a gallery and verify the checksums of its files; those of the embeddings only if `verify_embeddings`.

    Reading is repeated if another process saves the gallery at the same time.

    Raises:
        FileNotFoundError: the folder has no gallery.
        ValueError: a file is missing or damaged, or has another format. The message names the file.
    """
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"no gallery in {folder}; {REBUILD_HINT}")
    initial_manifest = (folder / MANIFEST).read_bytes()
    try:
        return _read(folder, verify_embeddings)
    except (ValueError, FileNotFoundError):  # another process may delete a file before it is opened
        if (folder / MANIFEST).read_bytes() == initial_manifest:
            raise
        return read(folder, verify_embeddings)


def _read(folder: Path, verify_embeddings: bool) -> GalleryFiles:
    manifest = _read_manifest(folder / MANIFEST)
    index_class: type[HashIndex] | type[FloatIndex] = HashIndex if manifest["kind"] == "HashIndex" else FloatIndex
    segments = [_map_segment(folder, entry, verify_embeddings) for entry in manifest["embeddings"]]
    index = index_class.open(_check_checksum(folder, manifest["index"]))
    catalogue = Catalogue.open(_check_checksum(folder, manifest["catalogue"]))
    return GalleryFiles(index, Embeddings(segments), catalogue, manifest["model"], frozenset(manifest["pending"]))


def _write_file(folder: Path, kind: str, write: Callable[[Path], None]) -> FileEntry:
    """Write a file of one of the kinds in SUFFIXES with `write(path)`; return its manifest entry."""
    temporary = folder / f"{kind}-draft.{SUFFIXES[kind]}"
    write(temporary)
    digest, size = checksum(temporary), temporary.stat().st_size
    path = temporary.replace(folder / f"{kind}-{digest[:16]}.{SUFFIXES[kind]}")
    return {"file": path.name, "sha256": digest, "bytes": size}


def _segment_entry(folder: Path, segment: np.ndarray) -> FileEntry:
    """Return the manifest entry of a segment; write the segment unless it is mapped from a file of this folder."""
    if isinstance(segment, np.memmap) and (folder / MANIFEST).exists():
        path, size = Path(str(segment.filename)), segment.offset + segment.nbytes
        for entry in _read_manifest(folder / MANIFEST)["embeddings"]:
            if (folder / entry["file"]).resolve() == path and entry["bytes"] == size:
                return dict(entry)

    def write(path: Path) -> None:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, segment)

    return _write_file(folder, "embeddings", write)


def _map_segment(folder: Path, entry: FileEntry, verify: bool) -> np.ndarray:
    """Memory-map a segment; check its size and dtype, and its checksum if `verify` is set."""
    path = (_check_checksum if verify else _check_size)(folder, entry)
    try:
        segment = np.load(path.resolve(), mmap_mode="r", allow_pickle=False)
        if (segment.dtype, segment.offset + segment.nbytes) != (Embeddings.dtype, entry["bytes"]):
            raise ValueError(f"shape {segment.shape}, dtype {segment.dtype}")
        return segment
    except (ValueError, EOFError, OSError, SyntaxError, TokenError) as error:  # raised by numpy for a damaged header
        raise ValueError(f"{path} is damaged ({error}); {REBUILD_HINT}") from error


def _check_size(folder: Path, entry: FileEntry) -> Path:
    """Check that a file exists and has its recorded size; return its path."""
    path = folder / str(entry["file"])
    if not path.is_file() or path.stat().st_size != entry["bytes"]:
        raise ValueError(f"{path} is missing or damaged (expected {entry['bytes']} bytes); {REBUILD_HINT}")
    return path


def _check_checksum(folder: Path, entry: FileEntry) -> Path:
    """Check the size and the checksum of a file; return its path."""
    path = _check_size(folder, entry)
    if checksum(path) != entry["sha256"]:
        raise ValueError(f"{path} is damaged (checksum mismatch); {REBUILD_HINT}")
    return path


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest: Manifest = json.loads(path.read_text())
        version, digest = manifest["format"], manifest.pop("sha256", "")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {REBUILD_HINT}") from error
    if version != FORMAT:
        raise ValueError(f"{path}: format={version}, but this version reads format {FORMAT}; {REBUILD_HINT}")
    if digest != _manifest_digest(manifest):
        raise ValueError(f"{path} is damaged (checksum mismatch); {REBUILD_HINT}")
    return manifest


def _manifest_digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _file_entries(manifest: Manifest) -> list[FileEntry]:
    return [manifest["index"], manifest["catalogue"], *manifest["embeddings"]]


def _remove_unreferenced(folder: Path) -> None:
    """Delete gallery files that are not in the current manifest, or all gallery files if there is no manifest."""
    referenced: set[str] = set()
    if (folder / MANIFEST).exists():
        try:
            referenced = {entry["file"] for entry in _file_entries(_read_manifest(folder / MANIFEST))}
        except ValueError:  # the current files are unknown if the manifest is damaged
            return
    for pattern in (".*.part", *(f"{kind}-*.{suffix}" for kind, suffix in SUFFIXES.items())):
        for path in folder.glob(pattern):
            if path.name not in referenced:
                path.unlink()


def check_fingerprint(gallery_name: str, gallery_fingerprint: str, model_fingerprint: str) -> None:
    """Check by fingerprint that a gallery was built by the model in use.

    Args:
        gallery_name: name of the gallery in the error message.
        gallery_fingerprint: fingerprint of the model that built the gallery.
        model_fingerprint: fingerprint of the model in use.

    Raises:
        ValueError: the fingerprints differ.
    """
    if gallery_fingerprint != model_fingerprint:
        raise ValueError(
            f"{gallery_name} was built by model {gallery_fingerprint[:8]}, but the model in use is "
            f"{model_fingerprint[:8]}, "
            f"and codes of different models are not comparable; {REBUILD_HINT}"
        )
