"""Data loading for benchmarks.catalogue and benchmarks.bench; a separate module, because it imports PyTorch."""

import io
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from fashion_lsh.data.crops import clip_box, crop_image, expand_box
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.images import open_image
from fashion_lsh.data.merge.taxonomy import CATEGORIES

NUM_PHOTOS, PHOTO_SIZE = 2000, 300  # number of generated photographs; side in pixels
NUM_DECODED, CROP_SIDE, MARGIN = 40, 224, 0.1  # number of photographs that are decoded; side and margin of their crops

Decode = Callable[[bytes, np.ndarray | None], np.ndarray]  # decodes a photograph and crops a box


def time_first_batch(merged: Path, step: Callable[[str], AbstractContextManager[None]]) -> None:
    """Time the data module and the first batch of an epoch.  step: context manager that times its block."""
    data = build_data("thesis30", merged, 64)
    with step("data module: rows, splits, checksum"):
        len(data.checksum), len(data.categories)
    with step("first batch of an epoch"):
        next(iter(data.train_dataloader()))


def measure_loader_rates(photos: Path, images: Path) -> dict[str, float]:
    """Images per second for photographs at 224 pixels: decoding and transforms on one core; loader with 2 workers."""
    if not (photos / "done").exists():
        generate_photos(photos, images)
    data = build_data("folder", photos, 224, workers=2, crop="whole")
    torch.set_num_threads(1)
    dataset = data.loader("train").dataset
    rows = range(min(500, len(data.catalogue)))
    start = time.process_time()
    for row in rows:
        dataset[row, 0]
    per_core = len(rows) / (time.process_time() - start)
    loader = iter(data.loader("train"))
    next(loader)  # starts the workers
    start, count = time.perf_counter(), 0
    for batch in loader:
        count += len(batch.rows)
    sizes = [path.stat().st_size for path in list(photos.rglob("*.jpg"))[:200]]
    return {
        "photograph, kB": float(np.mean(sizes)) / 1000,
        "decode and transform, images/s per core": per_core,
        "loader with 2 workers, images/s": count / (time.perf_counter() - start),
    }


def build_data(source: str, root: Path, size: int, workers: int = 1, crop: str = "annotated") -> GarmentData:
    """Build the data module as train.py does."""
    overrides = [
        f"data={source}",
        f"data.root={root}",
        f"data.image_size={size}",
        f"data.workers={workers}",
        f"crop={crop}",
    ]
    with initialize_config_dir(str(Path("conf").resolve()), version_base="1.3"):
        cfg = compose("train", [*overrides, "split=gallery_is_train"])
    return instantiate(cfg.data, _convert_="all")


def generate_photos(folder: Path, images: Path) -> None:
    """Generate NUM_PHOTOS noisy images of about 15 kB, each composed of four images of the folder `images`."""
    paths = sorted(images.rglob("*.jpg"))
    rng = np.random.default_rng(0)
    for number in range(NUM_PHOTOS):
        tiles = [np.asarray(Image.open(paths[index])) for index in rng.integers(0, len(paths), 4)]
        combined = Image.fromarray(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])).resize(
            (PHOTO_SIZE, PHOTO_SIZE)
        )
        noisy = np.clip(np.asarray(combined) + rng.normal(0, 5, (PHOTO_SIZE, PHOTO_SIZE, 3)), 0, 255).astype(np.uint8)
        category_folder = folder / CATEGORIES[number % 2]
        category_folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(category_folder / f"{number}.jpg", quality=66)
    (folder / "done").touch()


def encode_photos(images: Iterable[np.ndarray], side: int) -> list[bytes]:
    """Enlarge images, (H, W, 3) uint8, to `side` pixels, add noise, and encode them as JPEG."""
    rng = np.random.default_rng(0)
    photos = []
    for image in images:
        enlarged = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        file = io.BytesIO()
        noisy = np.clip(enlarged + rng.normal(0, 5, enlarged.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(file, "JPEG", quality=66)
        photos.append(file.getvalue())
    return photos


def decode_rate(photos: list[bytes], box: np.ndarray | None, decode: Decode) -> float:
    """Images per second of decoding and cropping photographs with one thread, in CPU time."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    for photo in photos:
        decode(photo, box)
    rate = len(photos) / (time.process_time() - start)
    torch.set_num_threads(num_threads)
    return rate


def decode(photo: bytes, box: np.ndarray | None) -> np.ndarray:
    """Decode and crop a photograph as the data sets do.  box: (4,) xyxy in pixels; None: the whole image."""
    return crop_image(open_image(io.BytesIO(photo)), box, MARGIN, CROP_SIDE)


def decode_with_pil(photo: bytes, box: np.ndarray | None) -> np.ndarray:
    """Decode and crop a photograph with PIL only; otherwise as `decode`."""
    with Image.open(io.BytesIO(photo)) as image:
        image.getexif()
        pixels = np.asarray(image.convert("RGB"))
    pil_image = Image.fromarray(pixels)
    region = None if box is None else tuple(clip_box(expand_box(box, MARGIN), *pil_image.size).tolist())
    return np.asarray(pil_image.resize((CROP_SIDE, CROP_SIDE), Image.Resampling.BILINEAR, box=region))
