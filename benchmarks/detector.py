"""Detection time per image and preset: python -m benchmarks.detector."""

import logging
import time
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from tabulate import tabulate

from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.runs.environment import environment

PRESETS = ("small", "lite", "mobile")
NUM_WARM_UP, NUM_TIMED = 3, 20  # number of untimed and timed calls
MACHINE_KEYS = ("processor", "cores", "gpu")


def main() -> None:
    """Print milliseconds per image by number of threads.

    Random weights are the worst case, because more proposals remain than with trained weights.
    """
    logging.getLogger("fashion_lsh").setLevel(logging.WARNING)
    image = np.random.default_rng(0).integers(0, 256, (480, 320, 3), dtype=np.uint8)
    max_threads = torch.get_num_threads()
    rows = []
    for preset in PRESETS:
        model = build_detector(preset)
        times = []
        for threads in (1, max_threads):
            torch.set_num_threads(threads)
            times.append(time_detection(model, image))
        rows.append((preset, model.image_size, *times))
    print(
        tabulate(
            rows,
            ["detector", "longer side (px)", "ms, 1 thread", f"ms, {max_threads} threads"],
            "pipe",
            floatfmt=".0f",
        )
    )
    machine = ", ".join(f"{name} {value}" for name, value in environment(gpu=False).items() if name in MACHINE_KEYS)
    print(f"\nMedian of {NUM_TIMED} images of 480 x 320, batch size 1; {machine}")


def build_detector(preset: str) -> DetectorModel:
    """Build the network of a preset with random weights."""
    with initialize_config_dir(str(Path("conf").resolve()), version_base="1.3"):
        cfg = compose("train", ["crop=detected", f"detector={preset}", "detector.weights=null", "detector.frozen=0"])
    torch.manual_seed(0)
    model: DetectorModel = instantiate(cfg.detector, classes=["garment"], _convert_="all").model
    return model.eval()


def time_detection(model: DetectorModel, image: np.ndarray) -> float:
    """Median milliseconds of NUM_TIMED calls with a single image, (H, W, 3) uint8."""
    times = []
    for _ in range(NUM_WARM_UP + NUM_TIMED):
        start = time.perf_counter()
        model.detect([image])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times[NUM_WARM_UP:]))


if __name__ == "__main__":
    main()
