"""Objects between processes: content, shared memory, errors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fashion_lsh.training.messages import dump, load

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=4), st.sampled_from(DTYPES), st.integers(0, 3), st.booleans())
def test_tensors_keep_their_values_and_layout(shape: list[int], dtype: torch.dtype, offset: int, turned: bool) -> None:
    values = torch.arange(offset + math.prod(shape)).to(dtype)[offset:].reshape(shape)
    tensor = values.transpose(0, -1) if turned and shape else values
    (received,) = load([part.clone() for part in dump([tensor])])
    assert torch.equal(received, tensor)
    assert (received.dtype, received.stride()) == (tensor.dtype, tensor.stride())


def test_a_network_keeps_its_parameters_buffers_and_memory_format() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).to(memory_format=torch.channels_last)
    network[0].bias.requires_grad_(False)
    received = load([part.clone() for part in dump(network)])
    for ours, other in zip(received.state_dict().items(), network.state_dict().items(), strict=True):
        assert ours[0] == other[0]
        assert torch.equal(ours[1], other[1])
    assert received[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert [each.requires_grad for each in received.parameters()] == [True, False, True, True]


def test_memory_is_shared_but_for_read_only_arrays() -> None:
    tensor, array, fixed = torch.zeros(1000), np.zeros(1000), np.zeros(1000)
    fixed.flags.writeable = False
    parts = dump((tensor, array, fixed))
    for each in (tensor, array):
        each += 1
    received = load(parts)
    assert [each.max() for each in received] == [1, 1, 0]
    assert len(parts[0]) < 1000


def test_a_part_of_a_tensor_is_sent_alone_and_conjugates_keep_their_values() -> None:
    values = torch.arange(10_000.0).reshape(1000, 10)
    part, conjugate = values[3], torch.complex(values[:2], values[:2]).conj()
    parts = dump((part, conjugate))
    assert sum(map(len, parts)) < 3000
    received = load(parts)
    assert torch.equal(received[0], part)
    assert torch.equal(received[1], conjugate)


def test_a_class_of_another_process_is_named() -> None:
    content, *views = dump(nn.Linear(2, 3))
    renamed = content.numpy().tobytes().replace(b"Linear", b"Linearr"[1:])
    with pytest.raises(ValueError, match="inearr"):
        load([torch.frombuffer(bytearray(renamed), dtype=torch.uint8), *views])
