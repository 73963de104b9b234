"""Build data, stages and search policy of a run from the config, and check all values before the first epoch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from torch import nn

from fashion_lsh.data.corrections import uncorrected
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.embedding_files import EmbeddingFiles
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import BoxSelector
from fashion_lsh.data.loaders import check_item_pairs
from fashion_lsh.evaluation.calibration import check_coverage
from fashion_lsh.evaluation.evaluator import Evaluator, create_evaluators
from fashion_lsh.evaluation.published import find_protocol
from fashion_lsh.io.targets import instantiate
from fashion_lsh.models.baselines import Baseline
from fashion_lsh.models.checkpoints import check_accelerator
from fashion_lsh.report.sections.own import create_section
from fashion_lsh.runs.config import check, resolve_config
from fashion_lsh.runs.objective import check_objective
from fashion_lsh.runs.trackers import resolve_trackers
from fashion_lsh.search.policy import HIT_FILTERS, SearchPolicy
from fashion_lsh.search.row_filter import matching_rows
from fashion_lsh.training.callbacks import create_callbacks
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.code_module import CodeModule
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.detector import Detector
from fashion_lsh.training.fitting import check_trainer_options, device_options
from fashion_lsh.training.world import resolve_world

VECTORS = "vectors"  # backbone.name with data=embeddings
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Components:
    """Data, stages and search policy of a run.

    Attributes:
        config: resolved config as plain values.
        data: data module of garment crops.
        scenes: data module of whole images with boxes, for training the detector; None without a detector.
        detector, classifier, hash_head: stages with random initial weights; None if the config disables the stage.
        policy: search policy.
        evaluators: the user's own evaluators by name.
    """

    config: dict[str, Any]
    data: GarmentData
    scenes: DetectionData | None
    detector: Detector | None
    classifier: Classifier
    hash_head: CodeModule | Baseline | None
    policy: SearchPolicy
    evaluators: dict[str, Evaluator]

    @property
    def stages(self) -> list[Any]:
        """Classifier and, if the run has one, hash head or baseline."""
        return [self.classifier] if self.hash_head is None else [self.classifier, self.hash_head]

    @property
    def networks(self) -> list[nn.Module]:
        """Networks of all stages."""
        stages = [*([self.detector] if self.detector else []), *self.stages]
        return [stage if isinstance(stage, Baseline) else stage.model for stage in stages]


def build_components(cfg: DictConfig) -> Components:
    """Resolve and check the config, seed all random generators, and build the components.

    Raises:
        ValueError: a value is invalid, or two values are incompatible.
    """
    config = resolve_config(plain_config(cfg))
    check(config, plain_config(cfg, resolve=False))
    check_accelerator(config["trainer"]["accelerator"])
    check_trainer_options(config["trainer"])
    protocol = find_protocol(config)
    evaluators = create_evaluators(config["evaluators"])
    for name, node in config["sections"].items():
        create_section(name, node)  # checks class and arguments
    resolve_trackers(config["logger"]["trackers"], Path(config["runs"]), config)  # checks classes and arguments
    create_callbacks(config["callbacks"])  # checks classes and arguments; each stage gets its own callbacks
    pl.seed_everything(config["seed"], verbose=False)
    data = instantiate(
        config["data"], GarmentData, box_selector=instantiate(config["data"]["box_selector"], BoxSelector)
    )
    if protocol:
        protocol.check_data(data, config["evaluation"].get("partial", False))
        evaluators = {**protocol.evaluators, **evaluators}
    policy = instantiate(config["search"], SearchPolicy)
    policy.check_embeddings(config["gallery"]["embeddings"])
    scenes = instantiate(config["scenes"], DetectionData, data=data) if config["scenes"] else None
    ranks = resolve_world(**device_options(config["trainer"])).ranks
    ranks.check_batch_size(data.batch_size, "data.batch_size")
    if scenes:
        ranks.check_batch_size(scenes.batch_size, "scenes.batch_size")
    config = config | _with_backbone(config, data)
    # The order of the stages must not change: it determines the random initial weights.
    detector = instantiate(config["detector"], Detector, classes=scenes.classes) if scenes else None
    classifier = instantiate(config["classifier"], Classifier, categories=data.categories)
    hash_head = _hash_head(config["hash"], data.categories) if config["hash"] else None
    for stage in (classifier, hash_head):
        if isinstance(stage, CropModule):
            stage.check_data(data)
    if hash_head and getattr(hash_head, "model", hash_head).needs_item_pairs:
        check_item_pairs(data, data.batch_size, "data.batch_size")
    if config["sweep"]["metric"]:
        check_objective(config["sweep"]["metric"], isinstance(hash_head, CodeModule))
    policy.check(_bits(hash_head) if hash_head else None, len(data.categories))
    policy.bind(data.categories)  # checks the names of categories
    if policy.where is not None:
        matching_rows(policy.where, data.catalogue.table)  # checks the names of columns
    check_coverage(policy, data)
    return Components(config, data, scenes, detector, classifier, hash_head, policy, evaluators)


def _with_backbone(config: dict[str, Any], data: GarmentData) -> dict[str, Any]:
    """Settings of classifier and hash head; the backbone of data=embeddings depends on the length of the vectors.

    Raises:
        ValueError: a backbone for images is combined with vectors, or the reverse.
    """
    name, source = config["backbone"]["name"], uncorrected(data.source)
    stages = {stage: config[stage] for stage in ("classifier", "hash") if config[stage]}
    if isinstance(source, EmbeddingFiles) and name == VECTORS:
        return {stage: node | {"backbone": source.backbone} for stage, node in stages.items()}
    if isinstance(source, EmbeddingFiles):
        model = f" of model {source.model[:12]}" if source.model else ""
        raise ValueError(f"backbone.name={name!r}: {source.root} has vectors{model}, not images; set backbone=vectors")
    if name == VECTORS:
        raise ValueError(f"backbone.name={name!r}: the data are images; set data=embeddings, or another backbone")
    return stages


def scored_policy(policy: SearchPolicy, typed: Mapping[str, Any] = MappingProxyType({})) -> SearchPolicy:
    """Return the ranking of a policy, which an evaluation scores; the log names the filters of hits that it leaves out.

    Args:
        policy: search policy.
        typed: search settings on the command line.

    Raises:
        ValueError: a filter of hits was typed, but an evaluation does not apply it.
    """
    for name in HIT_FILTERS:
        if name in typed and typed[name] is not None and typed[name] is not False:
            raise ValueError(
                f"search.{name}={typed[name]!r} filters the hits of a search; an evaluation scores the ranking of all "
                "rows in the probed lists. Pass it to `fashion-lsh search`, or to Searcher.with_policy"
            )
    if (ranking := policy.ranking) is not policy:
        log.info("Scores are computed without search.%s, which filter hits", ", search.".join(HIT_FILTERS))
    return ranking


def plain_config(cfg: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """Convert a config to plain values; `resolve=False` keeps interpolations such as `${crop.margin}`."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=resolve, throw_on_missing=resolve))


def _hash_head(config: dict[str, Any], categories: list[str]) -> CodeModule | Baseline:
    stage = instantiate(config, nn.Module, categories=categories)
    if not isinstance(stage, CodeModule | Baseline):
        raise ValueError(
            f"hash._target_={config['_target_']}: not a HashHead, ItemContrast or Baseline; derive the class from one"
        )
    return stage


def _bits(hash_head: CodeModule | Baseline) -> int:
    return hash_head.bits if isinstance(hash_head, Baseline) else hash_head.model.bits
