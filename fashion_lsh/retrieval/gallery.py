"""A filed gallery: what is searched, in one folder that is whole or refused."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.files import checksum, written
from fashion_lsh.retrieval.encoding import Encoded, Model
from fashion_lsh.retrieval.index import FloatIndex, HashIndex

FORMAT = 1
MANIFEST = "manifest.json"
PARTS = ("index.faiss", "embeddings.npy", "catalogue.parquet")  # each is filed under its name and its checksum


@dataclass(frozen=True)
class Gallery:
    """Index, embeddings and catalogue; row n is the n-th of all three.

    Attributes:
        index: codes by predicted category, or embeddings where there is no hash layer.
        embeddings: (N, D) float16, for re-ranking; memory-mapped when opened.
        catalogue: N rows, what is known of the garments.
        fingerprint: of the model that made codes and embeddings.
    """

    index: HashIndex | FloatIndex
    embeddings: np.ndarray
    catalogue: Catalogue
    fingerprint: str

    @classmethod
    def filed(cls, model: Model, encoded: Encoded, catalogue: Catalogue) -> "Gallery":
        """File encoded pictures, in the order of `catalogue`, each under its predicted category."""
        rows, lists = np.arange(len(catalogue)), encoded.predicted
        index: HashIndex | FloatIndex
        if encoded.codes is None or model.bits is None:
            index = FloatIndex(encoded.embeddings.shape[1], len(model.categories))
            index.add(encoded.embeddings, lists, rows)
        else:
            index = HashIndex(model.bits, len(model.categories))
            index.add(encoded.codes, lists, rows)
        return cls(index, encoded.embeddings.astype(np.float16), catalogue, model.fingerprint())

    @cached_property
    def lists(self) -> np.ndarray:
        """(N,) int64: the list of each row, its predicted category."""
        return self.index.contents()[1]

    @cached_property
    def codes(self) -> np.ndarray | None:
        """(N, ceil(bits / 8)) uint8: the code of each row; None without a hash layer."""
        return self.index.contents()[2] if isinstance(self.index, HashIndex) else None

    def save(self, folder: Path) -> None:
        """Write the files, then the manifest that names them; a save that is cut short leaves the old gallery whole.

        Raises:
            OSError: a file could not be written; the folder is as it was.
        """
        kind = type(self.index).__name__
        manifest: dict[str, Any] = {"format": FORMAT, "kind": kind, "model": self.fingerprint}
        with _undone_on_failure(folder):
            manifest |= {"rows": len(self.catalogue), "files": {name: self._filed(name, folder) for name in PARTS}}
            with written(folder / MANIFEST) as draft:
                draft.write_text(json.dumps(manifest | {"sha256": _digest(manifest)}, indent=1))
        current = {entry["file"] for entry in manifest["files"].values()}
        for old in _part_files(folder):
            if old.name not in current:
                old.unlink()

    @classmethod
    def open(cls, folder: Path, fingerprint: str) -> "Gallery":
        """Read what `save` wrote.

        Args:
            folder: of the gallery.
            fingerprint: of the model that will ask.

        Raises:
            FileNotFoundError: there is no gallery.
            ValueError: a file is damaged, of another format, or codes are another model's.
        """
        if not (folder / MANIFEST).is_file():
            raise FileNotFoundError(f"no gallery in {folder}: the run is not finished; type its train.py command again")
        manifest = _manifest(folder / MANIFEST)
        check_model(f"the gallery in {folder}", manifest["model"], fingerprint)
        paths = {name: _verified(folder, entry) for name, entry in manifest["files"].items()}
        kind = HashIndex if manifest["kind"] == "HashIndex" else FloatIndex
        embeddings = np.load(paths["embeddings.npy"], mmap_mode="r")
        catalogue = Catalogue.open(paths["catalogue.parquet"])
        gallery = cls(kind.open(paths["index.faiss"]), embeddings, catalogue, fingerprint)
        sizes = {len(gallery.index), len(embeddings), len(catalogue), manifest["rows"]}
        if len(sizes) > 1:
            raise ValueError(f"the gallery in {folder} is damaged: its files hold {sorted(sizes)} rows; file it anew")
        return gallery

    def _filed(self, name: str, folder: Path) -> dict[str, str]:
        """Write one of PARTS, and give its entry in the manifest."""
        stem, suffix = name.split(".")
        draft = folder / f"{stem}-draft.{suffix}"
        self._write(name, draft)
        digest = checksum(draft)
        path = draft.replace(folder / f"{stem}-{digest[:8]}.{suffix}")
        return {"file": path.name, "sha256": digest}

    def _write(self, name: str, path: Path) -> None:
        match name:
            case "index.faiss":
                self.index.save(path)
            case "catalogue.parquet":
                self.catalogue.save(path)
            case _:
                with written(path) as draft, draft.open("wb") as file:
                    np.save(file, self.embeddings)


def check_model(gallery: str, held: str, asked: str) -> None:
    """Hold the model that asks `gallery` to the one that filed it, by their fingerprints.

    Raises:
        ValueError: they differ.
    """
    if held != asked:
        raise ValueError(
            f"{gallery} holds codes of model {held[:8]}, asked by {asked[:8]}: "
            "codes of two models cannot be compared; file the gallery anew with this one"
        )


@contextmanager
def _undone_on_failure(folder: Path) -> Iterator[None]:
    """Remove the parts that the block added to `folder`, if it fails."""
    before = set(_part_files(folder))
    try:
        yield
    except BaseException:
        for new in set(_part_files(folder)) - before:
            new.unlink()
        raise


def _part_files(folder: Path) -> list[Path]:
    """All files of a gallery but its manifest: current, old and half-done ones."""
    return [path for name in PARTS for path in folder.glob(name.replace(".", "-*."))]


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        version, digest = manifest["format"], manifest.pop("sha256", "")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): file the gallery anew") from error
    if version != FORMAT:
        raise ValueError(f"{path} is of format {version}, this package reads {FORMAT}: file the gallery anew")
    if digest != _digest(manifest):
        raise ValueError(f"{path} is damaged (its checksum differs): file the gallery anew")
    return manifest


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _verified(folder: Path, entry: dict[str, str]) -> Path:
    path = folder / entry["file"]
    if not path.is_file() or checksum(path) != entry["sha256"]:
        raise ValueError(f"{path} is missing or damaged (its checksum differs): file the gallery anew")
    return path
