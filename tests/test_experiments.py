"""Run one job of each command in experiments/ on a few images: make experiments-smoke."""

import shlex
from pathlib import Path

import pytest

from fashion_lsh.cli.hydra_app import compose_config
from fashion_lsh.cli.reproduce import ROOT, TRAIN, Experiment, expand_jobs, list_experiments
from tests.commands import run_forked

SMALLEST = ["data=shop_street", "data.sources=null", "data.image_size=64", "data.workers=0", "trainer=smoke",
            "logger=csv", "hydra.mode=RUN", "classifier.epochs=1"]  # fmt: skip
SHORTEST = {"experiment=speedup": ["study.sizes=[1600]", "study.composed=1600", "study.num_queries=5"],
            "experiment=distances": ["study.gallery_size=300", "study.num_queries=5"],
            "experiment=item_codes": ["study.bits=[8]", "study.seeds=[0]", "study.views=1",
                                      "study.methods=[lsh,item_contrast]", "study.further_methods=[]"],
            "experiment=item_search": [],
            "experiment=coverage": ["study.draws=2", "study.num_queries=5"]}  # fmt: skip


def reduced_arguments(line: str, folder: Path, images: Path | None) -> list[str]:
    """Arguments of fashion-lsh for the first job of a line, on `images` and with few epochs; outputs go to `folder`."""
    script, *words = shlex.split(line, comments=True)[1:]
    command = Path(script).stem
    if script not in TRAIN:
        return [command, f"run={folder}/runs/latest", f"page={folder}/page", words[-1], *SHORTEST[words[-1]]]
    words = [word for word in expand_jobs(line)[0] if not word.startswith(("data.", "data=", "detector.level="))]
    settings = compose_config(words)
    words += [*SMALLEST, f"runs={folder}/runs", f"jobs={folder}/jobs"]
    words += ["data.source=folder", f"data.root={images}"] if images else []
    words += ["detector.image_size=64", "detector.level=garment", "detector.epochs=1"] if settings["detector"] else []
    words += ["hash.epochs=1"] if settings["hash"] else []
    words += ["split.unseen=[bag,coat]"] if "unseen" in settings["split"] else []
    return [command, *words]


@pytest.mark.smoke
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("experiment", list_experiments(), ids=lambda experiment: experiment.name)
def test_one_job_of_each_command(experiment: Experiment, few: Path, tmp_path: Path) -> None:
    for line in experiment.settings.commands:
        if line.startswith("python "):  # other lines write pages
            arguments = reduced_arguments(line, tmp_path, few if experiment.settings.jobs else None)
            done = run_forked(arguments, ROOT, tmp_path / "output.log")
            assert done.status == 0, f"{line}\n{shlex.join(arguments)}\n{done.output[-3000:]}"
    assert any(tmp_path.glob("jobs/*.parquet" if experiment.settings.jobs else "page/results.csv"))
