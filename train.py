"""Fit the stages, file the gallery, answer the queries, write the scores: python train.py backbone=resnet101."""

import logging
from functools import partial
from typing import Any, cast

import hydra
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger

from fashion_lsh.evaluation.baselines import reference_metrics
from fashion_lsh.evaluation.crop_modes import score_crops
from fashion_lsh.evaluation.detection import detector_scores
from fashion_lsh.evaluation.model_costs import costs
from fashion_lsh.evaluation.protocol import encode_part, end_to_end, evaluate
from fashion_lsh.evaluation.robustness import score_corrupted
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.files import check_room
from fashion_lsh.report.contact_sheets import query_sheet
from fashion_lsh.report.page import finish
from fashion_lsh.report.sections.detection import found_tiles
from fashion_lsh.report.tables import describe
from fashion_lsh.runs.config import check, meant
from fashion_lsh.runs.job_file import scores_of
from fashion_lsh.runs.results import write_results
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.stage_cache import found, prepared
from fashion_lsh.runs.sweep import errors_in_one_line
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.tracking.wandb_run import publish, tracked
from fashion_lsh.training.checkpoints import check_accelerator, least_bytes
from fashion_lsh.training.fitting import CsvLog, fit

log = logging.getLogger(__name__)
build = partial(instantiate, _convert_="all")


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@errors_in_one_line
def main(cfg: DictConfig) -> float:
    """One run: what is finished is read, what is not goes on."""
    settings = meant(cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)))
    check(settings, cast(dict[str, Any], OmegaConf.to_container(cfg)))
    check_accelerator(cfg.trainer.accelerator)
    pl.seed_everything(cfg.seed, verbose=False)
    data, search = build(settings["data"]), build(settings["search"])
    scenes = build(settings["scenes"], data=data)
    detector = scenes and build(settings["detector"], classes=scenes.classes)  # before the others draw their weights
    classifier = build(settings["classifier"], categories=data.categories)
    hasher = build(settings["hash"], categories=data.categories)
    search.check(hasher and hasher.bits, len(data.categories))
    run = Run.begin(settings, data)
    scores = scores_of(run)
    if not scores:
        check_room(run.path, least_bytes([stage for stage in (detector, classifier, hasher) if stage]))
        with run.logged(), tracked(run.path, settings) as board:
            loggers = [CsvLog(run.path, name="logs"), *([WandbLogger(experiment=board)] if board else [])]
            show = board.log if board else None
            if detector:
                detector = fit(prepared(detector, run, show), scenes, run.path, loggers, **cfg.trainer)
                data.found = found(detector, data, run)
            model = fit(prepared(classifier, run, show), data, run.path, loggers, **cfg.trainer)
            facts = dict(model.facts)
            if hasher:
                model = fit(prepared(hasher.start_from(model), run, show), data, run.path, loggers, **cfg.trainer)
                facts |= model.facts
            query, gallery = (encode_part(model, data, part) for part in ("query", "gallery"))
            filed = Gallery.filed(model, gallery.encoded, gallery.catalogue)
            filed.save(run.gallery_folder)
            searcher = Searcher(model, filed, search)
            results = evaluate(searcher, query, gallery.lost)
            sheet = query_sheet(run.path / "sheet.png", data, query, searcher, results.hits)
            finder = detector if data.crop == "detected" else None
            references, kept = reference_metrics(query, gallery, model.bits)
            further = references | end_to_end(searcher, data, finder) | facts
            further |= detector_scores(detector, scenes, data.found) if detector else {}
            further |= score_crops(model, data, search, settings["crop"]["tested"]) | costs(model)
            further |= score_corrupted(searcher, data, settings["crop"]["corrupted"])
            write_results(run, query, filed, results, further, kept)
            publish(board, results.metrics | further, query, data.categories, sheet, found_tiles(data, scenes))
            scores = run.metrics
    finish(run)
    log.info("\n%s\n\n%s", describe(scores, settings, search.label), run.closing)
    return scores["query/category/map@100"]


if __name__ == "__main__":
    main()
