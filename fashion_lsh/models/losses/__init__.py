"""Hash losses, one file each.

`activate` maps outputs of the hash layer to activations. `head_input` maps activations to the input of the category
head. A bit is 1 where its activation exceeds `threshold`. A user's own loss is a subclass of HashLoss in any module.
"""

from fashion_lsh.io.targets import Spec, create
from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.csq import CSQLoss
from fashion_lsh.models.losses.greedyhash import GreedyHashLoss
from fashion_lsh.models.losses.orthohash import OrthoHashLoss
from fashion_lsh.models.losses.softmax import SoftmaxLoss
from fashion_lsh.models.losses.ssdh import SSDHLoss

LOSSES: dict[str, type[HashLoss]] = {
    "softmax": SoftmaxLoss, "ssdh": SSDHLoss, "greedyhash": GreedyHashLoss, "csq": CSQLoss, "orthohash": OrthoHashLoss,
}  # fmt: skip


def create_loss(spec: Spec, bits: int, num_categories: int, label_smoothing: float) -> HashLoss:
    """Build a hash loss.

    Args:
        spec: one of LOSSES, `module.Class` of a subclass of HashLoss, or a mapping of `_target_` and further arguments.
        bits, num_categories, label_smoothing: see HashLoss.

    Raises:
        ComponentError: the name is unknown, or the class is not a HashLoss.
        ValueError: too few bits for the categories.
    """
    loss: HashLoss = create(
        spec, HashLoss, LOSSES, "hash.loss", bits=bits, num_categories=num_categories, label_smoothing=label_smoothing
    )
    return loss
