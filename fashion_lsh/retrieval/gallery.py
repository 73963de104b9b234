"""A filed gallery: what is searched, in one folder that is whole or refused."""

import json
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
            OSError: a file could not be written.
        """
        manifest: dict[str, Any] = {"format": FORMAT, "kind": type(self.index).__name__, "model": self.fingerprint}
        manifest["rows"] = len(self.catalogue)
        manifest["files"] = files = {}
        for name in ("index.faiss", "embeddings.npy", "catalogue.parquet"):
            draft = folder / f"draft-{name}"
            self._write(name, draft)
            digest = checksum(draft)
            stem, suffix = name.split(".")
            files[name] = {"file": f"{stem}-{digest[:8]}.{suffix}", "sha256": digest}
            draft.replace(folder / files[name]["file"])
        with written(folder / MANIFEST) as draft:
            draft.write_text(json.dumps(manifest, indent=1))
        current = {MANIFEST, *(entry["file"] for entry in files.values())}
        for old in folder.iterdir():
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
        if manifest["model"] != fingerprint:
            raise ValueError(
                f"the gallery in {folder} holds codes of model {manifest['model'][:8]}, asked by {fingerprint[:8]}: "
                "codes of two models cannot be compared; file the gallery anew with this one"
            )
        paths = {name: _verified(folder, entry) for name, entry in manifest["files"].items()}
        kind = HashIndex if manifest["kind"] == "HashIndex" else FloatIndex
        embeddings = np.load(paths["embeddings.npy"], mmap_mode="r")
        catalogue = Catalogue.open(paths["catalogue.parquet"])
        gallery = cls(kind.open(paths["index.faiss"]), embeddings, catalogue, fingerprint)
        sizes = {len(gallery.index), len(embeddings), len(catalogue), manifest["rows"]}
        if len(sizes) > 1:
            raise ValueError(f"the gallery in {folder} is damaged: its files hold {sorted(sizes)} rows; file it anew")
        return gallery

    def _write(self, name: str, path: Path) -> None:
        match name:
            case "index.faiss":
                self.index.save(path)
            case "catalogue.parquet":
                self.catalogue.save(path)
            case _:
                with written(path) as draft, draft.open("wb") as file:
                    np.save(file, self.embeddings)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        version = manifest["format"]
        complete = {"kind", "model", "rows", "files"} <= set(manifest)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): file the gallery anew") from error
    if version != FORMAT or not complete:
        raise ValueError(f"{path} is of format {version}, this package reads {FORMAT}: file the gallery anew")
    return manifest


def _verified(folder: Path, entry: dict[str, str]) -> Path:
    path = folder / entry["file"]
    if not path.is_file() or checksum(path) != entry["sha256"]:
        raise ValueError(f"{path} is missing or damaged (its checksum differs): file the gallery anew")
    return path
