"""Run what is missing of experiments/: python -m fashion_lsh reproduce --garments manifest.csv.

Every page names its commands, and these are what runs. A job whose scores are kept in the page's jobs/ is finished, and
so is a page without jobs that has its results.csv: delete these to make them anew. Typed again, it goes on.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from tabulate import tabulate

from fashion_lsh.report.page_file import OUTDATED
from fashion_lsh.runs.config import resolve_config
from fashion_lsh.runs.job_file import is_saved

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"^python .+$", re.MULTILINE)
MINUTES = re.compile(r"^\*\*Commands?\.\*\* About ([\d.]+) minutes( a job)?", re.MULTILINE)
PICTURES = {"garments": "garments/manifest.csv", "scenes": "scenes"}  # options, and what pages call these pictures
TRAIN = "train.py"


class Page(NamedTuple):
    """An experiment: its folder, the lines that make it, minutes of a job, or of all where it keeps none."""

    folder: Path
    lines: list[str]
    minutes: float
    has_jobs: bool

    @property
    def name(self) -> str:
        """As it is typed: its folder below experiments/."""
        return self.folder.relative_to(ROOT / "experiments").as_posix()

    @property
    def wanted(self) -> set[str]:
        """The options of the pictures that it is about, which are not part of this project."""
        return {option for option, called in PICTURES.items() if any(f"data.root={called}" in x for x in self.lines)}


def pages() -> list[Page]:
    """The experiments that train.

    Raises:
        ValueError: a page that does not tell how long it takes.
    """
    found = []
    for file in sorted((ROOT / "experiments").rglob("*/README.md")):
        text = file.read_text()
        lines = COMMAND.findall(text)
        if any(f" {TRAIN} " in line for line in lines):
            told = MINUTES.search(text)
            if told is None:
                raise ValueError(f"{file} does not tell how long it takes: write **Commands.** About 5 minutes a job")
            found.append(Page(file.parent, lines, float(told[1]), bool(told[2])))
    return found


def jobs_of(line: str) -> list[list[str]]:
    """What each job of a line types, a value for each that is swept; no jobs where the line is not for train.py."""
    script, *words = shlex.split(line, comments=True)[1:]
    if script != TRAIN:
        return []
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        swept = compose("train", [word for word in words if len(_each(word)) == 1], return_hydra_config=True)
    typed = {word.partition("=")[0] for word in words}
    params = [f"{name}={values}" for name, values in (swept.hydra.sweeper.params or {}).items() if name not in typed]
    return [list(job) for job in product(*map(_each, [*words, *params]))]


def _each(word: str) -> list[str]:
    """backbone=alexnet,vgg16 as two words."""
    (override,) = OverridesParser.create().parse_overrides([word])
    if not override.is_sweep_override():
        return [word]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """The settings of one job."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve_config(cast(dict[str, Any], OmegaConf.to_container(compose("train", list(words)), resolve=True)))


def left(page: Page) -> tuple[int, int]:
    """How many of a page's jobs (or of its one piece of work) are not finished, and how many there are."""
    if not page.has_jobs:
        outdated = OUTDATED.search((page.folder / "README.md").read_text())
        return int(outdated is not None or not (page.folder / "results.csv").exists()), 1
    asked = [settings_of(words) for line in page.lines for words in jobs_of(line)]
    return sum(not is_saved(settings, ROOT / settings["jobs"]) for settings in asked), len(asked)


def plan(chosen: Sequence[Page], given: Mapping[str, str]) -> list[tuple[Page, str]]:
    """Print what is left and how long it takes; what can be made, and what stands in the way of the others."""
    rows, minutes, able = [], 0.0, []
    for page in chosen:
        missing = " ".join(f"--{option}" for option in sorted(page.wanted) if not given.get(option))
        unfinished, all_jobs = left(page)
        needs = unfinished * page.minutes
        minutes += 0 if missing else needs
        if unfinished or not (page.folder / "results.csv").exists():
            able.append((page, missing))
        why = f"left out: give {missing}" if missing and unfinished else ""
        rows.append((page.name, all_jobs, unfinished, f"{needs:.0f}", why))
    print(
        tabulate(rows, ["page", "jobs", "left", "minutes", ""], tablefmt="plain", colalign=("left",) + ("right",) * 3)
    )
    print(f"About {minutes / 60:.1f} hours are left.")
    return able


def run(lines: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """Run lines one after the other, with the pictures' places; those that failed."""
    python = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    failed = []
    for line in lines:
        for option, called in PICTURES.items():
            line = line.replace(f"data.root={called}", f"data.root={shlex.quote(given.get(option) or called)}")
        print(f"\n$ {line}", flush=True)
        if subprocess.run(line, shell=True, cwd=ROOT, env=python, check=False).returncode:
            failed.append(line)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all was made; 1: a command failed, or pictures were not given; 2: no such page."""
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "pages", nargs="*", metavar="PAGE", help="as hash_layer or crops/scenes; all where none is named"
    )
    parser.add_argument("--garments", metavar="MANIFEST", help="the photographs of single garments")
    parser.add_argument("--scenes", metavar="FOLDER", help="the street photographs, as COCO")
    parser.add_argument("--left", action="store_true", help="only tell what is left, and how long it will take")
    asked = parser.parse_args(arguments)
    given = {option: str(Path(value).absolute()) for option in PICTURES if (value := getattr(asked, option))}
    for option, place in given.items():
        if not Path(place).exists():
            parser.error(f"--{option} {place}: there is no such file or folder")
    try:
        known = {page.name: page for page in pages()}
        names = dict.fromkeys(name.removeprefix("experiments/").strip("/") for name in asked.pages) or known
        if unknown := [name for name in names if name not in known]:
            parser.error(f"no page {unknown[0]!r}: give some of {', '.join(known)}")
        chosen = [known[name] for name in names]
        able = plan(chosen, given)
    except (ValueError, HydraException) as error:
        parser.error(str(error))
    if asked.left:
        return 0
    failed = [line for page, missing in able if not missing for line in run(page.lines, given)]
    failed += run(["python -m fashion_lsh report experiments"], given) if able else []
    return told(failed) or int(any(missing for _, missing in able))


def told(failed: Sequence[str]) -> int:
    """Print what failed; the exit code."""
    if failed:
        print("\nFailed:", *failed, sep="\n  ")
    return int(bool(failed))
