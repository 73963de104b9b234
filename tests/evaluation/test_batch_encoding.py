"""Encoding in several processes equals encoding in one process, byte for byte."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.batch_encoding import encode_in_processes
from fashion_lsh.evaluation.protocol import EncodedSplit, encode_split
from fashion_lsh.training.hash_head import HashHead
from fashion_lsh.training.processes import Processes, open_processes
from fashion_lsh.training.world import World
from tests.training.factories import make_module


def content(split: EncodedSplit) -> dict[str, Any]:
    encoded = split.encoded
    arrays = {"probabilities": encoded.probabilities, "codes": encoded.codes, "embeddings": encoded.embeddings}
    return {name: value.tobytes() for name, value in (arrays | split.descriptors).items()} | {
        "error": split.quantisation_error,
        "ids": list(split.catalogue.column("id")),
    }


@pytest.mark.train
def test_two_processes_encode_the_bytes_of_one(make_data: Callable[..., GarmentData]) -> None:
    model, data = make_module(HashHead).model.eval(), make_data(batch_size=5)
    with open_processes("cpu", 2) as processes:
        for part, changes in (("train", {}), ("gallery", {"workers": 1}), ("val", {"batch_size": 100})):
            changed = data.replace(**changes)
            alone, together = (encode_split(model, changed, part, processes=each) for each in (None, processes))  # type: ignore[arg-type]
            assert content(together) == content(alone)


def test_one_process_encodes_the_rows_in_order(make_data: Callable[..., GarmentData]) -> None:
    model, data = make_module(HashHead).model.eval(), make_data(batch_size=5)
    encoded, descriptors, error = encode_in_processes(model, data, data.rows("val"), "val", Processes(World(), "cpu"))
    expected = encode_split(model, data, "val")
    np.testing.assert_array_equal(encoded.embeddings, expected.encoded.embeddings)
    assert descriptors.keys() == expected.descriptors.keys()
    assert error == expected.quantisation_error
