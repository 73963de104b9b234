"""Run folder during training: train stages, or reuse trained stages."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from torch import nn

from fashion_lsh.data.corrections import CorrectedSource
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import Detections
from fashion_lsh.io.files import check_disk_space, check_writable, folder_lock, update_symlink
from fashion_lsh.models.checkpoints import default_precision, inference_device, min_checkpoint_bytes
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.models.feature_cache import cache_features, cached_views
from fashion_lsh.runs.component_versions import own_code, used_versions
from fashion_lsh.runs.environment import environment
from fashion_lsh.runs.keys import run_key, stage_components, stage_keys
from fashion_lsh.runs.run import DETECTIONS_FILE, Run
from fashion_lsh.runs.stage_cache import copy_stage_file, initialise
from fashion_lsh.runs.tracker import Tracker
from fashion_lsh.runs.trackers import Trackers
from fashion_lsh.runs.trust import write_config

LOCKS_FOLDER = ".locks"  # below the folder for runs: one lock file per stage key
HASH_FEATURES = "features"  # in the run folder during training: features of the trained classifier
FEATURES_FOLDER = ".features"  # below the folder for runs: features of frozen backbones, shared by all runs


class TrainingRun(Run):
    """Run folder opened for training.

    Args:
        path: path of the folder.
        tracker: experiment tracker for training logs and results; None: no tracker.
    """

    def __init__(self, path: str | Path, tracker: Tracker | None = None) -> None:
        super().__init__(path)
        self.tracker = tracker or Trackers({})

    @classmethod
    def open(cls, config: Mapping[str, Any], data: GarmentData) -> Self:
        """Create the run folder for this config and data, or open an existing one.

        The name of the folder is the run key: 8 hex digits that depend on settings, data checksum and the versions of
        components.

        Raises:
            ValueError: the run's name is not a folder name, or is `latest` (the symlink to the latest run); or another
                process uses the folder.
            OSError: the folder for runs, or the folder for job files (`jobs`), is not writable.
        """
        name = str(config["name"])
        if Path(name).name != name or name in ("", "..", "latest"):
            raise ValueError(f"{name=}: not a valid run name; set name to a folder name other than latest")
        for folder in filter(None, (config["jobs"], config["runs"])):
            check_writable(folder)
        path = Path(config["runs"]) / name / run_key(config, data.checksum)
        with folder_lock(path):
            if config["overwrite"] and path.exists():
                shutil.rmtree(path)
            write_config(path, config)
            run = cls(path)
            keys = stage_keys(config, data.checksum) | {"data": data.checksum}
            run.write_json("stage_keys.json", keys | {"components": stage_components(config, data.checksum)})
            if not run.metrics:  # a finished run keeps the environment of its scores
                is_gpu = config["trainer"]["accelerator"] != "cpu"
                run.write_json("environment.json", environment(is_gpu, config) | _devices(config["trainer"]))
                run.write_skipped(data.skipped.items())
                if isinstance(data.source, CorrectedSource):
                    run.write_corrections(data.source.changes)
            data.catalogue.save(path / "catalogue.parquet")
        update_symlink(Path(config["runs"]) / "latest", path)
        return run

    @contextmanager
    def session(self, models: Sequence[nn.Module], track_run: AbstractContextManager[Tracker]) -> Iterator[Self]:
        """Lock the folder, log to train.log and track the run inside the `with` block.

        Args:
            models: networks to train.
            track_run: context manager that yields the tracker.

        Raises:
            OSError: the disk space does not suffice for the checkpoints of the models.
            ValueError: another process uses the folder.
        """
        check_disk_space(self.path, min_checkpoint_bytes(models))
        with self.locked_log(), track_run as tracker:
            yield type(self)(self.path, tracker)

    def fit(self, stage: Any, data: Any) -> Any:
        """Train a stage, or reuse a trained stage of another run; wait if another process trains the same stage.

        Args:
            stage: LightningModule of `training`, or baseline.
            data: data module of the stage.

        Returns:
            The trained network in evaluation mode.
        """
        # Imported here, so that reading a run does not import Lightning.
        from fashion_lsh.training.callbacks import RunCSVLogger, create_callbacks, create_loggers
        from fashion_lsh.training.fitting import fit

        config = self.config
        with self._stage_lock(stage.name, f"{stage.name}.ckpt"):
            initialise(stage, self, self.tracker.log)
            loggers = [RunCSVLogger(self.path, name="logs"), *self.tracker.loggers()]
            loggers += create_loggers(config["logger"]["lightning"], self.path, stage.name)
            callbacks = create_callbacks(config["callbacks"])
            return fit(stage, data, self.path, loggers, callbacks, **config["trainer"])

    def with_features(self, stages: Sequence[Any], data: GarmentData) -> GarmentData:
        """Encode each image once if the backbone is frozen (see `cache_features`); otherwise return the data unchanged.

        Args:
            stages: classifier and, if the run has one, hash head or baseline.
            data: data of the stages.
        """
        models = [getattr(stage, "model", stage) for stage in stages]
        if not all(model.frozen for model in models):
            return data
        models[-1].load_weights(self.config["backbone"]["weights"])  # its features may contain further levels
        return self._cache_features(stages, data, self.path.parent.parent / FEATURES_FOLDER)

    def with_hash_features(self, stage: Any, data: GarmentData) -> GarmentData:
        """Encode each image once with the trained classifier if the hash stage trains on features of its backbone."""
        if not getattr(stage, "trains_on_features", False) or data.features is not None:
            return data
        return self._cache_features([stage], data, self.path / HASH_FEATURES)

    def remove_hash_features(self) -> None:
        """Delete the features of `with_hash_features`, which no other run can use."""
        shutil.rmtree(self.path / HASH_FEATURES, ignore_errors=True)

    def _cache_features(self, stages: Sequence[Any], data: GarmentData, folder: Path) -> GarmentData:
        config, model = self.config, getattr(stages[-1], "model", stages[-1])
        pairs = any(getattr(each, "needs_item_pairs", False) for each in (*stages, model))
        num_views = cached_views(config["backbone"]["cached_views"], data, pairs) if data.has_images else 0
        if not num_views:
            return data
        settings = {"data": config["data"], "backbone": config["backbone"], "classifier": config["classifier"]}
        code = {
            "versions": used_versions(settings),
            "own": own_code(settings),
            "transform": config["data"]["transform"],
        }
        return cache_features(model, data, folder, num_views, code)

    def detections(self, detector: DetectorModel, data: GarmentData) -> Detections:
        """Detect boxes in all images, or copy the detections of a run with the same detector."""
        with self._stage_lock("detections", DETECTIONS_FILE):
            if not (self.path / DETECTIONS_FILE).exists() and not self.config["overwrite"]:
                copy_stage_file("detections", self, DETECTIONS_FILE)
            return super().detections(detector, data)

    def _stage_lock(self, stage: str, file: str) -> AbstractContextManager[None]:
        """Lock a stage for all runs with the same stage key: a second process waits, and then reuses the stage.

        No lock is needed if the run has the file of the stage, or does not reuse stages (overwrite=true).
        """
        if (self.path / file).exists() or self.config["overwrite"]:
            return nullcontext()
        key = self.read_json("stage_keys.json")[stage]
        return folder_lock(self.path.parent.parent / LOCKS_FOLDER / f"{stage}-{key}", wait=True)


def _devices(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved accelerator, precision, and number of devices and machines, for the record of the environment."""
    from fashion_lsh.training.fitting import device_options
    from fashion_lsh.training.world import resolve_world

    world, accelerator = resolve_world(**device_options(trainer)), trainer["accelerator"]
    precision = trainer.get("precision") or default_precision(accelerator)
    return {
        "accelerator": inference_device(accelerator).type,
        "precision": precision,
        "devices": world.size,
        "machines": world.num_nodes,
    }
