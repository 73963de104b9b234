"""Where pictures come from: one file a data set, all behind one face."""

from typing import Protocol

import numpy as np

from fashion_lsh.catalogue.catalogue import Catalogue, Wanted
from fashion_lsh.catalogue.sources.coco import Coco
from fashion_lsh.catalogue.sources.fashion_mnist import FashionMnist
from fashion_lsh.catalogue.sources.folder import Folder
from fashion_lsh.catalogue.sources.shop_street import ShopStreet


class Source(Protocol):
    """A data set: what is known of its garments, and their pixels."""

    def catalogue(self, wanted: Wanted = None) -> Catalogue:
        """One row a garment, of those wanted (see `Catalogue.only`); `split` is filled where the source has splits."""
        ...

    def picture(self, key: str) -> np.ndarray:
        """The picture a row names, (H, W, 3) uint8 RGB, upright."""
        ...


def open_source(name: str, root: str | None, seed: int) -> Source:
    """The data set `name`; `root` is where its files lie, `seed` what it draws by, if it draws.

    Raises:
        ValueError: there is no such data set, or it needs a root and got none.
    """
    match name:
        case "shop_street":
            return ShopStreet(seed)
        case "fashion_mnist":
            return FashionMnist(root)
        case "folder" if root:
            return Folder(root)
        case "coco" if root:
            return Coco(root)
        case "folder":
            raise ValueError("data=folder needs data.root: give a folder of pictures, or a manifest (.csv or .parquet)")
        case "coco":
            raise ValueError("data=coco needs data.root: give the folder of instances_*.json, or one such file")
    raise ValueError(f"data set {name!r} is unknown: known are shop_street, fashion_mnist, folder, coco")
