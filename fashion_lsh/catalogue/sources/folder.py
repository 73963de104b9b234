"""A user's own pictures, listed in a manifest."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.crops import clamp
from fashion_lsh.catalogue.pictures import PictureError, open_picture

log = logging.getLogger(__name__)


class Folder:
    """Pictures named by a manifest: CSV or Parquet with the columns of a Catalogue, `picture` and `category` at least.

    Paths in it are relative to the manifest's own folder. `catalogue` opens every picture once; rows whose picture
    or box is of no use are left out and stand in `skipped`: id -> reason.
    """

    def __init__(self, root: str) -> None:
        self.manifest = Path(root).expanduser()
        self.skipped: dict[str, str] = {}

    def catalogue(self) -> Catalogue:
        """The rows whose pictures open and whose boxes lie on them.

        Raises:
            FileNotFoundError: there is no manifest.
            ValueError: the manifest is no catalogue, or none of its rows is of use.
        """
        full = Catalogue.open(self.manifest)
        with ThreadPoolExecutor() as pool:
            reasons = list(pool.map(self._reason, full.column("picture"), full.boxes))
        self.skipped = {name: reason for name, reason in zip(full.column("id"), reasons, strict=True) if reason}
        for name, reason in self.skipped.items():
            log.warning("skipped %s: %s", name, reason)
        if all(reasons):
            first = f"; the first: {reasons[0]}" if reasons else ""
            raise ValueError(f"none of the {len(full)} rows of {self.manifest} is of use{first}")
        return full.take(np.flatnonzero([not reason for reason in reasons]))

    def picture(self, key: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright.  Raises PictureError."""
        return open_picture(self.manifest.parent / key)

    def _reason(self, key: str, box: np.ndarray) -> str:
        """Why a row is of no use; "" where it is fine."""
        try:
            picture = self.picture(key)
            if not np.isnan(box).any():
                clamp(box, picture.shape[1], picture.shape[0])
        except PictureError as error:
            return str(error)
        except ValueError as error:
            return f"{key}: {error}"
        return ""
