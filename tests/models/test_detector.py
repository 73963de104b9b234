"""Detector: pyramid, anchors, losses, training, resuming and checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionBatch, DetectionData
from fashion_lsh.data.detections import detect_all
from fashion_lsh.evaluation.detection import box_results
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.training.detector import Detector
from fashion_lsh.training.fitting import fit
from tests.training.factories import stop_at_epoch_end

MakeData = Callable[..., GarmentData]
OPTIM = {"name": "adamw", "lr": 0.002, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1}


def make_module(**changes: Any) -> Detector:
    torch.manual_seed(0)
    return Detector(**{
        "backbone": "resnet18", "classes": ["garment"], "weights": None, "level": "garment", "frozen": 0,
        "image_size": 64, "channels": 16, "head": 32, "anchors": [8.0, 16.0, 32.0, 48.0, 64.0],
        "ratios": [0.5, 1.0, 2.0], "proposals": [60, 30], "roi_batch_size": 16, "max_detections": 10, "flip_tta": False,
        "epochs": 2,
        "lr_factor": 1.0, "ema_decay": 0.0, "optim": OPTIM, "seed": 0, **changes,
    })  # fmt: skip


def make_detector(**changes: Any) -> DetectorModel:
    return make_module(**changes).model


def make_detection_data(data: GarmentData, **changes: Any) -> DetectionData:
    return DetectionData(data, **{
        "level": "garment", "image_size": 64, "views": None, "scales": [0.9, 1.1], "batch_size": 4,
        "samples_per_epoch": 8,
        "workers": 0, "seed": 0, **changes,
    })  # fmt: skip


def test_anchors_have_every_size_and_ratio() -> None:
    cells = make_detector(ratios=[0.25, 4.0]).network.rpn.anchor_generator.cell_anchors
    wide, tall = cells[1].tolist()  # anchors of 16 pixels
    assert (wide, tall) == ([-16, -4, 16, 4], [-4, -16, 4, 16])


def test_flip_tta_is_equivariant() -> None:
    """The detections in a mirrored image are the mirrored detections of the original."""
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    model = make_detector(flip_tta=True)
    boxes, flipped = model.detect([image, image[:, ::-1]])
    assert len(boxes.scores) == 10
    np.testing.assert_allclose(boxes.scores, flipped.scores, atol=1e-5)
    np.testing.assert_allclose(boxes.xyxy[:, [0, 2]], 64 - flipped.xyxy[:, [2, 0]], atol=1e-3)
    assert len(make_detector().detect([image])[0].scores)


def test_unknown_detector_backbone_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"detector\.backbone='resnet19': .*resnet18"):
        make_detector(backbone="resnet19")


def test_wrong_number_of_anchors_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"detector\.anchors=\[8\.0\]: .*\b5\b"):
        make_detector(anchors=[8.0])


@pytest.mark.parametrize(("weights", "is_trained"), [(None, True), ("imagenet", False)])
def test_batch_norm_is_frozen_with_pretrained_weights(weights: str | None, is_trained: bool) -> None:
    model = make_detector(weights=weights).train()
    norms = [module for module in model.pyramid.body.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {is_trained}
    assert {parameter.requires_grad for norm in norms for parameter in norm.parameters()} == {is_trained}


def test_detector_loads_backbone_weights_from_a_file(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(1)
    network = resnet18(weights=None)
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    model = make_detector(weights=str(tmp_path / "resnet18.pth"))
    assert model.load_weights(str(tmp_path / "resnet18.pth")) == "resnet18.pth (resnet18)"
    assert torch.equal(model.pyramid.body.backbone.network.conv1.weight, network.conv1.weight)


def test_frozen_levels_keep_their_weights(make_data: MakeData, tmp_path: Path) -> None:
    module = make_module(weights="imagenet", frozen=2)
    model = module.model
    before = [parameter.clone() for parameter in model.pyramid.body.parameters()]
    levels = model.pyramid.body.parameter_levels
    model = fit(module, make_detection_data(make_data()), tmp_path, accelerator="cpu", devices=1)
    is_unchanged = [torch.equal(old, new) for old, new in zip(before, model.pyramid.body.parameters(), strict=True)]
    assert all(same for same, level in zip(is_unchanged, levels, strict=True) if level < 2)
    assert not all(same for same, level in zip(is_unchanged, levels, strict=True) if level >= 2)


def test_frozen_levels_need_weights_and_must_exist() -> None:
    with pytest.raises(ValueError, match=r"detector\.frozen=1 .*detector\.weights"):
        make_detector(frozen=1)
    with pytest.raises(ValueError, match=r"detector\.frozen=5: resnet18 .*\b4\b"):
        make_detector(weights="imagenet", frozen=5)


def test_training_step_accepts_images_without_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = make_module().train()
    model = module.model
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    empty = DetectionBatch(
        [torch.zeros(3, 64, 48, dtype=torch.uint8)], [torch.empty(0, 4)], [torch.empty(0, dtype=torch.int64)]
    )
    loss = module.training_step(empty)
    loss.backward()
    assert torch.isfinite(loss)
    assert model.network.rpn.head.cls_logits.weight.grad.abs().sum() > 0


def random_images_and_targets() -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    images = [torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    box, label = torch.tensor([[5.3, 7.7, 40.1, 50.9]]), torch.ones(1, dtype=torch.int64)
    return images, [{"boxes": box, "labels": label}, {"boxes": box[:0], "labels": label[:0]}]


def test_losses_equal_torchvision() -> None:
    model = make_detector().train()
    torch.manual_seed(1)  # seed for sampling proposals
    losses = model.losses(*random_images_and_targets())
    torch.manual_seed(1)
    expected = model.network(*random_images_and_targets())
    assert list(losses) == list(expected)
    assert {name: loss.item() for name, loss in losses.items()} == {
        name: loss.item() for name, loss in expected.items()
    }


def test_boxes_stay_float32_in_mixed_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    model, types = make_detector().train(), {}
    anchors, select = model.network.rpn.anchor_generator.forward, model.network.roi_heads.select_training_samples

    def record_anchors(*args: Any) -> Any:
        result = anchors(*args)
        types["anchors"] = {each.dtype for each in result}
        return result

    def record_proposals(proposals: Any, targets: Any) -> Any:
        result = select(proposals, targets)
        types["proposals"] = {each.dtype for each in [*proposals, *result[0], *result[3]]}
        return result

    monkeypatch.setattr(model.network.rpn.anchor_generator, "forward", record_anchors)
    monkeypatch.setattr(model.network.roi_heads, "select_training_samples", record_proposals)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = model.pyramid(torch.zeros(1, 3, 64, 64))
        model.losses(*random_images_and_targets())
    assert maps["0"].dtype == torch.bfloat16  # the pyramid runs in mixed precision
    assert types == {"anchors": {torch.float32}, "proposals": {torch.float32}}


def test_boxes_are_in_pixels_of_the_image() -> None:
    model = make_detector()
    images = [
        np.random.default_rng(n).integers(0, 256, shape, dtype=np.uint8)
        for n, shape in enumerate([(300, 100, 3), (50, 70, 3)])
    ]
    for image, boxes in zip(images, model.detect(images), strict=True):
        height, width = image.shape[:2]
        assert boxes.xyxy.shape == (len(boxes.scores), 4)
        assert (boxes.xyxy >= 0).all()
        assert (boxes.xyxy <= np.array([width, height, width, height]) + 0.01).all()
        assert (np.diff(boxes.scores) <= 0).all()


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_detector_checkpoint_gives_the_same_boxes(make_data: MakeData, tmp_path: Path, ema_decay: float) -> None:
    scenes = make_detection_data(make_data())
    model = fit(make_module(ema_decay=ema_decay), scenes, tmp_path, accelerator="cpu", devices=1)
    opened = load_model(tmp_path / "detector.ckpt", "cpu")
    image = scenes.data.source.image(scenes.data.catalogue.column("image")[0])
    for mine, theirs in zip(model.detect([image])[0], opened.detect([image])[0], strict=True):
        assert np.array_equal(mine, theirs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detector.ckpt"]


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_resumed_detector_equals_uninterrupted_detector(
    make_data: MakeData, tmp_path: Path, ema_decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fit(
        make_module(ema_decay=ema_decay),
        make_detection_data(make_data()),
        tmp_path / "whole",
        accelerator="cpu",
        devices=1,
    )
    with monkeypatch.context() as patch:
        stop_at_epoch_end(1, patch)
        with pytest.raises(RuntimeError, match="interrupted"):
            fit(
                make_module(ema_decay=ema_decay),
                make_detection_data(make_data()),
                tmp_path / "stopped",
                accelerator="cpu",
                devices=1,
            )
    resumed = fit(
        make_module(ema_decay=ema_decay),
        make_detection_data(make_data()),
        tmp_path / "stopped",
        accelerator="cpu",
        devices=1,
    )
    for name, value in expected.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-6), name


@pytest.mark.slow
def test_trained_detector_finds_synthetic_garments(make_data: MakeData, tmp_path: Path) -> None:
    scenes = make_detection_data(make_data(), samples_per_epoch=64)
    model = fit(make_module(epochs=8), scenes, tmp_path, accelerator="cpu", devices=1, gradient_clip_val=5.0)
    detections = detect_all(model, scenes.data.source.image, sorted(set(scenes.data.catalogue.column("image"))))
    [ap50] = [row for row in box_results(detections, scenes, "query") if row.metric == "box_ap50"]
    assert ap50.value > 0.8


def test_non_finite_loss_stops_training(make_data: MakeData, tmp_path: Path) -> None:
    module = make_module(optim=OPTIM | {"lr": 1e12})
    with pytest.raises(ValueError, match=r"detector/train/loss=(nan|inf).*optim\.lr"):
        fit(module, make_detection_data(make_data()), tmp_path, accelerator="cpu", devices=1)
    assert not (tmp_path / "detector.ckpt").exists()
