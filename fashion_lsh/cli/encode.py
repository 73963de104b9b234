"""Encode images, or the gallery of a run as it is, to codes and embeddings in a Parquet file.

Columns: id, path, category (predicted), probability of the category, code (packed bits, null without a hash layer),
embedding and, with --probabilities, the probabilities of all categories. Rows of a gallery have no probability, since
a gallery does not store probabilities, and no embedding if it was built with gallery.embeddings=false. Unreadable
images are skipped and listed on stderr; the exit status is then 1.

examples:
  fashion-lsh encode runs/latest new.jpg new_photos --out codes.parquet
  fashion-lsh encode runs/latest --gallery --out gallery.parquet
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_lsh.cli.command import PROGRAM, add_trust, create_parser, report_errors

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from fashion_lsh.models.crop_model import CropModel
    from fashion_lsh.runs.run import Run

BLOCK = 4096  # number of gallery rows per row group


@report_errors("encode")
def main(argv: Sequence[str] | None = None) -> int:
    """Encode and write the file; return 1 if an image was skipped."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if bool(args.images) == args.gallery:
        parser.error("pass either images or --gallery")
    if args.gallery and args.probabilities:
        parser.error("--probabilities: a gallery does not store probabilities; omit one of the options")
    import pyarrow.parquet as pq

    from fashion_lsh.io.files import atomic_write
    from fashion_lsh.runs.run import Run

    run = Run(args.run, args.trust)
    model = run.model()
    skipped: dict[str, str] = {}
    schema = _schema(model, args.probabilities)
    tables = _gallery_tables(run, model, schema) if args.gallery else _image_tables(run, model, args, schema, skipped)
    num_rows = 0
    with atomic_write(args.out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for table in tables:
            writer.write_table(table)
            num_rows += len(table)
    for reason in skipped.values():
        print(f"{PROGRAM} encode: skipped {reason}", file=sys.stderr)
    print(f"Wrote {num_rows:,} rows to {args.out}")
    return 1 if skipped else 0


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("encode", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder, for example runs/latest")
    parser.add_argument("images", type=Path, nargs="*", metavar="IMAGE_OR_FOLDER", help="images, or folders of images")
    parser.add_argument("--gallery", action="store_true", help="encode the gallery of the run, with added images")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.parquet", help="file to write")
    parser.add_argument("--probabilities", action="store_true", help="add the probabilities of all categories")
    add_trust(parser)
    return parser


def list_images(paths: Sequence[Path]) -> list[Path]:
    """List image files: files as they are, and the files with an image extension below folders, sorted.

    Raises:
        ValueError: a folder has no images.
    """
    from fashion_lsh.data.datasets.folder import IMG_EXTENSIONS

    images: dict[Path, None] = {}
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
            if not found:
                raise ValueError(f"{path}: no images; pass a folder with images ({' '.join(IMG_EXTENSIONS)})")
        images |= dict.fromkeys(found)
    return list(images)


def _schema(model: CropModel, with_probabilities: bool) -> pa.Schema:
    import pyarrow as pa

    code = pa.binary((model.bits + 7) // 8) if model.bits else pa.null()
    fields = [("id", pa.string()), ("path", pa.string()), ("category", pa.string()), ("probability", pa.float32()),
              ("code", code), ("embedding", pa.list_(pa.float32()))]  # fmt: skip
    if with_probabilities:
        fields.append(("probabilities", pa.list_(pa.float32())))
    return pa.schema(fields, metadata={"categories": "\n".join(model.categories), "model": model.fingerprint()})


def _table(schema: pa.Schema, columns: dict[str, Any], codes: np.ndarray | None) -> pa.Table:
    """Create a table; `codes` is (n, bytes) uint8, or None without a hash layer."""
    import pyarrow as pa

    code_column = [None] * len(columns["id"]) if codes is None else [code.tobytes() for code in codes]
    columns = {**columns, "code": code_column}
    return pa.table([pa.array(columns[field.name], type=field.type) for field in schema], schema=schema)


def _image_tables(
    run: Run, model: CropModel, args: argparse.Namespace, schema: pa.Schema, skipped: dict[str, str]
) -> Iterator[pa.Table]:
    """Encode images in chunks; add unreadable images to `skipped`, id -> reason with the path."""
    from fashion_lsh.data.catalogue import Catalogue
    from fashion_lsh.gallery.image_encoding import Cropper, encode_chunks

    paths = [str(path) for path in list_images(args.images)]
    catalogue = Catalogue.from_columns({"id": paths, "image": paths, "category": ["unknown"] * len(paths)})
    cropper = Cropper(model, run.detector(), run.box_selector)
    for chunk in encode_chunks(cropper, catalogue, set(paths)):
        skipped |= {
            path: reason if path in reason else f"{path}: {reason}" for path, reason in chunk.unreadable.items()
        }
        if chunk.encoded is None:
            continue
        encoded = chunk.encoded
        columns = {
            "id": chunk.rows.column("id").tolist(),
            "path": chunk.rows.column("image").tolist(),
            "category": [model.categories[number] for number in encoded.predicted],
            "probability": encoded.probabilities.max(axis=1),
            "embedding": list(encoded.embeddings),
            "probabilities": list(encoded.probabilities),
        }
        yield _table(schema, columns, encoded.codes)


def _gallery_tables(run: Run, model: CropModel, schema: pa.Schema) -> Iterator[pa.Table]:
    """Read codes and embeddings of the gallery in blocks of rows; the category is that of the inverted list."""
    import numpy as np

    gallery = run.gallery(model.fingerprint())
    catalogue, codes = gallery.catalogue, gallery.codes
    for start in range(0, len(gallery), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(gallery)))
        columns = {
            "id": catalogue.column("id")[rows].tolist(),
            "path": catalogue.column("image")[rows].tolist(),
            "category": [model.categories[number] for number in gallery.lists[rows]],
            "probability": [None] * len(rows),
            "embedding": [None] * len(rows),
        }
        if gallery.has_embeddings:
            embeddings = gallery.embeddings.take(gallery.rows[rows]).segments[0]
            columns["embedding"] = list(np.asarray(embeddings, dtype=np.float32))
        yield _table(schema, columns, None if codes is None else codes[rows])
