"""Load initial weights into a backbone, and refuse a state dict that does not fit."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fashion_lsh.models.backbones.files import read_state_dict
from fashion_lsh.models.backbones.interface import Backbone

LIBRARY_WEIGHTS = ("imagenet", "pretrained")
NETWORK = "network."  # prefix of the keys of `Backbone.network` in the state dict of a Backbone
NUM_EXAMPLES = 3  # mismatches that an error lists


def load_weights(backbone: Backbone, weights: str | None) -> str:
    """Load the weights of a backbone and return their source.

    A file is a state dict of the network in the format of torchvision, timm or OpenCLIP (`.pth`, `.bin`,
    `.safetensors`), with or without classifier, auxiliary classifiers and text encoder, or a state dict of a Backbone.
    State dicts of libraries contain no normalisation: the backbone keeps its mean and std.

    Args:
        backbone: backbone to load; unchanged if loading fails.
        weights: `imagenet`, `pretrained` (the library's default for this name), the path of a state-dict file, or None
            to keep the random initialisation.

    Returns:
        `scratch`, `imagenet`, `pretrained`, or the name of the file.

    Raises:
        FileNotFoundError: the file is missing, or cannot be downloaded.
        ValueError: the file is not a state dict, or belongs to another network.
    """
    if weights is None:
        return "scratch"
    if weights in LIBRARY_WEIGHTS:
        file, state = backbone.library_weights(weights)
        _load_state_dict(backbone, state, file)
        return weights
    file = Path(weights).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: weights not found; set backbone.weights (for a detector, detector.weights) to a state-dict file, "
            "imagenet, pretrained or null"
        )
    _load_state_dict(backbone, read_state_dict(file), file)
    return file.name


def _load_state_dict(backbone: Backbone, state: Mapping[str, Tensor], file: Path) -> None:
    expected = backbone.state_dict()
    try:
        state = _match_keys(backbone, expected, state)
    except (KeyError, ValueError, RuntimeError, AttributeError, TypeError, IndexError) as error:
        raise ValueError(f"{file}: cannot be converted to {backbone.name} ({error!r}); pass a matching file") from error
    mismatches = _mismatches(expected, state, backbone.name)
    if mismatches:
        examples = ", ".join(text.removeprefix(NETWORK) for text in sorted(mismatches)[:NUM_EXAMPLES])
        raise ValueError(
            f"{file}: not weights of {backbone.name} ({len(mismatches)} mismatches in {len(expected)} tensors: "
            f"{examples}); pass a matching file"
        )
    backbone.load_state_dict(state)


def _mismatches(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str) -> list[str]:
    """Describe each missing and unknown key, and each tensor of another shape."""
    texts = [f"{key} is missing" for key in expected.keys() - state.keys()]
    texts += [f"{key} is not in {name}" for key in state.keys() - expected.keys()]
    texts += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
        for key in expected.keys() & state.keys()
        if state[key].shape != expected[key].shape
    ]
    return texts


def _match_keys(
    backbone: Backbone, expected: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Rename the keys of a library's state dict to the keys of a Backbone; keep the keys of a Backbone."""
    if not {"mean", "std"} <= state.keys():
        network = {name.removeprefix(NETWORK): value for name, value in expected.items() if name.startswith(NETWORK)}
        tower = _strip_prefix(network, state)
        if any(name not in tower or tower[name].shape != value.shape for name, value in network.items()):
            tower = backbone.convert_state(tower)
        tower = {
            name: value
            for name, value in tower.items()
            if name in network or not name.startswith(backbone.ignored_keys)
        }
        state = {f"{NETWORK}{name}": value for name, value in tower.items()}
        state |= {name: value for name, value in expected.items() if not name.startswith(NETWORK)}
    # Files of old PyTorch versions lack the batch counters.
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    return {**counters, **state}


def _strip_prefix(network: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Keep the image encoder of a larger model: the keys with the prefix that fits most keys of the network.

    OpenCLIP stores a network of timm below `visual.trunk.`, beside the text encoder.
    """
    prefixes = Counter(
        name[:start]
        for name in state
        for start in (0, *(position + 1 for position, char in enumerate(name) if char == "."))
        if name[start:] in network
    )
    if not prefixes or prefixes[""] == max(prefixes.values()):
        return state
    [(prefix, _)] = prefixes.most_common(1)
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
