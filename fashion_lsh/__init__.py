"""Clothing search: detect, classify and hash a garment, then search the inverted lists of its category."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fashion_lsh.data.catalogue import Catalogue
    from fashion_lsh.data.datamodule import GarmentData
    from fashion_lsh.data.images import open_image
    from fashion_lsh.gallery.gallery import Gallery
    from fashion_lsh.runs.run import Run
    from fashion_lsh.search.result import Hit, SearchResult
    from fashion_lsh.search.searcher import Searcher
    from fashion_lsh.training.classifier import Classifier
    from fashion_lsh.training.detector import Detector
    from fashion_lsh.training.hash_head import HashHead

__version__ = "0.3.0"

__all__ = [
    "Catalogue", "Classifier", "Detector", "Gallery", "GarmentData", "HashHead", "Hit", "Run", "SearchResult",
    "Searcher", "open_image",
]  # fmt: skip

# Modules are imported on first use: searching needs no Lightning, and a catalogue needs no torch.
_MODULES = {
    "Catalogue": "data.catalogue", "Classifier": "training.classifier", "Detector": "training.detector",
    "Gallery": "gallery.gallery", "GarmentData": "data.datamodule", "HashHead": "training.hash_head",
    "Hit": "search.result", "Run": "runs.run", "SearchResult": "search.result", "Searcher": "search.searcher",
    "open_image": "data.images",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fashion_lsh' has no attribute {name!r}")
    return getattr(import_module(f"fashion_lsh.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
