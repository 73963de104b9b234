"""Send objects from rank 0 to the other ranks, with the content of tensors and arrays outside of the pickle."""

import io
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist


def broadcast(parts: Sequence[Tensor], group: dist.ProcessGroup) -> None:
    """Send the parts of an object, see `dump`, to all other ranks of a group, which call `receive`."""
    dist.broadcast_object_list([[len(part) for part in parts]], group=group)
    for part in parts:
        dist.broadcast(part, 0, group)


def receive(group: dist.ProcessGroup) -> Any:
    """Receive the object that rank 0 broadcasts; errors as those of `load`."""
    sizes: list[Any] = [None]
    dist.broadcast_object_list(sizes, group=group)
    parts = [torch.empty(size, dtype=torch.uint8) for size in sizes[0]]
    for part in parts:
        dist.broadcast(part, 0, group)
    return load(parts)


def dump(content: Any) -> list[Tensor]:
    """Parts of an object: a pickle, then the memory of each tensor on the CPU and of each array, (n,) uint8 each.

    The memory is shared with the object, except that of read-only arrays.
    """
    views: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=views.append).dump(content)
    return [_as_bytes(stream.getbuffer()), *(_as_bytes(view.raw()) for view in views)]


def load(parts: Sequence[Tensor]) -> Any:
    """Object of the parts that `dump` made; its tensors and arrays share their memory.

    Raises:
        ValueError: a class cannot be imported in this process.
    """
    content, *views = (part.numpy().data for part in parts)
    try:
        return pickle.loads(content, buffers=views)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"trainer.devices: {error}; define your own classes in a module that all processes can import"
        ) from error


class _Pickler(pickle.Pickler):
    """Pickler that keeps the content of tensors out of the pickle, as pickle does for NumPy arrays."""

    def reducer_override(self, obj: Any) -> Any:
        is_plain = type(obj) is Tensor and obj.device.type == "cpu" and obj.layout == torch.strided
        if not is_plain or not obj.numel() or obj.requires_grad or obj.is_quantized or obj.is_conj() or obj.is_neg():
            return NotImplemented
        if obj.untyped_storage().nbytes() > obj.nbytes:
            obj = obj.clone()  # a part of a larger tensor
        view = torch.empty(0, dtype=torch.uint8).set_(obj.untyped_storage())
        return _rebuild, (
            pickle.PickleBuffer(view.numpy().data),
            obj.dtype,
            obj.storage_offset(),
            obj.shape,
            obj.stride(),
        )


def _rebuild(view: Any, dtype: torch.dtype, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    storage = torch.frombuffer(view, dtype=torch.uint8).untyped_storage()
    return torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)


def _as_bytes(view: memoryview) -> Tensor:
    """Bytes as a tensor that shares the memory; PyTorch needs a copy of read-only memory."""
    content = np.frombuffer(view, np.uint8)
    return torch.from_numpy(content if content.flags.writeable else content.copy())
