"""Evaluate a finished run with another search, or run a study: fashion-lsh evaluate run=runs/latest search=hamming."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fashion_lsh.cli.components import plain_config, scored_policy
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import encode_split, evaluate
from fashion_lsh.evaluation.published import PROTOCOLS, find_protocol
from fashion_lsh.io.targets import instantiate, target_names
from fashion_lsh.metrics.ranking import cutoff_ranks
from fashion_lsh.metrics.results import SEARCH
from fashion_lsh.report.page import write_report
from fashion_lsh.report.page_file import write_page
from fashion_lsh.report.tables import describe_run
from fashion_lsh.runs.config import check
from fashion_lsh.runs.results import add_search
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.sweep import print_user_errors
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher

log = logging.getLogger(__name__)


@print_user_errors
def main(cfg: DictConfig) -> float | None:
    """Evaluate with the config of the run and the overrides; return the category mAP@100, or None after a study."""
    run = Run(cfg.run, cfg.trust)
    run.check_finished()
    cli_config = plain_config(cfg)
    search, typed_search = _search_config(cli_config, run)
    config = run.config | {"search": search, "study": cli_config["study"]}
    config["evaluation"] = _evaluation_config(cli_config, run)
    config |= {key: {} for key in ("callbacks", "evaluators", "sections")}  # used by the train command and the report
    protocol = find_protocol(config)
    with run.restricted(target_names([typed_search, config["study"]])):  # the run may have been received
        check(config)
        policy = scored_policy(instantiate(config["search"], SearchPolicy), typed_search)
    data = run.instantiate(config["data"], GarmentData, box_selector=run.box_selector)
    run.check_data(data)
    data, model = run.with_detections(data), run.model()
    if config["study"]:
        study: Any = instantiate(config["study"], object)
        text, figures = study.page(rows := study(model, data, policy, run.path))
        folders = [run.path / cli_config["name"], *([Path(cli_config["page"])] if cli_config["page"] else [])]
        for folder in folders:
            write_page(folder, rows, text, figures)
        log.info("%s\n\nWritten to %s", text, " and ".join(map(str, folders)))
        return None
    gallery = run.gallery(model.fingerprint())
    if not len(gallery):
        raise ValueError(f"{run.gallery_folder}: empty gallery; run `fashion-lsh gallery build` or `gallery add`")
    searcher = Searcher(model, gallery, run.calibrate(policy, gallery.fingerprint))
    query, cutoffs = encode_split(model, data, "query"), cutoff_ranks(config["evaluation"]["k"])
    evaluation = evaluate(searcher, query, data.not_indexed("gallery"), cutoffs)
    if protocol:
        protocol.check_data(data, config["evaluation"].get("partial", False))
        for evaluator in protocol.evaluators.values():
            evaluation.results.extend(evaluator(searcher, data, query, encode_split(model, data, "gallery")))
    results = add_search(run, evaluation, config["evaluation"])
    if results is None:
        results, message = run.result_file.results, f"Nothing added: {run.path} already has these results"
    else:
        message = f"Results added to {run.path}; report: {write_report(run)}"
    log.info("%s\n\n%s", describe_run(results, config), message)
    return results.value(SEARCH, "map", 100, relevance="category")


def _evaluation_config(cli_config: dict[str, Any], run: Run) -> dict[str, Any]:
    """Evaluation settings: those of the run, unless the user typed others.

    The cutoff ranks of a typed protocol are added to those of the run.
    """
    typed = {name: value for name, value in cli_config["evaluation"].items() if value is not None}
    evaluation: dict[str, Any] = run.config["evaluation"] | typed
    protocol = PROTOCOLS.get(typed.get("protocol", ""))
    if protocol and "k" not in typed:
        evaluation["k"] = [*(k for k in protocol.cutoffs if k not in evaluation["k"]), *evaluation["k"]]
    return evaluation


def _search_config(cli_config: dict[str, Any], run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Search config, and the part of it that the user typed.

    `search=NAME` replaces the group of the run; `search.KEY=VALUE` changes a key of that group.
    """
    override_keys = [text.partition("=")[0] for text in HydraConfig.get().overrides.task]
    if "search" in override_keys:
        return dict(cli_config["search"]), dict(cli_config["search"])
    changes = {key: value for key, value in cli_config["search"].items() if f"search.{key}" in override_keys}
    return run.config["search"] | changes, changes
