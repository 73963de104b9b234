"""Hash stages that `experiment=item_codes` compares, by name: `_target_` and arguments."""

from typing import Any

_HASH_HEAD: dict[str, Any] = {
    "_target_": "fashion_lsh.training.hash_head.HashHead", "frozen": True, "epochs": 5, "lr_factor": 1.0,
    "head_factor": 2.0, "embedding_dim": None,
}  # fmt: skip
_ITEM_CONTRAST: dict[str, Any] = {
    "_target_": "fashion_lsh.training.item_contrast.ItemContrast", "lr_factor": 2.0, "embedding": "pca",
    "embedding_dim": None,
}  # fmt: skip
_ITEM_LDA: dict[str, Any] = {
    "_target_": "fashion_lsh.models.item_codes.ItemLDA", "embedding": "pca", "embedding_dim": None,
}  # fmt: skip
ITEM_LDA_EMBEDDING = _ITEM_LDA | {"levels": True, "embedding": "item_lda", "embedding_dim": 64}


def _baseline(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"fashion_lsh.models.baselines.{name}", "embedding_dim": None, **arguments}


METHODS: dict[str, dict[str, Any]] = {
    "lsh": _baseline("LSH"),
    "pca": _baseline("PCA"),
    "itq": _baseline("ITQ"),
    "itq, levels": _baseline("ITQ", levels=True),
    "softmax": _HASH_HEAD,
    "softmax, items": _HASH_HEAD | {"item_weight": 0.5},
    "ssdh": _HASH_HEAD | {"loss": "ssdh"},
    "greedyhash": _HASH_HEAD | {"loss": "greedyhash"},
    "csq": _HASH_HEAD | {"loss": "csq"},
    "orthohash": _HASH_HEAD | {"loss": "orthohash"},
    "bihalf": _HASH_HEAD | {"bihalf": True},
    "item_lda, last features": _ITEM_LDA,
    "item_lda": _ITEM_LDA | {"levels": True},
    "item_contrast, last features": _ITEM_CONTRAST,
    "item_contrast, linear": _ITEM_CONTRAST | {"levels": True, "projection": "linear"},
    "item_contrast": _ITEM_CONTRAST | {"levels": True},
    "item_contrast, all negatives": _ITEM_CONTRAST | {"levels": True, "negatives": "all"},
    "item_contrast, nested": _ITEM_CONTRAST | {"levels": True, "prefixes": "shorter"},
    "MultiSimilarityLoss": _ITEM_CONTRAST | {"levels": True, "item_loss": {"name": "MultiSimilarityLoss"}},
}
MAIN = ("lsh", "pca", "itq", "softmax", "softmax, items", "item_lda", "item_contrast", "item_contrast, nested")
