"""A run is one folder: all that was asked, made and found, with relative paths inside."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import Source, open_source
from fashion_lsh.data.detections import Choice, Found, find_all
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.files import alone, check_writable, point, written
from fashion_lsh.models.classifier import Classifier
from fashion_lsh.models.crop_model import CropStage
from fashion_lsh.models.detector import Detector
from fashion_lsh.runs.config import resolve
from fashion_lsh.runs.environment import environment
from fashion_lsh.runs.folder import RunFolder
from fashion_lsh.runs.keys import OF_LOOKING, run_key, stage_keys
from fashion_lsh.search.policy import Search
from fashion_lsh.training.checkpoints import load

T = TypeVar("T")
BOXES = "boxes.parquet"  # what the detector saw in all pictures


class Run(RunFolder):
    """A run folder with its models, its gallery and its pictures.

    Raises:
        FileNotFoundError: the folder is none of a run.
    """

    @classmethod
    def begin(cls, settings: Mapping[str, Any], data: GarmentData) -> "Run":
        """The folder of these settings and this data: a new one, or the one that the same command made before.

        Its name is 8 hex digits of the settings that matter, the checksum of the splits and the package's version.

        Raises:
            ValueError: the run's name is no name of a folder, or is that of the link to the latest run; another process
                makes the run.
            OSError: the folder for runs, or for their scores (`jobs`), takes no files.
        """
        name = str(settings["name"])
        if Path(name).name != name or name in ("", "..", "latest"):
            raise ValueError(f"{name=}: give the name of one folder, and not `latest`")
        for folder in filter(None, (settings["jobs"], settings["runs"])):
            check_writable(folder)
        path = Path(settings["runs"]) / name / run_key(settings, data.checksum)
        with alone(path):
            if settings["fresh"] and path.exists():
                shutil.rmtree(path)
            with written(path / "config.yaml") as draft:
                draft.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
            run = cls(path)
            run.write_json("stages.json", {**stage_keys(settings, data.checksum), "data": data.checksum})
            if not run.metrics:  # what made the figures, not what reads them
                run.write_json("environment.json", environment(gpu=settings["trainer"]["accelerator"] != "cpu"))
                run.write_skipped(data.skipped.items())
            data.catalogue.save(path / "split.parquet")
        point(Path(settings["runs"]) / "latest", path)
        return run

    @property
    def gallery_folder(self) -> Path:
        """Where its gallery is filed."""
        return self.path / "index"

    def model(self) -> CropStage:
        """The fitted model that answers: what gives its codes, or with hash=none the Classifier."""
        config = self.config
        if config["hash"] is None:
            return load(Classifier, self.path / "classifier.ckpt", config["trainer"]["accelerator"])
        kind: type[CropStage] = resolve(config["hash"]["_target_"])
        return load(kind, self.path / "hasher.ckpt", config["trainer"]["accelerator"])

    def detector(self) -> Detector | None:
        """The fitted detector; None where crops are cut out otherwise."""
        config = self.config
        if config["data"]["crop"] != "detected":
            return None
        looking = {name: config["detector"][name] for name in OF_LOOKING if name in config["detector"]}
        return load(Detector, self.path / "detector.ckpt", config["trainer"]["accelerator"], **looking)

    @property
    def choice(self) -> Choice:
        """Which of the boxes that a detector finds counts.

        Raises:
            ValueError: it was made by a version that chose otherwise.
        """
        return self._built(Choice, self.config["data"]["choice"])

    def found(self, detector: Detector, data: GarmentData) -> Found:
        """The boxes in all pictures of the data: found once, kept in boxes.parquet.  ValueError: it lacks some."""
        kept = self.path / BOXES
        if not kept.exists():
            pictures = sorted(set(data.catalogue.column("picture")))
            find_all(detector, data.source.picture, pictures).save(kept)
        found = Found.open(kept)
        if missing := set(data.catalogue.column("picture")) - found.boxes.keys():
            raise ValueError(f"{kept} lacks {len(missing):,} pictures, {min(missing)} say: remove it, and go on")
        return found

    def cropped(self, data: GarmentData) -> GarmentData:
        """The data, told what the run's detector saw in their pictures, where it has one."""
        detector = self.detector()
        data.found = self.found(detector, data) if detector else None
        return data

    @property
    def search(self) -> Search:
        """How it was searched when it was scored.

        Raises:
            ValueError: it was made by a version that searched otherwise.
        """
        return self._built(Search, self.config["search"])

    def _built(self, kind: Callable[..., T], settings: Mapping[str, Any]) -> T:
        try:
            return kind(**{name: value for name, value in settings.items() if name != "_target_"})
        except TypeError as error:
            raise ValueError(f"{self.path} was made by another version ({error}): make it again") from error

    def check_data(self, data: GarmentData) -> None:
        """Hold the data to what the run was made of: on other splits, training pictures might ask.

        Raises:
            ValueError: rows, splits or pixels differ.
        """
        known = self.read_json("stages.json").get("data")
        if data.checksum != (known or Catalogue.open(self.path / "split.parquet").checksum):
            raise ValueError(f"the data of {self.path} have changed since it was made: make a new run with train.py")

    def gallery(self, fingerprint: str, verify: bool = False) -> Gallery:
        """What it filed, for the model of this fingerprint; `verify`: embeddings are held to their checksums, too."""
        return Gallery.open(self.gallery_folder, fingerprint, verify)

    def source(self) -> Source:
        """Where its pictures come from."""
        data = self.config["data"]
        return open_source(data["source"], data["root"], data["split_seed"])
