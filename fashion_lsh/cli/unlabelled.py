"""Build a gallery of images without labels: fashion-lsh gallery build FOLDER --backbone NAME."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fashion_lsh.gallery.updates import AdditionResult
    from fashion_lsh.models.baselines import PCA
    from fashion_lsh.runs.run import Run

ALL = "all"  # name of the only category and inverted list
DEFAULTS = ("data=folder", "crop=whole", "hash=pca", "hash.bits=128", "backbone.frozen=true", "name=unlabelled",
            "logger=csv", "data.root=.")  # fmt: skip


def build_unlabelled(images: Path, backbone: str, overrides: Sequence[str]) -> tuple[Run, AdditionResult]:
    """Encode all images below a folder with a pretrained backbone, and write a run folder with a gallery.

    An interrupted build is resumed by the same call.

    Args:
        images: folder or manifest of images; categories, if any, are kept as labels of the hits only.
        backbone: file of the config group `backbone`, or a name of timm or torchvision (`convnext_tiny`,
            `torchvision/resnet18`), whose pretrained weights and image size are used.
        overrides: further settings, such as `data.image_size=160`.

    Returns:
        The run, and the numbers of added and skipped images.

    Raises:
        ValueError: a setting is unknown or invalid, no image is usable, or the gallery is complete already.
        FileNotFoundError: the folder or the weights are missing.
    """
    from fashion_lsh.cli.hydra_app import compose_config
    from fashion_lsh.gallery.image_encoding import Cropper
    from fashion_lsh.gallery.unlabelled import empty_gallery
    from fashion_lsh.gallery.updates import add
    from fashion_lsh.io.files import folder_lock
    from fashion_lsh.io.targets import instantiate
    from fashion_lsh.models.checkpoints import save_model
    from fashion_lsh.runs.config import check
    from fashion_lsh.runs.keys import run_key
    from fashion_lsh.runs.run import Run
    from fashion_lsh.runs.trust import write_config
    from fashion_lsh.search.policy import SearchPolicy

    if not images.exists():
        raise FileNotFoundError(f"{images}: no such folder; pass a folder of images, or a manifest (.csv or .parquet)")
    config = compose_config([*DEFAULTS, *_backbone_overrides(backbone), *overrides])
    config["data"]["root"] = str(images.resolve())  # not an override, where a comma would need quotes
    check(config)
    instantiate(config["search"], SearchPolicy).check_embeddings(config["gallery"]["embeddings"])
    path = Path(config["runs"]) / config["name"] / run_key(config, config["data"]["root"])
    with folder_lock(path):
        if not (path / "gallery").exists():
            fitted = _fit(config, images)
            write_config(path, config)
            save_model(fitted, path / "hash_head.ckpt", fitted.hyper_parameters)
            empty_gallery(fitted, config["gallery"]["embeddings"]).save(path / "gallery")
        run = Run(path)
        model = run.model()
        gallery = run.gallery(model.fingerprint())
        if len(gallery) and not gallery.pending_keys:
            raise ValueError(
                f"{path}: has a gallery of {len(gallery):,} images; add images with `fashion-lsh gallery add {path} "
                f"FOLDER`, write its sheets with `fashion-lsh gallery overview {path} --out FOLDER`, or remove the "
                "folder to build it again"
            )
        cropper = Cropper(model, None, run.box_selector)
        return run, add(run.gallery_folder, cropper, str(images), "whole", run.add_skipped)


def _backbone_overrides(name: str) -> list[str]:
    from fashion_lsh.cli.hydra_app import conf_folder

    if (conf_folder() / "backbone" / f"{name}.yaml").exists():
        return [f"backbone={name}"]
    library, _, name = name.rpartition("/")
    return [f"backbone={library or 'timm'}", f"backbone.name={name}", "backbone.weights=pretrained",
            "data.image_size=null"]  # fmt: skip


def _fit(config: dict[str, Any], images: Path) -> PCA:
    """Fit the codes to a sample of the images."""
    import torch

    from fashion_lsh.data.datasets.folder import Folder
    from fashion_lsh.gallery.unlabelled import fit_codes
    from fashion_lsh.io.targets import instantiate
    from fashion_lsh.models.baselines import PCA
    from fashion_lsh.models.checkpoints import inference_device
    from fashion_lsh.models.memory_format import use_inference_format

    torch.manual_seed(config["seed"])
    model = instantiate(config["hash"], PCA, categories=[ALL])
    model.load_weights(config["backbone"]["weights"])
    model = model.to(inference_device(config["trainer"]["accelerator"])).eval()
    use_inference_format(model)
    source = Folder(str(images), unlabelled=True)
    fit_codes(model, [str(source.folder / name) for name in source.catalogue().column("image")])
    return model
