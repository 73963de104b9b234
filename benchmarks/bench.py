"""Speed relative to bare PyTorch, FAISS and numpy (make bench); results are written to runs/bench/bench.json."""

import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning.loggers import CSVLogger
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.loading import NUM_DECODED, decode, decode_rate, decode_with_pil, encode_photos
from benchmarks.retrieval import retrieval_results
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.evaluation.batch_encoding import encode_all, encode_in_processes
from fashion_lsh.io.files import atomic_write
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.encoding import Encoded, encode
from fashion_lsh.models.memory_format import use_inference_format
from fashion_lsh.runs.environment import environment
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.fitting import fit
from fashion_lsh.training.optimizers import create_optimizer
from fashion_lsh.training.processes import open_processes

NUM_STEPS, WARM_UP = 50, 5  # number of training steps; number of untimed steps at the start
OUT = Path("runs/bench/bench.json")


class TimedClassifier(Classifier):
    """Classifier that records the start time of each training step."""

    step_starts: tuple[float, ...] = ()

    def training_step(self, batch: Batch) -> Tensor:
        self.step_starts += (time.perf_counter(),)
        return super().training_step(batch)


def main() -> None:
    """Run all benchmarks, print a table and write OUT."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    with initialize_config_dir(str(Path("conf").resolve()), version_base="1.3"):
        cfg = compose(
            "train", ["backbone=resnet18", f"data.samples_per_epoch={64 * (NUM_STEPS + 1)}", "classifier.epochs=1"]
        )
    data = instantiate(cfg.data, _convert_="all")
    arguments = dict(instantiate(cfg.classifier, categories=data.categories, _convert_="all").hparams)
    results = {"loader_images_s": loader_rate(data)}
    results |= compare("train", lambda: train_rate(data, arguments), lambda: bare_train_rate(data, arguments), 3)
    model = Classifier(**arguments).model.eval()
    use_inference_format(model)
    for name, ours in (("encode", encode_rate), ("encode_with_descriptors", encode_with_descriptors_rate)):
        results |= compare(name, partial(ours, model, data), partial(bare_encode_rate, model, data), 9)
    results |= encode_processes_rates(model, data)
    results |= format_results("resnet18", 64) | format_results("efficientnet_lite0", 192)
    results["loader_over_train"] = results["loader_images_s"] / results["train_bare_images_s"]
    results |= decode_results(data)
    results |= retrieval_results()
    print(tabulate(results.items(), floatfmt=".3f"))
    print(json.dumps(environment(), indent=1))
    with atomic_write(OUT) as temporary:
        temporary.write_text(
            json.dumps(results | {f"machine/{name}": value for name, value in environment().items()}, indent=1)
        )
    print(f"Written to {OUT}")


def decode_results(data: GarmentData) -> dict[str, float]:
    """Rates of decoding and cropping photographs of 300 and 1,200 pixels: whole images, and boxes with a margin."""
    keys = np.resize(data.catalogue.column("image"), NUM_DECODED)
    images = [data.source.image(key) for key in keys]
    results: dict[str, float] = {}
    for side in (300, 1200):
        photos = encode_photos(images, side)
        for name, box in (("whole", None), ("box", np.array([0.13, 0.08, 0.86, 0.91], np.float32) * side)):
            ours, pil = (partial(decode_rate, photos, box, function) for function in (decode, decode_with_pil))
            results |= compare(f"decode_{side}px_{name}", ours, pil, 9, "pil")
    return results


def compare(
    name: str, ours: Callable[[], float], other: Callable[[], float], rounds: int, other_name: str = "bare"
) -> dict[str, float]:
    """Measure our rate and another one in alternating order; return the means and the ratio of the means."""
    rates = np.array(
        [(ours(), other()) if round_index % 2 else (other(), ours())[::-1] for round_index in range(rounds)]
    )
    our_rate, other_rate = rates.mean(axis=0).tolist()
    return {
        f"{name}_images_s": our_rate,
        f"{name}_{other_name}_images_s": other_rate,
        f"{name}_over_{other_name}": our_rate / other_rate,
    }


def loader_rate(data: GarmentData) -> float:
    """Images per second of the training loader without a training step."""
    return images_per_second(data.train_dataloader(), len)


def bare_train_rate(data: GarmentData, arguments: dict[str, Any]) -> float:
    """Images per second of a plain PyTorch loop with the same loader, network, loss and optimizer."""
    model = Classifier(**arguments).model.train()
    optimizer = create_optimizer([(model.parameters(), arguments["optim"]["lr"])], arguments["optim"])

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        logits = model.head(model.backbone(batch.images))
        loss = functional.cross_entropy(logits, batch.labels, label_smoothing=arguments["label_smoothing"])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return images_per_second(data.train_dataloader(), step)


def train_rate(data: GarmentData, arguments: dict[str, Any]) -> float:
    """Images per second of `fit` as train.py calls it: Lightning, logs, progress bar."""
    stage = TimedClassifier(**arguments)
    with tempfile.TemporaryDirectory() as folder:
        logs = [CSVLogger(folder, name="logs")]
        fit(stage, data, Path(folder), logs, accelerator="cpu", devices=1, gradient_clip_val=5.0, limit_val_batches=1)
    return 64 * (NUM_STEPS - WARM_UP) / (stage.step_starts[NUM_STEPS] - stage.step_starts[WARM_UP])


@torch.inference_mode()
def bare_encode_rate(model: ClassifierModel, data: GarmentData) -> float:
    """Images per second of the backbone's forward pass over the gallery loader."""
    return images_per_second(data.loader("gallery"), lambda batch: model.backbone(batch.images), steps=None)


def encode_rate(model: ClassifierModel, data: GarmentData) -> float:
    """Images per second of encoding the gallery to probabilities, codes and embeddings."""
    parts: list[Encoded] = []
    rate = images_per_second(
        data.loader("gallery"), lambda batch: parts.append(encode(model, batch.images)), steps=None
    )
    Encoded.concatenate(parts)
    return rate


def encode_with_descriptors_rate(model: ClassifierModel, data: GarmentData) -> float:
    """Images per second of encoding with the baselines' descriptors, as train.py does."""
    count, loader = len(data.rows("gallery")), data.loader("gallery")
    start = time.perf_counter()
    encode_all(model, loader)
    return count / (time.perf_counter() - start)


def format_results(name: str, size: int) -> dict[str, float]:
    """Rates of encoding images with the weights in channels_last, and of the plain forward pass in PyTorch's format."""
    model, plain = (ClassifierModel(name, ["a", "b"], image_size=size).eval() for _ in range(2))
    use_inference_format(model)
    images = torch.randint(0, 256, (64, 3, size, size), dtype=torch.uint8)

    def rate(step: Callable[[Tensor], Any]) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            step(images)
        return len(images) / (time.perf_counter() - start)

    return compare(f"encode_{name}", partial(rate, partial(encode, model)), partial(rate, plain.backbone), 9, "nchw")


def encode_processes_rates(model: ClassifierModel, data: GarmentData, rounds: int = 3) -> dict[str, float]:
    """Images per second of encoding the gallery in one process of one thread, and in two; target of the ratio: 1.8."""
    data, num_threads = data.replace(workers=0), torch.get_num_threads()
    rows, seconds = data.rows("gallery"), np.zeros(2)
    torch.set_num_threads(1)
    with patch.dict(os.environ, OMP_NUM_THREADS="1"), open_processes("cpu", 2) as processes:
        encode_in_processes(model, data, rows, "gallery", processes)  # starts the second process
        for _ in range(rounds):
            start = time.perf_counter()
            encode_in_processes(model, data, rows, "gallery", processes)
            middle = time.perf_counter()
            encode_all(model, data.loader("gallery"))
            seconds += (time.perf_counter() - middle, middle - start)
    torch.set_num_threads(num_threads)
    one, two = (rounds * len(rows) / seconds).tolist()
    return {"encode_one_thread_images_s": one, "encode_two_processes_images_s": two, "encode_two_over_one": two / one}


def images_per_second(loader: DataLoader[Any], step: Callable[[Batch], Any], steps: int | None = NUM_STEPS) -> float:
    """Images per second over `steps` batches without the first WARM_UP; over all batches if `steps` is None."""
    warm_up = WARM_UP if steps else 0
    start, count = time.perf_counter(), 0
    for index, batch in enumerate(islice(loader, steps)):
        if index == warm_up:
            start, count = time.perf_counter(), 0
        step(batch)
        count += len(batch.labels)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    pl.seed_everything(0, verbose=False)
    main()
