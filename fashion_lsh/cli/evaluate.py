"""Search and score a finished run again: python evaluate.py run=runs/latest search=hamming search.probes=all.

Or run a study on it: python evaluate.py run=runs/latest experiment=speedup.
"""

import logging
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from fashion_lsh.cli.parts import CONF, build, plain
from fashion_lsh.evaluation.protocol import encode_part, evaluate
from fashion_lsh.report.page_file import put
from fashion_lsh.report.tables import describe
from fashion_lsh.runs.config import check
from fashion_lsh.runs.results import add_search, own_metrics
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.sweep import errors_in_one_line
from fashion_lsh.search.searcher import Searcher

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=CONF, config_name="evaluate")
@errors_in_one_line
def main(cfg: DictConfig) -> float | None:
    """Evaluate with the run's own config, with the keys that are typed in their place."""
    run = Run(Path(cfg.run))
    run.check_finished()
    typed = plain(cfg)
    config = run.config | {"search": _search_config(typed, run), "measure": typed["measure"]}
    check(config)
    search, data = build(config["search"]), build(config["data"])
    run.check_data(data)
    data, model = run.cropped(data), run.model()
    if config["measure"]:
        measure = build(config["measure"])
        rows = measure(model, data, search, run.path)
        text, figures = measure.page(rows)
        folders = [run.path / typed["name"], *([Path(typed["page"])] if typed["page"] else [])]
        for folder in folders:
            put(folder, rows, text, figures)
        log.info("%s\n\nWritten to %s", text, " and ".join(map(str, folders)))
        return None
    searcher = Searcher(model, run.gallery(model.fingerprint()), search)
    results = evaluate(searcher, encode_part(model, data, "query"), data.not_indexed("gallery"))
    before = own_metrics(run, results)
    added = add_search(run, search.label, results)
    done = f"Added to {run.path}" if added else f"It is the search of {run.path} itself: nothing is added"
    log.info("%s\n\n%s", describe(before | results.metrics, config, search.label), done)
    return results.metrics["query/category/map@100"]


def _search_config(typed: dict[str, Any], run: Run) -> dict[str, Any]:
    """Search config: a group that is typed counts whole, else single keys change the run's own."""
    keys = [text.partition("=")[0] for text in HydraConfig.get().overrides.task]
    if "search" in keys:
        return dict(typed["search"])
    return run.config["search"] | {k: value for k, value in typed["search"].items() if f"search.{k}" in keys}


if __name__ == "__main__":
    main()
