"""Search and score a finished run again: python evaluate.py run=runs/latest search=hamming search.probes=all.

Or measure what an experiment asks of it: python evaluate.py run=runs/latest experiment=speedup.
"""

import logging
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from fashion_lsh.evaluation.protocol import encode_part, evaluate
from fashion_lsh.report.page_file import put
from fashion_lsh.report.tables import describe
from fashion_lsh.runs.config import check
from fashion_lsh.runs.results import add_search
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.sweep import errors_in_one_line
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.studies import distance_page, speedup_page
from fashion_lsh.studies.distance_comparison import Comparison
from fashion_lsh.studies.speedup import Speedup

log = logging.getLogger(__name__)

PAGES = {Speedup: speedup_page.page, Comparison: distance_page.page}


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
@errors_in_one_line
def main(cfg: DictConfig) -> float | None:
    """The run's own settings, with what is typed in their place; the scores go beside the run's own."""
    run = Run(Path(cfg.run))
    run.check_finished()
    asked = _asked(cfg, run.config["search"], HydraConfig.get().overrides.task)
    settings = run.config | {"search": asked, "measure": OmegaConf.to_container(cfg.measure) if cfg.measure else None}
    check(settings)
    search, data = (instantiate(settings[group], _convert_="all") for group in ("search", "data"))
    run.check_data(data)
    data = run.cropped(data)
    model = run.model()
    if cfg.measure:
        measure = instantiate(cfg.measure, _convert_="all")
        page = PAGES[type(measure)]
        rows = measure(model, data, search, run.path)
        text, figures = page(rows)
        folders = [run.path / cfg.name, *([Path(cfg.page)] if cfg.page else [])]
        for folder in folders:
            put(folder, rows, text, figures)
        log.info("%s\n\nWritten to %s", text, " and ".join(map(str, folders)))
        return None
    searcher = Searcher(model, run.gallery(model.fingerprint()), search)
    results = evaluate(searcher, encode_part(model, data, "query"), data.lost("gallery"))
    before = {name: value for name, value in run.metrics.items() if name != "speed/end_to_end_ms"}  # of its own search
    if before["query/gallery_rows"] != results.metrics["query/gallery_rows"]:
        log.warning(
            "the gallery has changed: this search asked %d garments, the other rows %d",
            results.metrics["query/gallery_rows"], before["query/gallery_rows"],
        )  # fmt: skip
    added = add_search(run, search.label, results)
    told = f"Added to {run.path}" if added else f"It is the search of {run.path} itself: nothing is added"
    log.info("%s\n\n%s", describe(before | results.metrics, settings, search.label), told)
    return results.metrics["query/category/map@100"]


def _asked(cfg: DictConfig, own: dict[str, Any], typed: list[str]) -> dict[str, Any]:
    """The search settings: a group that is typed counts whole, else single keys change the run's own."""
    keys = [text.partition("=")[0] for text in typed]
    asked = cast(dict[str, Any], OmegaConf.to_container(cfg.search, resolve=True, throw_on_missing=True))
    if "search" in keys:
        return asked
    return own | {name: value for name, value in asked.items() if f"search.{name}" in keys}


if __name__ == "__main__":
    main()
