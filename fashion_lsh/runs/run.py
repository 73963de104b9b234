"""Run folder with networks, gallery and data."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import Source, open_dataset
from fashion_lsh.data.detection_images import images_to_detect
from fashion_lsh.data.detections import BoxSelector, Detections, detect_all
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.targets import Restriction, instantiate, restricted, target_names
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.runs.folder import RunFolder
from fashion_lsh.runs.keys import INFERENCE_KEYS
from fashion_lsh.runs.trust import is_signed
from fashion_lsh.search import nearest_relevant
from fashion_lsh.search.coverage import CoverageCalibration
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.policy_checks import log_untrained_prefix
from fashion_lsh.search.searcher import Searcher

if TYPE_CHECKING:  # reading a run must import neither Lightning nor torchvision
    from fashion_lsh.data.datamodule import GarmentData
    from fashion_lsh.models.detector import DetectorModel

T = TypeVar("T")
CALIBRATION_FILE = "calibration.parquet"  # scores of the images that calibrate search.coverage
DETECTIONS_FILE = "detections.parquet"  # detected boxes of all images


class Run(RunFolder):
    """Run folder opened for reading, with networks, gallery and data.

    Args:
        path: path of the folder; a symlink is resolved.
        trust: import the classes outside this package that the run names, although the run was not written on this
            machine. Importing a module executes its code.

    Raises:
        FileNotFoundError: not a run folder.
    """

    def __init__(self, path: str | Path, trust: bool = False) -> None:
        super().__init__(path)
        self.trust = trust

    def instantiate(self, node: Mapping[str, Any], interface: type[T], **arguments: Any) -> T:
        """Create an object of the config, see `fashion_lsh.io.targets.instantiate`.

        Raises:
            ComponentError: the class is not known, or is not of this package and the run is not trusted.
        """
        with self.restricted():
            return instantiate(node, interface, **arguments)

    def restricted(self, allowed: Iterable[str] = ()) -> AbstractContextManager[None]:
        """Context in which only classes of this package are imported, and the classes in `allowed`.

        A run that was written on this machine may also use the classes in its config; a trusted run may use any class.
        """
        config_file = self.path / "config.yaml"
        own = target_names(self.config) if is_signed(config_file) else ()
        return restricted(None if self.trust else Restriction(config_file, [*own, *allowed]))

    @property
    def gallery_folder(self) -> Path:
        """Folder of the gallery."""
        return self.path / "gallery"

    def model(self) -> CropModel:
        """Load the trained network that encodes images: hash head or baseline; with hash=none, the classifier."""
        config = self.config
        name = "classifier" if config["hash"] is None else "hash_head"
        return self._load(f"{name}.ckpt")

    def detector(self) -> "DetectorModel | None":
        """Load the trained detector; return None if crops do not depend on detections."""
        config = self.config
        if config["data"]["crop"] != "detected":
            return None
        inference_options = {name: config["detector"][name] for name in INFERENCE_KEYS}
        return self._load("detector.ckpt", **inference_options)

    def _load(self, name: str, **overrides: Any) -> Any:
        with self.restricted():
            return load_model(self.path / name, self.config["trainer"]["accelerator"], **overrides)

    @property
    def box_selector(self) -> BoxSelector:
        """Box selector of the run.

        Raises:
            ValueError: the run was written by an incompatible version.
        """
        return self.instantiate(self.config["data"]["box_selector"], BoxSelector)

    def detections(self, detector: "DetectorModel", data: "GarmentData") -> Detections:
        """Detect boxes in all images of the data, or read them from detections.parquet if the file exists.

        Raises:
            ValueError: images are missing in detections.parquet.
        """
        path = self.path / DETECTIONS_FILE
        if not path.exists():
            detect_all(detector, data.source.image, images_to_detect(data)).save(path)
        detections = Detections.open(path)
        if missing := set(images_to_detect(data)) - detections.boxes.keys():
            raise ValueError(
                f"{path}: {len(missing):,} images are missing, for example {min(missing)}; "
                "remove the file and run the command again"
            )
        return detections

    def with_detections(self, data: "GarmentData") -> "GarmentData":
        """Return the data with the detections of the run, or unchanged if the run has no detector."""
        detector = self.detector()
        return data if detector is None else data.with_detections(self.detections(detector, data))

    @property
    def policy(self) -> SearchPolicy:
        """Search policy of the run.

        Raises:
            ValueError: the run was written by an incompatible version.
        """
        return self.instantiate(self.config["search"], SearchPolicy)

    def calibrate(self, policy: SearchPolicy, fingerprint: str) -> SearchPolicy:
        """Return the policy with the calibration of the run if it has a coverage; otherwise return it unchanged.

        A prefix of the codes that was not trained to be a code (`bits` of the policy) is noted in the log.

        Args:
            policy: search policy.
            fingerprint: fingerprint of the run's model.

        Raises:
            ValueError: the run has no calibration, or one that cannot promise the coverage.
        """
        hash_config = self.config["hash"] or {}
        log_untrained_prefix(policy, hash_config.get("bits"), hash_config.get("prefixes"))
        if policy.coverage is None:
            return policy
        path = self.path / CALIBRATION_FILE
        if not path.is_file():
            raise ValueError(
                f"search.coverage={policy.coverage}: {path} is missing; train with split.calibration=0.5, or use "
                "search.min_probability, which promises nothing"
            )
        calibration, calibrated_fingerprint = CoverageCalibration.open(path)
        if calibrated_fingerprint != fingerprint:
            raise ValueError(
                f"{path} was computed by model {calibrated_fingerprint[:8]}, but the model in use is "
                f"{fingerprint[:8]}; run the train command of the run again with overwrite=true"
            )
        return replace(policy, calibration=calibration)

    def check_data(self, data: "GarmentData") -> None:
        """Check that the data have not changed: with other splits, training images might be queries.

        Raises:
            ValueError: rows, splits or pixels differ from the data of the training.
        """
        checksum = self.read_json("stage_keys.json").get("data")
        if data.checksum != (checksum or Catalogue.open(self.path / "catalogue.parquet").checksum):
            raise ValueError(f"{self.path}: the data have changed since training; start a new run (fashion-lsh train)")

    def gallery(self, fingerprint: str | None, verify: bool = False) -> Gallery:
        """Open the gallery.

        Args:
            fingerprint: fingerprint of the model that encoded the gallery; None to read it without a model.
            verify: also verify the checksums of the embeddings.
        """
        return Gallery.open(self.gallery_folder, fingerprint, verify)

    def searcher(self, policy: SearchPolicy | None = None) -> Searcher:
        """Open model, gallery and detector for searching; `policy` replaces the search policy of the run.

        Raises:
            ValueError: `max_distance` of the policy is `auto`, and the run has no or a too small calibration.
        """
        policy = self.resolve_distance(policy or self.policy)
        model = self.model()
        fingerprint = model.fingerprint()
        policy = self.calibrate(policy, fingerprint)
        return Searcher(model, self.gallery(fingerprint), policy, self.detector(), self.box_selector)

    def resolve_distance(self, policy: SearchPolicy) -> SearchPolicy:
        """Return the policy with the number that the run calibrated on val instead of `max_distance="auto"`.

        Raises:
            ValueError: see `searcher`.
        """
        if policy.max_distance != "auto":
            return policy
        policy.check_auto_distance()
        if not (self.path / nearest_relevant.FILE).exists():
            raise ValueError(
                f"search.max_distance=auto: {self.path} has no {nearest_relevant.FILE}, which training writes; set a "
                "number, or train the run again with overwrite=true"
            )
        calibration = self.read_json(nearest_relevant.FILE)
        return replace(policy, max_distance=nearest_relevant.max_distance(calibration, policy.distance))

    def source(self) -> Source:
        """Open the data set of the run, for the images.

        Raises:
            ValueError: the data set has no images.
        """
        data = self.config["data"]
        if data["source"] == "embeddings":
            raise ValueError(f"{data['root']}: data=embeddings has vectors without images")
        with self.restricted():
            return open_dataset(data["source"], data["root"], data["split_seed"])
