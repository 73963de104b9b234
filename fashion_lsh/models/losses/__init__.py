"""Hash losses, one file each.

`activate` maps outputs of the hash layer to activations. `head_input` maps activations to the input of the category
head. A bit is 1 where its activation exceeds `threshold`. To add a loss, add a subclass of HashLoss to LOSSES, a config
file to conf/hash and the formula to the tests.
"""

from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.csq import CSQLoss
from fashion_lsh.models.losses.greedyhash import GreedyHashLoss
from fashion_lsh.models.losses.orthohash import OrthoHashLoss
from fashion_lsh.models.losses.softmax import SoftmaxLoss
from fashion_lsh.models.losses.ssdh import SSDHLoss

LOSSES: dict[str, type[HashLoss]] = {
    "softmax": SoftmaxLoss, "ssdh": SSDHLoss, "greedyhash": GreedyHashLoss, "csq": CSQLoss, "orthohash": OrthoHashLoss,
}  # fmt: skip
