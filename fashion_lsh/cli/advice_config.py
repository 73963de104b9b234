"""Settings of a run or of own images as an experiment file, with another hash stage and search."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf

from fashion_lsh.cli.hydra_app import compose_train, resolve_values
from fashion_lsh.io.files import atomic_write

NAME = "advice"
# Groups of settings that the data, the classifier and the training depend on.
GROUPS = ("backbone", "crop", "data", "detector", "optim", "scenes", "seed", "split", "trainer", "classifier")
# The thesis's layer on the features of a network that is trained: without the settings for fine-tuning.
FROZEN_SOFTMAX = {"frozen": True, "epochs": 5, "lr_factor": 1.0, "head_factor": 2.0}


class TrainSettings:
    """Settings of a training whose hash stage and search are replaced.

    Args:
        config: resolved config of the training.
        experiment: experiment file on which it is based; None: none.
    """

    def __init__(self, config: Mapping[str, Any], experiment: str | None = None) -> None:
        self.config, self.experiment = config, experiment

    def hash_overrides(self, name: str) -> dict[str, Any]:
        """Settings of a hash stage on fixed features that differ from its config file."""
        return FROZEN_SOFTMAX if name == "softmax" and not self.config["backbone"]["frozen"] else {}

    def hash_settings(self, name: str) -> dict[str, Any]:
        """Resolved settings of a hash stage, one of the files in conf/hash."""
        cfg, _ = self._compose([f"hash={name}"])
        settings: dict[str, Any] = resolve_values(cfg)["hash"] | self.hash_overrides(name)
        return settings

    def write(self, folder: Path, name: str, bits: int, search: Mapping[str, Any], embeddings: bool) -> Path:
        """Write the experiment file for `fashion-lsh train --config-dir <folder> experiment=advice`.

        Args:
            folder: parent of the config group `experiment`.
            name: hash stage.
            bits: code length.
            search: settings of the search policy.
            embeddings: whether the gallery stores embeddings.
        """
        _, changes = self._compose([f"hash={name}", f"search={search['distance']}"])
        defaults = [*([self.experiment] if self.experiment else []),
                    {"override /hash": name}, {"override /search": search["distance"]}]  # fmt: skip
        content = {
            "defaults": defaults, "name": NAME, **changes,
            "hash": {"bits": bits, **self.hash_overrides(name)},
            "search": {key: value for key, value in search.items() if key != "distance"},
            "gallery": {"embeddings": embeddings},
        }  # fmt: skip
        file = folder / "experiment" / f"{NAME}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        header = f"# @package _global_\n# fashion-lsh train --config-dir {folder} experiment={NAME}\n"
        with atomic_write(file) as temporary:
            temporary.write_text(header + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        return file

    def _compose(self, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        """Compose a config with the settings of GROUPS, and return also the changes that are not in a config file."""
        experiment = [f"experiment={self.experiment}"] if self.experiment else []
        cfg = compose_train([*experiment, *overrides])
        OmegaConf.set_struct(cfg, False)
        wanted = {name: self.config[name] for name in GROUPS if name in self.config}
        changes: dict[str, Any] = {}
        for keep_interpolations in (True, False):  # first the values that other settings refer to
            raw, resolved = (_plain(cfg, resolve) for resolve in (False, True))
            found = _differences(wanted, raw, resolved, keep_interpolations)
            cfg = cast(DictConfig, OmegaConf.merge(cfg, found))
            changes = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.merge(changes, found)))
        return cfg, changes


def own_targets(config: Any) -> Iterator[str]:
    """Yield the classes that settings name as `_target_`."""
    for name, value in config.items() if isinstance(config, Mapping) else ():
        if name == "_target_":
            yield str(value)
        yield from own_targets(value)


def _plain(cfg: DictConfig, resolve: bool) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=resolve))


def _differences(
    wanted: Mapping[str, Any], raw: Mapping[str, Any], resolved: Mapping[str, Any], keep_interpolations: bool
) -> dict[str, Any]:
    """Values of `wanted` that differ from the resolved ones; `raw` contains the interpolations."""
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        is_interpolation = isinstance(raw.get(name), str) and "${" in raw[name]
        if isinstance(value, Mapping) and isinstance(raw.get(name), Mapping):
            if inner := _differences(value, raw[name], resolved[name], keep_interpolations):
                found[name] = inner
        elif not (is_interpolation and keep_interpolations) and (name not in resolved or resolved[name] != value):
            found[name] = value
    return found
