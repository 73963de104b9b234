"""Losses of the hash head, one file each.

Outputs of the hash layer become activations (`activate`), the category head reads these (`head_input`), and a bit is 1
where an activation exceeds `threshold`. A new loss is a HashLoss in LOSSES, a file in conf/hash and a row in the tests.
"""

from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.csq import CSQ
from fashion_lsh.models.losses.greedyhash import GreedyHash
from fashion_lsh.models.losses.orthohash import OrthoHash
from fashion_lsh.models.losses.softmax import Softmax
from fashion_lsh.models.losses.ssdh import SSDH

LOSSES: dict[str, type[HashLoss]] = {
    "softmax": Softmax, "ssdh": SSDH, "greedyhash": GreedyHash, "csq": CSQ, "orthohash": OrthoHash,
}  # fmt: skip
