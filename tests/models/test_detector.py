"""The detector learns where garments are, from nothing, in seconds; and opens again as it was."""

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
from fashion_lsh.evaluation.detection import box_scores
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.models.feature_pyramid import TRUNKS, Pyramid
from fashion_lsh.training.detector import Detector
from fashion_lsh.training.fitting import fit

Make = Callable[..., GarmentData]
OPTIM = {"name": "adamw", "lr": 0.002, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1}


def module(**changed: Any) -> Detector:
    torch.manual_seed(0)
    return Detector(**{
        "backbone": "resnet18", "classes": ["garment"], "weights": None, "level": "garment", "frozen": 0,
        "image_size": 64, "channels": 16, "head": 32, "anchors": [8.0, 16.0, 32.0, 48.0, 64.0],
        "ratios": [0.5, 1.0, 2.0], "proposals": [60, 30], "sampled": 16, "most": 10, "mirrored": False, "epochs": 2,
        "lr_factor": 1.0, "average": 0.0, "optim": OPTIM, "seed": 0, **changed,
    })  # fmt: skip


def detector(**changed: Any) -> DetectorModel:
    return module(**changed).model


def scenes_of(data: GarmentData, **changed: Any) -> DetectionData:
    return DetectionData(data, **{
        "level": "garment", "image_size": 64, "views": None, "scales": [0.9, 1.1], "batch_size": 4, "samples_per_epoch": 8,
        "workers": 0, "seed": 0, **changed,
    })  # fmt: skip


@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_trunk_gives_maps_of_halving_sizes(trunk: str) -> None:
    pyramid = Pyramid(trunk, 8).eval()
    with torch.inference_mode():
        maps = list(pyramid(torch.zeros(1, 3, 64, 96)).values())
    assert len(maps) == pyramid.levels + 1
    assert {each.shape[1] for each in maps} == {8}
    sizes = [tuple(each.shape[2:]) for each in maps]
    assert sizes == sorted(sizes, reverse=True)
    if trunk != "mobilenet_v3_large_320":
        assert sizes[:4] == [(64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]


def test_anchors_are_of_each_size_and_ratio() -> None:
    cells = detector(ratios=[0.25, 4.0]).network.rpn.anchor_generator.cell_anchors
    wide, high = cells[1].tolist()  # of 16 pixels
    assert (wide, high) == ([-16, -4, 16, 4], [-4, -16, 4, 16])


def test_a_mirrored_picture_has_mirrored_boxes_where_both_are_looked_at() -> None:
    """The mean of a picture and its mirror knows no side."""
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    model = detector(mirrored=True)
    found, turned = model.detect([picture, picture[:, ::-1]])
    assert len(found.scores) == 10
    np.testing.assert_allclose(found.scores, turned.scores, atol=1e-5)
    np.testing.assert_allclose(found.xyxy[:, [0, 2]], 64 - turned.xyxy[:, [2, 0]], atol=1e-3)
    assert len(detector().detect([picture])[0].scores)


def test_an_unknown_trunk_is_named() -> None:
    with pytest.raises(ValueError, match=r"detector\.backbone='alexnet': give one of resnet18"):
        detector(backbone="alexnet")


def test_another_number_of_anchors_is_named() -> None:
    with pytest.raises(ValueError, match=r"detector\.anchors=\[8\.0\]: give 5 sizes, one for each level"):
        detector(anchors=[8.0])


@pytest.mark.parametrize(("weights", "trained"), [(None, True), ("imagenet", False)])
def test_norms_stay_as_they_are_where_there_are_weights(weights: str | None, trained: bool) -> None:
    made = detector(weights=weights).train()
    norms = [module for module in made.pyramid.body.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {trained}
    assert {parameter.requires_grad for norm in norms for parameter in norm.parameters()} == {trained}


def test_the_trunk_takes_a_files_weights(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(1)
    network = resnet18(weights=None)
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    made = detector(weights=str(tmp_path / "resnet18.pth"))
    assert made.start(str(tmp_path / "resnet18.pth")) == "resnet18.pth (resnet18)"
    assert torch.equal(made.pyramid.body.parts[0][0].weight, network.conv1.weight)


def test_frozen_levels_keep_their_weights(make_data: Make, tmp_path: Path) -> None:
    trained = module(weights="imagenet", frozen=2)
    made = trained.model
    before = [parameter.clone() for parameter in made.pyramid.body.parameters()]
    kept = len(list(made.pyramid.body.parts[:2].parameters()))
    made = fit(trained, scenes_of(make_data()), tmp_path, accelerator="cpu", devices=1)
    same = [torch.equal(old, new) for old, new in zip(before, made.pyramid.body.parameters(), strict=True)]
    assert all(same[:kept])
    assert not all(same[kept:])


def test_frozen_levels_want_weights_and_to_be_there() -> None:
    with pytest.raises(ValueError, match=r"detector\.frozen=1 would keep random weights: give detector\.weights"):
        detector(frozen=1)
    with pytest.raises(ValueError, match=r"detector\.frozen=5: resnet18 has 4 levels"):
        detector(weights="imagenet", frozen=5)


def test_pictures_without_garments_teach_the_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = module().train()
    made = trained.model
    monkeypatch.setattr(trained, "log", lambda *_, **__: None)
    monkeypatch.setattr(trained, "log_dict", lambda *_, **__: None)
    empty = DetectionBatch(
        [torch.zeros(3, 64, 48, dtype=torch.uint8)], [torch.empty(0, 4)], [torch.empty(0, dtype=torch.int64)]
    )
    loss = trained.training_step(empty)
    loss.backward()
    assert torch.isfinite(loss)
    assert made.network.rpn.head.cls_logits.weight.grad.abs().sum() > 0


def drawn_pictures() -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    images = [torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    box, label = torch.tensor([[5.3, 7.7, 40.1, 50.9]]), torch.ones(1, dtype=torch.int64)
    return images, [{"boxes": box, "labels": label}, {"boxes": box[:0], "labels": label[:0]}]


def test_losses_are_those_of_the_network_as_torchvision_walks_it() -> None:
    made = detector().train()
    torch.manual_seed(1)  # of the proposals that are sampled
    losses = made.losses(*drawn_pictures())
    torch.manual_seed(1)
    whole = made.network(*drawn_pictures())
    assert list(losses) == list(whole)
    assert {name: loss.item() for name, loss in losses.items()} == {name: loss.item() for name, loss in whole.items()}


def test_in_mixed_precision_boxes_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    made, types = detector().train(), {}
    anchors, select = made.network.rpn.anchor_generator.forward, made.network.roi_heads.select_training_samples

    def seen_anchors(*given: Any) -> Any:
        found = anchors(*given)
        types["anchors"] = {each.dtype for each in found}
        return found

    def seen_proposals(proposals: Any, targets: Any) -> Any:
        found = select(proposals, targets)
        types["proposals"] = {each.dtype for each in [*proposals, *found[0], *found[3]]}
        return found

    monkeypatch.setattr(made.network.rpn.anchor_generator, "forward", seen_anchors)
    monkeypatch.setattr(made.network.roi_heads, "select_training_samples", seen_proposals)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = made.pyramid(torch.zeros(1, 3, 64, 64))
        made.losses(*drawn_pictures())
    assert maps["0"].dtype == torch.bfloat16  # the pyramid is mixed
    assert types == {"anchors": {torch.float32}, "proposals": {torch.float32}}


def test_boxes_are_told_in_the_pictures_own_pixels() -> None:
    made = detector()
    pictures = [
        np.random.default_rng(n).integers(0, 256, shape, dtype=np.uint8)
        for n, shape in enumerate([(300, 100, 3), (50, 70, 3)])
    ]
    for picture, boxes in zip(pictures, made.detect(pictures), strict=True):
        height, width = picture.shape[:2]
        assert boxes.xyxy.shape == (len(boxes.scores), 4)
        assert (boxes.xyxy >= 0).all()
        assert (boxes.xyxy <= np.array([width, height, width, height]) + 0.01).all()
        assert (np.diff(boxes.scores) <= 0).all()


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_fitted_detector_opens_as_it_was(make_data: Make, tmp_path: Path, average: float) -> None:
    scenes = scenes_of(make_data())
    made = fit(module(average=average), scenes, tmp_path, accelerator="cpu", devices=1)
    opened = load_model(tmp_path / "detector.ckpt", "cpu")
    picture = scenes.data.source.image(scenes.data.catalogue.column("image")[0])
    for mine, theirs in zip(made.detect([picture])[0], opened.detect([picture])[0], strict=True):
        assert np.array_equal(mine, theirs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detector.ckpt"]


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_detector_that_was_stopped_ends_as_one_that_was_not(
    make_data: Make, tmp_path: Path, average: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_lsh.training import fitting

    whole = fit(module(average=average), scenes_of(make_data()), tmp_path / "whole", accelerator="cpu", devices=1)
    plain = fitting.EpochLog.on_train_epoch_end

    def stop(self: Any, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("the power went out")
        plain(self, trainer, pl_module)

    with monkeypatch.context() as patch:
        patch.setattr(fitting.EpochLog, "on_train_epoch_end", stop)
        with pytest.raises(RuntimeError, match="power"):
            fit(module(average=average), scenes_of(make_data()), tmp_path / "stopped", accelerator="cpu", devices=1)
    again = fit(module(average=average), scenes_of(make_data()), tmp_path / "stopped", accelerator="cpu", devices=1)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-6), name


@pytest.mark.slow
def test_a_detector_learns_where_drawn_garments_are(make_data: Make, tmp_path: Path) -> None:
    scenes = scenes_of(make_data(), samples_per_epoch=64)
    made = fit(module(epochs=8), scenes, tmp_path, accelerator="cpu", devices=1, gradient_clip_val=5.0)
    found = detect_all(made, scenes.data.source.image, sorted(set(scenes.data.catalogue.column("image"))))
    assert box_scores(found, scenes, "query")["detector/query/box_ap50"] > 0.8


def test_a_loss_that_is_no_number_ends_the_fit(make_data: Make, tmp_path: Path) -> None:
    made = module(optim=OPTIM | {"lr": 1e12})
    with pytest.raises(ValueError, match=r"detector: the loss became (nan|inf) in epoch \d: lower optim\.lr"):
        fit(made, scenes_of(make_data()), tmp_path, accelerator="cpu", devices=1)
    assert not (tmp_path / "detector.ckpt").exists()
