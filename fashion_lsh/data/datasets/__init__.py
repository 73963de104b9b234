"""Where pictures come from: one file a data set, all behind one face."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets.coco import Coco
from fashion_lsh.data.datasets.deepfashion.category import DeepFashionCategory, DeepFashionFine
from fashion_lsh.data.datasets.deepfashion.consumer import DeepFashionConsumer
from fashion_lsh.data.datasets.deepfashion.inshop import DeepFashionInshop
from fashion_lsh.data.datasets.deepfashion2 import DeepFashion2
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.fashionai import FashionAI
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.datasets.image_files import ImageFiles
from fashion_lsh.data.datasets.merged import MergedFolder
from fashion_lsh.data.datasets.modanet import ModaNet
from fashion_lsh.data.datasets.scenes import Scenes
from fashion_lsh.data.datasets.shop import Shop
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet


class Source(Protocol):
    """A data set: what is known of its garments, and their pixels."""

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """One row a garment, filtered (see `Catalogue.filter`); `split` is filled where the source has splits."""
        ...

    def image(self, key: str) -> np.ndarray:
        """The picture a row names, (H, W, 3) uint8 RGB, upright.

        Raises:
            ImageError: it is a file that is gone, or no picture any more.
            KeyError: the data set composes or unpacks its pictures, and has none of this key.
        """
        ...


FASHION_MNIST = "fashion_mnist"
DatasetFactory = Callable[[str], Source]
FILE_DATASETS: dict[str, tuple[DatasetFactory, str]] = {  # data sets that lie in files, and what data.root is then
    "folder": (Folder, "a folder of pictures, or a manifest (.csv or .parquet)"),
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
        lambda root: MergedFolder(root, lambda name, source_root: open_dataset(name, source_root, 0)),
        "a folder that `python -m fashion_lsh merge` made",
    ),
}


def open_dataset(name: str, root: str | None, seed: int, keep_copies: bool = False) -> Source:
    """The data set `name`; `root` is where its files lie, `seed` what it draws by, if it draws.

    `keep_copies`: image files that are the same byte for byte stay, as they were published; else one of them does.

    Raises:
        ValueError: there is no such data set, or it needs a root and got none.
    """
    if name == "shop_street":
        return ShopStreet(seed)
    if name in (FASHION_MNIST, f"{FASHION_MNIST}_official"):
        return FashionMnist(root, official=name != FASHION_MNIST)
    if name not in FILE_DATASETS:
        known = ", ".join(["shop_street", FASHION_MNIST, f"{FASHION_MNIST}_official", *FILE_DATASETS])
        raise ValueError(f"data set {name!r} is unknown: known are {known}")
    factory, root_help = FILE_DATASETS[name]
    if not root:
        raise ValueError(f"data={name} needs data.root: give {root_help}")
    source = factory(root)
    if isinstance(source, ImageFiles):
        source.keep_copies = keep_copies
    return source


def get_licence(name: str) -> str:
    """The terms of use of a data set that lies in files; "" where it has none of its own."""
    factory = FILE_DATASETS[name][0] if name in FILE_DATASETS else None
    return str(getattr(getattr(factory, "func", factory), "licence", ""))
