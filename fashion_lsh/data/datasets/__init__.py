"""Data sets: one module each, with the common interface `Source`."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets.coco import Coco
from fashion_lsh.data.datasets.deepfashion.category import DeepFashionCategory, DeepFashionFine
from fashion_lsh.data.datasets.deepfashion.consumer import DeepFashionConsumer
from fashion_lsh.data.datasets.deepfashion.inshop import DeepFashionInshop
from fashion_lsh.data.datasets.deepfashion2 import DeepFashion2
from fashion_lsh.data.datasets.embedding_files import ROOT_HELP, EmbeddingFiles
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.fashionai import FashionAI
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.datasets.image_files import ImageFiles
from fashion_lsh.data.datasets.merged import MergedCatalogue
from fashion_lsh.data.datasets.modanet import ModaNet
from fashion_lsh.data.datasets.scenes import Scenes
from fashion_lsh.data.datasets.shop import Shop
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.io.targets import Spec, create


@runtime_checkable
class Source(Protocol):
    """Interface of a data set: catalogue of garments, and images by key."""

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return one row per garment, filtered (see `Catalogue.filter`); `split` is "" without published splits."""
        ...

    def image(self, key: str) -> np.ndarray:
        """Load an image by key: (H, W, 3) uint8 RGB, with the EXIF orientation applied.

        Raises:
            ImageError: The file is missing or is not a readable image.
            KeyError: The key is unknown (only in data sets without image files).
        """
        ...


FASHION_MNIST = "fashion_mnist"
DatasetFactory = Callable[[str], Source]
FILE_DATASETS: dict[str, tuple[DatasetFactory, str]] = {  # name -> (factory, description of data.root)
    "embeddings": (EmbeddingFiles, ROOT_HELP),
    "folder": (Folder, "a folder of images, or a manifest (.csv or .parquet)"),
    "coco": (Coco, "the folder of instances_*.json, or one such file"),
    "deepfashion_category": (DeepFashionCategory, "the folder with Anno_coarse, Eval and Img"),
    "deepfashion_fine": (DeepFashionFine, "the folder with Anno_fine and Img"),
    "deepfashion_inshop": (DeepFashionInshop, "the folder with Anno, Eval and Img"),
    "deepfashion_consumer": (DeepFashionConsumer, "the folder with Anno, Eval and Img"),
    "deepfashion_consumer_val": (
        partial(DeepFashionConsumer, gallery="val_test"),
        "the folder with Anno, Eval and Img",
    ),
    "deepfashion2": (DeepFashion2, "the folder with train and validation"),
    "fashionai": (FashionAI, "the folder with the releases"),
    "modanet": (ModaNet, "the folder with annotations and images"),
    "modanet_corrected": (partial(ModaNet, corrected=True), "the folder with instances_all.json and images"),
    "scenes": (Scenes, "the folder of instances_*.json"),
    "shop": (Shop, "the folder with styles.csv and images, or a CSV file"),
    "thesis30": (
        lambda root: MergedCatalogue(root, lambda name, source_root: open_dataset(name, source_root, 0)),
        "a folder written by `fashion-lsh merge`",
    ),
}


def open_dataset(name: Spec, root: str | None = None, seed: int = 0, keep_copies: bool = False) -> Source:
    """Open a data set.

    Args:
        name: `shop_street`, `fashion_mnist`, `fashion_mnist_official`, a key of FILE_DATASETS, `module.Class` of a
            class with the interface Source, or a mapping of `_target_` and arguments. `root` and `seed` are passed to a
            user's own class if they are in its signature.
        root: Folder or file to read, see FILE_DATASETS.
        seed: Random seed; only `shop_street` uses it.
        keep_copies: Whether all byte-identical image files are kept; otherwise only one of them is kept.

    Raises:
        ValueError: The name is unknown, or the root is missing or not used.
        ComponentError: The class cannot be imported, or lacks a method of Source.
    """
    if not isinstance(name, str) or "." in name:
        own_source: Source = create(name, Source, {}, "data.source", root=root, seed=seed)
        return own_source
    if name == "shop_street":
        if root:
            raise ValueError(f"data.root={root!r}: data=shop_street composes its images; set data=folder to read these")
        return ShopStreet(seed)
    if name in (FASHION_MNIST, f"{FASHION_MNIST}_official"):
        return FashionMnist(root, official=name != FASHION_MNIST)
    if name not in FILE_DATASETS:
        names = ", ".join(["shop_street", FASHION_MNIST, f"{FASHION_MNIST}_official", *FILE_DATASETS])
        raise ValueError(f"data.source={name!r}: unknown; use one of {names}, or your own class as module.Class")
    factory, root_help = FILE_DATASETS[name]
    if not root:
        raise ValueError(f"data={name} needs data.root; set it to {root_help}")
    source = factory(root)
    if isinstance(source, ImageFiles):
        source.keep_copies = keep_copies
    return source


def get_licence(name: str) -> str:
    """Return the terms of use of a data set in FILE_DATASETS, or ""."""
    factory = FILE_DATASETS[name][0] if name in FILE_DATASETS else None
    return str(getattr(getattr(factory, "func", factory), "licence", ""))
