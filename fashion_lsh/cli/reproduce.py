"""Run the unfinished experiments.

The commands of an experiment are read from page.yaml in a folder below experiments/. A job is finished if the folder
jobs/ of the experiment has the scores of the job. An experiment without jobs is finished if its results.csv names the
code version that measured them. Delete these files to repeat a job or an experiment. After an interruption, run the
same command to resume.

examples:
  fashion-lsh reproduce --remaining
  fashion-lsh reproduce hash_layer --garments garments/manifest.csv
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from tabulate import tabulate

from fashion_lsh.cli.command import create_parser
from fashion_lsh.cli.hydra_app import compose_config, conf_folder
from fashion_lsh.report.page_settings import PAGE_SETTINGS, PageSettings, read_page_settings
from fashion_lsh.runs.job_file import is_saved

ROOT = Path(__file__).parents[2]
IMAGE_OPTIONS = {"garments": "garments/manifest.csv", "scenes": "scenes"}  # data.root that each option replaces
TRAIN = ("train.py", "train")  # python train.py, or fashion-lsh train


class Experiment(NamedTuple):
    """Experiment that can be run again.

    Attributes:
        folder: folder of page.yaml, below experiments/.
        settings: content of page.yaml, with the commands and their duration.
    """

    folder: Path
    settings: PageSettings

    @property
    def name(self) -> str:
        """Path of the folder below experiments/, as passed on the command line."""
        return self.folder.relative_to(ROOT / "experiments").as_posix()

    @property
    def required_options(self) -> set[str]:
        """Options for images that the commands need and that are not part of this project."""
        return {
            option
            for option, placeholder in IMAGE_OPTIONS.items()
            if any(f"data.root={placeholder}" in line for line in self.settings.commands)
        }


def list_experiments() -> list[Experiment]:
    """List the experiments, which have a page.yaml with commands.

    Raises:
        ValueError: a page.yaml is invalid.
    """
    folders = sorted(file.parent for file in (ROOT / "experiments").rglob(PAGE_SETTINGS))
    experiments = [Experiment(folder, read_page_settings(folder)) for folder in folders]
    return [experiment for experiment in experiments if experiment.settings.commands]


def expand_jobs(line: str) -> list[list[str]]:
    """Expand a command line into a list of overrides per job of the sweep; empty if the line does not train."""
    script, *overrides = shlex.split(line, comments=True)[1:]
    if script not in TRAIN:
        return []
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        swept = compose(
            "train", [override for override in overrides if len(_expand_sweep(override)) == 1], return_hydra_config=True
        )
    given_keys = {override.partition("=")[0] for override in overrides}
    params = [
        f"{name}={values}" for name, values in (swept.hydra.sweeper.params or {}).items() if name not in given_keys
    ]
    return [list(job) for job in product(*map(_expand_sweep, [*overrides, *params]))]


def _expand_sweep(text: str) -> list[str]:
    """Split an override such as backbone=alexnet,vgg16 into one override per value."""
    (override,) = OverridesParser.create().parse_overrides([text])
    if not override.is_sweep_override():
        return [text]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def count_unfinished(experiment: Experiment) -> tuple[int, int]:
    """Count the unfinished jobs and all jobs; an experiment without jobs counts as one job."""
    if not experiment.settings.jobs:
        return int(not _has_code_version(experiment.folder / "results.csv")), 1
    jobs = [compose_config(overrides) for line in experiment.settings.commands for overrides in expand_jobs(line)]
    return sum(not is_saved(settings, ROOT / settings["jobs"]) for settings in jobs), len(jobs)


def _has_code_version(results: Path) -> bool:
    """True if a results.csv exists and names the code version of its rows."""
    if not results.exists():
        return False
    with results.open() as file:
        return "code_version" in file.readline().strip().split(",")


def plan(experiments: Sequence[Experiment], image_paths: Mapping[str, str]) -> list[tuple[Experiment, str]]:
    """Print the remaining jobs and their duration; return each unfinished experiment and the missing options."""
    rows, total_minutes, unfinished = [], 0.0, []
    for experiment in experiments:
        missing = " ".join(
            f"--{option}" for option in sorted(experiment.required_options) if not image_paths.get(option)
        )
        num_unfinished, num_jobs = count_unfinished(experiment)
        remaining_minutes = num_unfinished * experiment.settings.minutes
        total_minutes += 0 if missing else remaining_minutes
        if num_unfinished or not (experiment.folder / "results.csv").exists():
            unfinished.append((experiment, missing))
        reason = f"skipped; pass {missing} to include it" if missing and num_unfinished else ""
        rows.append((experiment.name, num_jobs, num_unfinished, f"{remaining_minutes:.0f}", reason))
    print(
        tabulate(
            rows,
            ["experiment", "jobs", "remaining jobs", "remaining minutes", ""],
            tablefmt="plain",
            colalign=("left",) + ("right",) * 3,
        )
    )
    print(f"About {total_minutes / 60:.1f} hours remaining.")
    return unfinished


def run(lines: Sequence[str], image_paths: Mapping[str, str]) -> list[str]:
    """Run command lines one after another, with the paths of the images; return the failed lines."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    failed_lines = []
    for line in lines:
        for option, placeholder in IMAGE_OPTIONS.items():
            line = line.replace(
                f"data.root={placeholder}", f"data.root={shlex.quote(image_paths.get(option) or placeholder)}"
            )
        print(f"\n$ {line}", flush=True)
        if subprocess.run(line, shell=True, cwd=ROOT, env=environment, check=False).returncode:
            failed_lines.append(line)
    return failed_lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the unfinished commands.

    Exit status 1: a command failed, or an experiment was skipped because images are missing. Exit status 2: invalid
    arguments.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    image_paths = {option: str(Path(value).absolute()) for option in IMAGE_OPTIONS if (value := getattr(args, option))}
    for option, path in image_paths.items():
        if not Path(path).exists():
            parser.error(f"--{option} {path}: not found; pass an existing file or folder")
    try:
        experiments = {experiment.name: experiment for experiment in list_experiments()}
        names = dict.fromkeys(name.removeprefix("experiments/").strip("/") for name in args.experiments) or experiments
        if unknown_names := [name for name in names if name not in experiments]:
            parser.error(f"unknown experiment {unknown_names[0]!r}; choose from {', '.join(experiments)}")
        unfinished = plan([experiments[name] for name in names], image_paths)
    except (ValueError, HydraException) as error:
        parser.error(str(error))
    if args.remaining:
        return 0
    commands = [experiment.settings.commands for experiment, missing in unfinished if not missing]
    failed_lines = [line for lines in commands for line in run(lines, image_paths)]
    failed_lines += run(["fashion-lsh report experiments"], image_paths) if unfinished else []
    return report_failures(failed_lines) or int(any(missing for _, missing in unfinished))


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("reproduce", __doc__)
    parser.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="for example hash_layer or crops/scenes (default: all)"
    )
    parser.add_argument("--garments", metavar="MANIFEST", help="manifest of photographs of single garments")
    parser.add_argument("--scenes", metavar="FOLDER", help="folder of street photographs in COCO format")
    parser.add_argument(
        "--remaining", action="store_true", help="list the remaining jobs and their duration without running them"
    )
    return parser


def report_failures(failed_lines: Sequence[str]) -> int:
    """Print the failed commands; return the exit status."""
    if failed_lines:
        print("\nFailed:", *failed_lines, sep="\n  ")
    return int(bool(failed_lines))
