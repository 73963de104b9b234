"""Run `train` and `evaluate` with Hydra.  The config is composed before torch and Lightning are imported."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fashion_lsh.cli.command import EXIT_STATUS, PROGRAM

if TYPE_CHECKING:
    from omegaconf import DictConfig

QUIET_LIBRARIES = ("pytorch_lightning", "faster_coco_eval", "faiss")  # only warnings of these are printed
HELP = {
    "train": """Train all stages, build the gallery, evaluate the queries, and write the scores into a run folder.

Finished stages are reused; after an interruption, run the same command to resume.

examples:
  {program} train experiment=demo
  {program} train backbone=resnet18 data=folder data.root=photos hash.bits=64
  {program} train -m backbone=resnet18,resnet34 seed=0,1 name=backbones    sweep of four runs""",
    "evaluate": """Evaluate a finished run with another search policy, or run a study on it.

examples:
  {program} evaluate run=runs/latest search=hamming search.nprobe=all
  {program} evaluate run=runs/latest experiment=speedup page=null""",
}
OPTIONS = """arguments:
  KEY=VALUE            change a setting
  GROUP=NAME           choose a file of a config group:
{groups}
  --cfg job            print all settings without running
  -m, --multirun       run all combinations of comma-separated values
  --config-dir FOLDER  add your own config groups
  --hydra-help         further options of Hydra"""

# The files of conf/hydra/launcher have the names of the plugins' own configs, against which Hydra checks them.
# Jobs of a launcher import this module, too.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


def conf_folder() -> Path:
    """Return the folder of the config files: `fashion_lsh/conf` of an installed package, `conf` of a checkout.

    Raises:
        FileNotFoundError: neither exists.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"{package / 'conf'}: no config files; install the package again")


def compose_train(overrides: Sequence[str]) -> DictConfig:
    """Compose the train config.

    Raises:
        ValueError: a setting is unknown.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(str(conf_folder().resolve()), version_base="1.3"):
            return compose("train", list(overrides))
    except HydraException as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def compose_config(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose and resolve the train config, as plain values.

    Raises:
        ValueError: a setting is unknown, or a value is missing.
    """
    return resolve_values(compose_train(overrides))


def resolve_values(cfg: DictConfig) -> dict[str, Any]:
    """Resolve a composed config to plain values.

    Raises:
        ValueError: a value is missing.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from fashion_lsh.runs.config import resolve_config

    try:
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        text, key = str(error).partition("\n")[0], getattr(error, "full_key", None)
        raise ValueError(f"{key}: {text}" if key else text) from error
    return resolve_config(cast(dict[str, Any], config))


def main(command: str, argv: Sequence[str]) -> int:
    """Run `train` or `evaluate` with Hydra's arguments; return 0, or 2 if an argument does not fit the config.

    Raises:
        SystemExit: help was printed (0), the task failed (1), or an option does not exist (2).
    """
    if {"-h", "--help"} & set(argv):
        print(f"usage: {PROGRAM} {command} [KEY=VALUE ...] [OPTION ...]\n\n{_help_text(command)}")
        sys.exit(0)
    import hydra
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException

    def task(cfg: DictConfig) -> float | None:
        quiet_libraries()  # FAISS logs while it is imported
        module = import_module(f"fashion_lsh.cli.{command}")
        quiet_libraries()  # Lightning sets its own level while it is imported
        value: float | None = module.main(cfg)
        return value

    task.__module__ = f"fashion_lsh.cli.{command}"  # names the job
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that files of the user do not replace libraries
    sys.argv = [f"{PROGRAM} {command}", *argv]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=command)(task)()
    except SystemExit as exit_:  # Hydra exits with 1 for every error
        if isinstance(exit_.__context__, ConfigCompositionException | MissingConfigException | OverrideParseException):
            return 2
        raise
    return 0


def quiet_libraries() -> None:
    """Print only warnings of QUIET_LIBRARIES; to be called after they are imported, since they set their level."""
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def _help_text(command: str) -> str:
    groups = [folder for folder in sorted(conf_folder().iterdir()) if folder.is_dir() and folder.name != "hydra"]
    names = {folder.name: sorted(file.stem for file in folder.glob("[!_]*.yaml")) for folder in groups}
    if command == "evaluate":
        names = {name: names[name] for name in ("search", "experiment")}
    lines = [f"    {name:<12} {', '.join(options)}" for name, options in names.items()]
    return "\n\n".join([HELP[command].format(program=PROGRAM), OPTIONS.format(groups="\n".join(lines)), EXIT_STATUS])
