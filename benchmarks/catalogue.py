"""Time and memory of a large catalogue: python -m benchmarks.catalogue FOLDER [--rows 500000].

Generates small images in FOLDER (once), merges the images into a catalogue, opens the catalogue and starts an epoch.
Then loads photographs of 15 kB as crops of 224 pixels. Results are written to runs/bench/catalogue.json.
"""

import argparse
import json
import logging
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from tabulate import tabulate

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.datasets.merged import CATALOGUE, Origin, save
from fashion_lsh.data.datasets.shop_street.garments import embedded
from fashion_lsh.data.merge.merge import merge, scan_source
from fashion_lsh.data.merge.recipe import Recipe
from fashion_lsh.data.merge.taxonomy import CATEGORIES, LabelMap
from fashion_lsh.data.near_duplicates import MAX_DISTANCE
from fashion_lsh.io.files import atomic_write

OUT = Path("runs/bench/catalogue.json")
IMAGE_SIZE, IMAGES_PER_FOLDER = 112, 1000  # side in pixels; number of images per folder
RECIPE = Recipe(None, 10, MAX_DISTANCE, False, {"train": 0.7, "val": 0.1, "query": 0.1, "gallery": 0.1}, 0)


def main() -> None:
    """Time each step, print a table and write OUT."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder for the generated images; reused by later calls")
    parser.add_argument("--rows", type=int, default=500_000, help="catalogue rows (%(default)s)")
    args = parser.parse_args()
    logging.getLogger("fashion_lsh").setLevel(logging.INFO)
    logging.basicConfig(format="%(message)s")
    os.environ["XDG_CACHE_HOME"] = str((args.folder / "cache").resolve())
    times: dict[str, float] = {"rows": args.rows}
    images = args.folder / f"images-{args.rows}"
    with step("generate images (once)", times):
        generate_images(images, args.rows)
    time_merge(images, args.folder / "merged", times)
    # Imported late: PyTorch would increase the peak memory.
    from benchmarks.loading import measure_loader_rates, time_first_batch
    from fashion_lsh.runs.environment import environment

    time_first_batch(args.folder / "merged", lambda name: step(name, times))
    times |= measure_loader_rates(args.folder / "photos", images)
    with atomic_write(OUT) as temporary:
        temporary.write_text(json.dumps(times | environment(), indent=1))
    print(tabulate([(name, f"{value:,.4g}") for name, value in times.items()], ["step", "s, GiB or images/s"]))


@contextmanager
def step(name: str, times: dict[str, float]) -> Iterator[None]:
    """Measure the duration of the block in seconds."""
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start
    logging.getLogger("fashion_lsh").info("%s: %.1f s", name, times[name])


def time_merge(images: Path, out: Path, times: dict[str, float]) -> None:
    """Time scanning, merging, saving and opening; record peak memory and row counts."""
    source = Folder(str(images))
    labels = LabelMap({name: (name, "") for name in CATEGORIES})
    with step("list and open all images", times):
        part = scan_source("generated", source, labels, fingerprints=True)
    with step("list again, images unchanged", times):
        part = scan_source("generated", source, labels, fingerprints=True)
    with step("merge: names, duplicates, near-duplicates, splits", times):
        merged = merge({"generated": part}, RECIPE)
    with step("save", times):
        save(out, merged.catalogue, merged.image_infos, {"generated": Origin("folder", str(images.resolve()))})
    times["peak memory, GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    times["merged rows"], times["images with a near-duplicate"] = len(merged.catalogue), merged.near_duplicates
    with step("open the catalogue", times):
        Catalogue.open(out / CATALOGUE)
    with step("open the source, check for changed images", times):
        rows = open_dataset("thesis30", str(out), 0).catalogue()
    times["opened rows"] = len(rows)


def generate_images(folder: Path, count: int) -> None:
    """Generate `count` different images of embedded garments, in random colours on random backgrounds, by category."""
    if (folder / "done").exists():
        return
    starts = range(0, count, IMAGES_PER_FOLDER)
    with ProcessPoolExecutor() as pool:
        list(
            pool.map(
                generate_image_range,
                [folder] * len(starts),
                starts,
                [min(IMAGES_PER_FOLDER, count - at) for at in starts],
            )
        )
    (folder / "done").touch()


def generate_image_range(folder: Path, start: int, count: int) -> None:
    """Generate the images with numbers from `start` to `start + count - 1`."""
    shades, alphas, *_ = embedded()
    category_folder = folder / CATEGORIES[start // IMAGES_PER_FOLDER % len(CATEGORIES)]
    category_folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        garment = rng.integers(len(shades))
        shade, alpha = (part[garment].astype(np.float32)[:, :, None] / 255 for part in (shades, alphas))
        background = rng.integers(0, 256, (28, 28, 3)).astype(np.float32)  # random backgrounds avoid near-duplicates
        pixels = alpha * shade * rng.integers(80, 256, 3) + (1 - alpha) * background
        Image.fromarray(pixels.astype(np.uint8)).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR).save(
            category_folder / f"{number}.jpg", quality=80
        )


if __name__ == "__main__":
    main()
