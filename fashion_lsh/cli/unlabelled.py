"""Build a gallery of images without labels: fashion-lsh gallery build FOLDER --backbone NAME."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fashion_lsh.runs.run import Run

ALL = "all"  # name of the only category and inverted list
DEFAULTS = ("data=folder", "crop=whole", "hash=pca", "hash.bits=128", "backbone.frozen=true", "name=unlabelled",
            "logger=csv", "data.root=.")  # fmt: skip


def build_unlabelled(images: Path, backbone: str, overrides: Sequence[str]) -> Run:
    """Encode all images below a folder with a pretrained backbone, and write a run folder with a gallery.

    An interrupted build is resumed by the same call.

    Args:
        images: folder or manifest of images; categories, if any, are kept as labels of the hits only.
        backbone: file of the config group `backbone`; another name is that of timm, whose pretrained weights and image
            size are used.
        overrides: further settings, such as `data.image_size=160`.

    Raises:
        ValueError: a setting is unknown or invalid, no image is usable, or the gallery is complete already.
        FileNotFoundError: the folder or the weights are missing.
    """
    from fashion_lsh.gallery.image_encoding import Cropper
    from fashion_lsh.gallery.updates import add
    from fashion_lsh.io.files import folder_lock

    if not images.exists():
        raise FileNotFoundError(f"{images}: no such folder; pass a folder of images, or a manifest (.csv or .parquet)")
    config = compose_config([*DEFAULTS, *_backbone_overrides(backbone), *overrides])
    config["data"]["root"] = str(images.resolve())  # not an override, where a comma would need quotes
    run = _open_run(config)
    with folder_lock(run.path):
        if not run.gallery_folder.exists():
            _fit(run, images)
        model = run.model()
        gallery = run.gallery(model.fingerprint())
        if len(gallery) and not gallery.pending_keys:
            raise ValueError(
                f"{run.path}: has a gallery of {len(gallery):,} images; add new images with `fashion-lsh gallery add "
                f"{run.path} FOLDER`, or remove the folder to build it again"
            )
        add(run.gallery_folder, Cropper(model, None, run.box_selector), str(images), "whole", run.add_skipped)
    return run


def _backbone_overrides(name: str) -> list[str]:
    from fashion_lsh.cli.hydra_app import conf_folder

    if (conf_folder() / "backbone" / f"{name}.yaml").exists():
        return [f"backbone={name}"]
    return ["backbone=timm", f"backbone.name={name}", "backbone.weights=pretrained", "data.image_size=null"]


def compose_config(overrides: Sequence[str]) -> dict[str, Any]:
    """Compose, resolve and check the train config.

    Raises:
        ValueError: a setting is unknown or invalid.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from fashion_lsh.cli.components import plain_config
    from fashion_lsh.cli.hydra_app import conf_folder
    from fashion_lsh.runs.config import check, resolve_config

    try:
        with initialize_config_dir(str(conf_folder().resolve()), version_base="1.3"):
            config = resolve_config(plain_config(compose("train", list(overrides))))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"{error}") from error
    check(config)
    return config


def _open_run(config: dict[str, Any]) -> Run:
    """Create the run folder of these settings, or open an existing one."""
    from fashion_lsh.runs.run import Run
    from fashion_lsh.runs.trust import write_config

    settings = {name: config[name] for name in ("backbone", "data", "hash", "seed")}
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    path = Path(config["runs"]) / config["name"] / key
    if not (path / "config.yaml").exists():
        write_config(path, config)
    return Run(path)


def _fit(run: Run, images: Path) -> None:
    """Fit the codes to a sample of the images; write the model and an empty gallery."""
    import torch

    from fashion_lsh.cli.encode import list_images
    from fashion_lsh.data.datasets.folder import Folder
    from fashion_lsh.gallery.unlabelled import empty_gallery, fit_codes
    from fashion_lsh.models.baselines import PCA
    from fashion_lsh.models.checkpoints import inference_device, save_model
    from fashion_lsh.models.memory_format import use_inference_format

    config = run.config
    torch.manual_seed(config["seed"])
    model = run.instantiate(config["hash"], PCA, categories=[ALL])
    model.load_weights(config["backbone"]["weights"])
    model = model.to(inference_device(config["trainer"]["accelerator"])).eval()
    use_inference_format(model)
    if images.is_dir():
        paths = [str(path) for path in list_images([images])]
    else:
        source = Folder(str(images), unlabelled=True)
        paths = [str(source.folder / name) for name in source.catalogue().column("image")]
    fit_codes(model, paths)
    save_model(model, run.path / "hash_head.ckpt", model.hyper_parameters)
    empty_gallery(model).save(run.gallery_folder)
