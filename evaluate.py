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
from fashion_lsh.report import comparison, speedup
from fashion_lsh.report.pages import put
from fashion_lsh.report.tables import describe
from fashion_lsh.retrieval.searcher import Searcher
from fashion_lsh.run import Run
from fashion_lsh.settings import check

log = logging.getLogger(__name__)

PAGES = {"speedup": speedup.page, "distances": comparison.page}


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> float | None:
    """The run's own settings, with what is typed in their place; the scores go beside the run's own."""
    run = Run(Path(cfg.run))
    asked = _asked(cfg, run.config["search"], HydraConfig.get().overrides.task)
    settings = run.config | {"search": asked, "measure": OmegaConf.to_container(cfg.measure) if cfg.measure else None}
    check(settings)
    search, data = (instantiate(settings[group], _convert_="all") for group in ("search", "data"))
    run.check_data(data)
    data = run.cropped(data)
    model = run.model()
    if cfg.measure:
        page = PAGES[cfg.name]
        text, figures = page(rows := instantiate(cfg.measure, _convert_="all")(model, data, search, run.path))
        folders = [run.path / cfg.name, *([Path(cfg.page)] if cfg.page else [])]
        for folder in folders:
            put(folder, rows, text, figures)
        log.info("%s\n\nWritten to %s", text, " and ".join(map(str, folders)))
        return None
    searcher = Searcher(model, run.gallery(model.fingerprint()), search)
    results = evaluate(searcher, encode_part(model, data, "query"))
    run.add_search(search.label, results)
    log.info("%s\n\nAdded to %s", describe(run.metrics | results.metrics, settings, search.label), run.path)
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
