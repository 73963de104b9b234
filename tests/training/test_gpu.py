"""Training and encoding on a CUDA device (make test-gpu, at most eight minutes); skipped without one."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import encode_split
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.training.callbacks import RunCSVLogger
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.fitting import fit
from fashion_lsh.training.hash_head import HashHead
from fashion_lsh.training.job import TrainingJob, train
from fashion_lsh.training.worker import connect, process_group
from fashion_lsh.training.world import World
from tests.training.factories import make_module, stop_in_epoch
from tests.training.parallel import max_difference

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

MakeData = Callable[..., GarmentData]
EXACT = {"accelerator": "gpu", "precision": "32-true", "deterministic": "warn"}
ITEMS = {"item_weight": 0.5, "bihalf": True}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("module_class", "options"), [(Classifier, {}), (HashHead, ITEMS)])
def test_gpu_checkpoint_gives_the_same_outputs_on_cpu(
    module_class: type[CropModule], options: dict[str, Any], precision: str, make_data: MakeData, tmp_path: Path
) -> None:
    logger = RunCSVLogger(tmp_path, name="logs", version="")
    module = make_module(module_class, epochs=2, **options)
    gpu_model = fit(module, make_data(), tmp_path, [logger], accelerator="gpu", precision=precision)
    assert gpu_model.device.type == "cuda"
    assert all(value.dtype == torch.float32 for value in gpu_model.parameters())
    assert math.isfinite(gpu_model.fit_metrics[module.name]["val/accuracy"])
    cpu_model = load_model(tmp_path / f"{gpu_model.name}.ckpt", "cpu")
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        for ours, theirs in zip(cpu_model(images), gpu_model(images.to(gpu_model.device)), strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(ours, theirs.cpu(), rtol=0.02, atol=0.02)


def test_bf16_is_the_default_where_it_is_supported(make_data: MakeData, tmp_path: Path) -> None:
    module = make_module(epochs=1)
    fit(module, make_data(), tmp_path, accelerator="gpu")
    is_supported = torch.cuda.is_bf16_supported(including_emulation=False)
    assert module.trainer.precision == ("bf16-mixed" if is_supported else "32-true")


def test_resumed_training_on_a_gpu_equals_uninterrupted_training(make_data: MakeData, tmp_path: Path) -> None:
    whole = fit(make_module(HashHead, epochs=3), make_data(), tmp_path / "whole", **EXACT)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(2, patch)
        with pytest.raises(RuntimeError, match="interrupted"):
            fit(make_module(HashHead, epochs=3), make_data(), tmp_path / "stopped", **EXACT)  # type: ignore[arg-type]
    resumed = fit(make_module(HashHead, epochs=3), make_data(), tmp_path / "stopped", **EXACT)  # type: ignore[arg-type]
    assert max_difference(whole.cpu(), resumed.cpu()) < 1e-5


def test_ddp_of_one_process_trains_to_the_same_weights(make_data: MakeData, tmp_path: Path) -> None:
    models = []
    for name in ("alone", "group"):
        module = make_module(HashHead, epochs=2, **ITEMS)
        job = TrainingJob(module, make_data(), tmp_path / name, [], None, dict(EXACT))
        if name == "group":
            with process_group(World(), connect(World(), 0), "job0", "cuda"):
                train(World(), job, [])
        else:
            train(World(), job, [])
        models.append(module.model.cpu())
    assert max_difference(*models) < 1e-5


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_and_encode(make_data: MakeData, tmp_path: Path) -> None:
    model = fit(make_module(HashHead, epochs=2, **ITEMS), make_data(), tmp_path, devices=2, **EXACT)  # type: ignore[arg-type]
    assert math.isfinite(model.fit_metrics["hash_head"]["val/code_map"])


def test_gpu_encodes_as_the_cpu(make_data: MakeData) -> None:
    model, data = make_module(HashHead).model.eval(), make_data()
    on_cpu = encode_split(model, data, "gallery").encoded
    on_gpu = encode_split(model.cuda(), data, "gallery").encoded
    assert (on_cpu.predicted == on_gpu.predicted).mean() > 0.95
    assert abs(on_cpu.embeddings - on_gpu.embeddings).max() < 0.01


def test_compiled_backbone_gives_the_same_features() -> None:
    backbone = make_module().model.backbone.eval().cuda()
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, device="cuda")
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(backbone)(images), backbone(images), rtol=0.01, atol=0.01)


def test_gpu_trains_faster_than_the_cpu(record_property: Callable[[str, object], None]) -> None:
    rates = {}
    images = torch.randint(0, 256, (64, 3, 64, 64), dtype=torch.uint8)
    for device, steps in (("cpu", 3), ("cuda", 30)):
        model, inputs = make_module().model.to(device), images.to(device)
        for step in range(2 * steps):  # the first half is a warm-up
            if step == steps:
                start = time.perf_counter()
            model(inputs).logits.sum().backward()
            if step >= steps - 1 and device == "cuda":
                torch.cuda.synchronize()
        rates[device] = steps * len(images) / (time.perf_counter() - start)
        record_property(f"train_{device}_images_s", rates[device])
        print(f"ResNet18 at 64 px, {device}: {rates[device]:,.0f} images/s")
    assert rates["cuda"] > rates["cpu"]
