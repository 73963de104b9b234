"""Stage two: which category a crop shows."""

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.data.dataset import Batch
from fashion_lsh.models.crop_model import Answer, CropStage
from fashion_lsh.training.optimizers import Optim, Share


class Classifier(CropStage):
    """Backbone and softmax.  Its answers carry no activations: it is also the model of `hash=none`.

    Args:
        backbone: one of BACKBONES.
        categories: names of the categories, in the order of the labels.
        image_size, margin: the crops it sees (see CropStage).
        frozen: the backbone stays as it starts (see CropStage).
        epochs: passes over the training pictures.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`.
        head_factor: learning rate of the head, as a multiple of the backbone's.
        label_smoothing: mass of each label that is spread over all categories.
        optim: see Optim.
        seed: what dropout is drawn by.
    """

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        image_size: PositiveInt,
        margin: NonNegativeFloat,
        frozen: bool,
        epochs: PositiveInt,
        lr_factor: PositiveFloat,
        head_factor: PositiveFloat,
        label_smoothing: Share,
        optim: Optim,
        seed: int,
    ) -> None:
        super().__init__("classifier", backbone, categories, image_size, margin, frozen)
        self.save_hyperparameters()
        self.head = nn.Linear(self.backbone.feature_dim, len(categories))

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def loss_of(self, answer: Answer, batch: Batch) -> Tensor:
        """Cross-entropy of the category head, with label smoothing."""
        return functional.cross_entropy(answer.logits, batch.labels, label_smoothing=self.hparams["label_smoothing"])

    def answer(self, features: Tensor) -> tuple[Tensor, None]:
        return self.head(features), None
