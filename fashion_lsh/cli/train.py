"""Train all stages, build the gallery, evaluate the queries, write the scores: fashion-lsh train backbone=resnet101."""

import logging
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fashion_lsh.cli.components import Components, build_components, scored_policy
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import with_first_features
from fashion_lsh.data.item_pairs import describe_unpaired_items
from fashion_lsh.evaluation.calibration import calibrate
from fashion_lsh.evaluation.protocol import encode_split
from fashion_lsh.evaluation.run_evaluation import evaluate_run
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.ranking import cutoff_ranks
from fashion_lsh.metrics.results import SEARCH
from fashion_lsh.models.checkpoints import equal_weights
from fashion_lsh.report.contact_sheets import write_query_sheet
from fashion_lsh.report.detection_tiles import detection_tiles
from fashion_lsh.report.page import ensure_report
from fashion_lsh.report.tables import describe_run
from fashion_lsh.runs.job_file import load_results
from fashion_lsh.runs.objective import objective
from fashion_lsh.runs.results import write_results
from fashion_lsh.runs.run import CALIBRATION_FILE
from fashion_lsh.runs.sweep import print_user_errors
from fashion_lsh.runs.training_run import TrainingRun
from fashion_lsh.search import nearest_relevant
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.tracking.track import track_run
from fashion_lsh.training.fitting import device_options
from fashion_lsh.training.processes import Processes, open_processes
from fashion_lsh.training.worker import connect, serve
from fashion_lsh.training.world import launched_world

log = logging.getLogger(__name__)


@print_user_errors
def main(cfg: DictConfig) -> float | None:
    """Train and evaluate a run, reusing trained stages and resuming an interrupted one.

    Processes of torchrun and Slurm with a rank above 0 help to train and to encode, and return None.

    Returns:
        The score on val named by `sweep.metric`; without it, the category mAP@100 of the queries.

    Raises:
        ValueError: torchrun or Slurm started a sweep.
    """
    if (world := launched_world()) and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ValueError("-m: torchrun and srun start the processes of one run; start a sweep without them")
    # all processes connect now: those of Slurm would not wait until rank 0 has opened the data
    store = connect(world) if world else None
    if world and store and world.rank:
        serve(world, store)
        return None
    components = build_components(cfg)
    with open_processes(**device_options(components.config["trainer"]), store=store) as processes:
        run = TrainingRun.open(components.config, components.data)
        results = load_results(run)
        if results is None:
            with run.session(components.networks, track_run(run.path, components.config)) as session:
                train(session, components, processes)
            results = run.result_file.results
    run.remove_hash_features()
    ensure_report(run)
    log.info("\n%s\n\n%s", describe_run(results, components.config), run.summary)
    metric = components.config["sweep"]["metric"]
    return objective(results, metric) if metric else results.value(SEARCH, "map", 100, relevance="category")


def log_unpaired_items(stage: Any, data: GarmentData) -> None:
    """Log the number of items without a pair of training images if the hash stage compares images of one item."""
    if not (getattr(stage, "needs_item_pairs", False) or getattr(stage, "model", stage).needs_item_pairs):
        return
    rows, within_category = data.rows("train"), getattr(stage, "negatives", "category") == "category"
    if note := describe_unpaired_items(data.items[rows], data.labels[rows], data.has_images, within_category):
        log.info("%s: %s", stage.name, note)


def train(run: TrainingRun, components: Components, processes: Processes) -> None:
    """Train the stages, build the gallery, evaluate the queries, write and publish the results."""
    data, detector = components.data, None
    if components.detector:
        detector = run.fit(components.detector, components.scenes)
        data = data.with_detections(run.detections(detector, data))
    data = run.with_features(components.stages, data)
    model = run.fit(components.classifier, with_first_features(data, components.classifier.model.backbone.feature_dim))
    if components.hash_head:
        stage = components.hash_head.start_from(model)
        log_unpaired_items(stage, data)
        cached = run.with_hash_features(stage, data)
        fitted = run.fit(stage, cached)
        # the stage of another run may have been copied, whose classifier differs, for example in rounding
        data = cached if equal_weights(fitted.backbone, model.backbone) else data
        model = fitted
    query, indexed = (encode_split(model, data, split, processes=processes) for split in ("query", "gallery"))
    gallery = Gallery.build(model, indexed.encoded, indexed.catalogue, components.config["gallery"]["embeddings"])
    gallery.save(run.gallery_folder)
    val = encode_split(model, data, "val", processes=processes)
    run.write_json(nearest_relevant.FILE, nearest_relevant.calibrate(val.encoded, val.catalogue))
    if data.calibration:
        calibrate(model, data, processes).save(run.path / CALIBRATION_FILE, gallery.fingerprint)
    policy = scored_policy(run.calibrate(components.policy, gallery.fingerprint))
    searcher, crop = Searcher(model, gallery, policy), components.config["crop"]
    evaluation = evaluate_run(
        model,
        searcher,
        data,
        query,
        indexed,
        crop["eval_modes"],
        crop["eval_corruptions"],
        detector,
        components.scenes,
        components.evaluators,
        cutoff_ranks(components.config["evaluation"]["k"]),
    )
    sheet = (
        write_query_sheet(run.path / "contact_sheet.png", data, query, searcher, evaluation.hits)
        if data.has_images
        else []
    )
    write_results(run, evaluation)
    run.tracker.publish(evaluation.results, query, data.categories, sheet, detection_tiles(data, components.scenes))
