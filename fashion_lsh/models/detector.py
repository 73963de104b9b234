"""Stage one: a picture to the boxes of the garments in it."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from fashion_lsh.data.detection_data import Level, SceneBatch, resize
from fashion_lsh.data.detections import Boxes
from fashion_lsh.models.box_fusion import fused, mirrored
from fashion_lsh.models.feature_pyramid import Pyramid
from fashion_lsh.training.module import Stage
from fashion_lsh.training.optimizers import Optim

AT_ONCE = 8  # pictures a forward
LEAST_SCORE = 0.01  # of a box that is told of: average precision counts the unsure ones, too
POOLED = 7  # pixels a side of what the box head sees of a proposal


class Plain(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision carries no types
    """Normalises and pads; sizes stay, since pictures come shrunk (see `resize`), smoothly and once."""

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        return image, target


class Detector(Stage):
    """Faster R-CNN on a feature pyramid.

    (S. Ren, K. He, R. Girshick, J. Sun: Faster R-CNN, NeurIPS 2015; the pyramid: T.-Y. Lin et al., CVPR 2017.)

    Args:
        backbone: one of TRUNKS.
        classes: what it tells apart, in the order of the labels.
        weights: that its trunk starts from, which the caller fills in (see `start`); where there are some, its batch
            norms keep statistics and weights.
        level: what these are: `garment` (one class: the classifier names it), `supercategory` or `category`.
        frozen: levels of the trunk, the finest first, whose layers keep their weights.
        image_size: longer side in pixels to which pictures are brought.
        channels: width of the pyramid.
        head: width of the two layers that judge a proposal.
        anchors: sides in pixels of the square anchors, one for each level of the pyramid.
        ratios: height over width of the anchors; the area stays.
        proposals: kept by the first stage, of each level before and of all after non-maximum suppression.
        sampled: proposals of a picture that the second stage learns from.
        most: boxes found in a picture at most.
        mirrored: look at the mirror of each picture, too, and take the mean of both (see `fused`): better boxes, in
            twice the time.
        epochs: passes over the training pictures.
        lr_factor: learning rate of the trunk, as a multiple of `optim.lr`.
        average: decay a step of the averaged weights that answer; 0: the last ones answer.
        optim: see Optim.
        seed: what the sampling of proposals is drawn by.

    Raises:
        ValueError: an unknown backbone, another number of anchors than levels, more frozen levels than there are, or
            some and no weights.
    """

    name = "detector"  # without a monitor: the averaged weights of the last epoch answer, since scoring boxes is slow

    def __init__(
        self,
        backbone: str,
        classes: list[str],
        weights: str | None,
        level: Level,
        frozen: NonNegativeInt,
        image_size: PositiveInt,
        channels: PositiveInt,
        head: PositiveInt,
        anchors: list[PositiveFloat],
        ratios: Annotated[list[PositiveFloat], Field(min_length=1)],
        proposals: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)],
        sampled: PositiveInt,
        most: PositiveInt,
        mirrored: bool,
        epochs: PositiveInt,
        lr_factor: PositiveFloat,
        average: Annotated[float, Field(ge=0, lt=1)],
        optim: Optim,
        seed: NonNegativeInt,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.classes, self.image_size = list(classes), image_size
        self.fixed_norms = weights is not None
        if frozen and weights is None:
            raise ValueError(f"detector.frozen={frozen} would keep random weights: give detector.weights")
        pyramid = Pyramid(backbone, channels, frozen)
        if len(anchors) != pyramid.levels + 1:
            raise ValueError(f"detector.anchors={anchors}: give {pyramid.levels + 1} sizes, one for each level")
        before, after = proposals
        self.network = FasterRCNN(
            pyramid,
            rpn_anchor_generator=AnchorGenerator(tuple((size,) for size in anchors), (tuple(ratios),) * len(anchors)),
            rpn_pre_nms_top_n_train=before, rpn_pre_nms_top_n_test=before,
            rpn_post_nms_top_n_train=after, rpn_post_nms_top_n_test=after,
            box_roi_pool=MultiScaleRoIAlign([str(number) for number in range(pyramid.levels)], POOLED, 2),
            box_head=TwoMLPHead(channels * POOLED**2, head),
            box_predictor=FastRCNNPredictor(head, len(classes) + 1),  # 0 is the background
            box_batch_size_per_image=sampled, box_detections_per_img=most,
            box_score_thresh=LEAST_SCORE,
        )  # fmt: skip
        self.network.transform = Plain(1, 1, list(pyramid.mean), list(pyramid.std))
        self.train()

    @property
    def pyramid(self) -> Pyramid:
        """The trunk and its maps."""
        return self.network.backbone

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.fixed_norms:
            for module in self.pyramid.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval().requires_grad_(False)
        return self

    def start(self, weights: str | None) -> str:
        return f"{self.pyramid.load(weights)} ({self.pyramid.trunk})"

    def callbacks(self) -> list[Callback]:
        """Averages the weights while they are learnt."""
        return [EMAWeightAveraging(decay=self.hparams["average"])] if self.hparams["average"] else []

    def training_step(self, batch: SceneBatch) -> Tensor:
        targets = [
            {"boxes": boxes, "labels": labels + 1} for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
        ]
        losses = self.losses([image.float() / 255 for image in batch.images], targets)
        total = torch.stack(list(losses.values())).sum()
        log: dict[str, Any] = {"batch_size": len(batch.images)}
        self.log(f"{self.name}/train/loss", total, prog_bar=True, **log)
        self.log_dict({f"{self.name}/train/{name}": value for name, value in losses.items()}, **log)
        return total

    def losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """What the network's two stages learn from, by name.

        Only the pyramid runs in mixed precision: anchors, proposals and true boxes are of the type of its maps, and
        bfloat16 rounds pixels from 257 on.

        Args:
            images: (3, H, W) float32 in 0..1 each.
            targets: of each image, `boxes` (m, 4) float32 xyxy in pixels and `labels` (m,) int64, 0 the background.
        """
        network = self.network
        shown, aimed = network.transform(images, targets)
        maps = self.pyramid(shown.tensors)
        with torch.autocast(self.device.type, enabled=False):
            whole = OrderedDict((name, each.float()) for name, each in maps.items())
            proposals, first = network.rpn(shown, whole, aimed)
            _, second = network.roi_heads(whole, proposals, shown.image_sizes, aimed)
        return {**second, **first}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        lr = self.hparams["optim"]["lr"]
        trunk = self.pyramid.body.parameters()
        others = [p for name, p in self.network.named_parameters() if not name.startswith("backbone.body.")]
        return self.optimizing([(trunk, lr * self.hparams["lr_factor"]), (others, lr)])

    @torch.inference_mode()
    def find(self, pictures: Sequence[np.ndarray]) -> list[Boxes]:
        """The boxes in pictures, (H, W, 3) uint8 each, in their own pixels, the best first; some at a time."""
        self.eval()
        found = self._in_turn(pictures)
        if not self.hparams["mirrored"]:
            return found
        mirrors = self._in_turn([picture[:, ::-1] for picture in pictures])
        turned = [mirrored(boxes, picture.shape[1]) for boxes, picture in zip(mirrors, pictures, strict=True)]
        return [fused(both).first(self.hparams["most"]) for both in zip(found, turned, strict=True)]

    def _in_turn(self, pictures: Sequence[np.ndarray]) -> list[Boxes]:
        parts = [self._find(pictures[start : start + AT_ONCE]) for start in range(0, len(pictures), AT_ONCE)]
        return [boxes for part in parts for boxes in part]

    def _find(self, pictures: Sequence[np.ndarray]) -> list[Boxes]:
        resized = [resize(picture, self.image_size) for picture in pictures]
        images = [
            torch.from_numpy(image.transpose(2, 0, 1).copy()).to(self.device).float() / 255 for image, _ in resized
        ]
        return [
            Boxes(
                (answer["boxes"].float().cpu().numpy() / scale).astype(np.float32),
                answer["scores"].float().cpu().numpy(),
                answer["labels"].cpu().numpy() - 1,
            )
            for answer, (_, scale) in zip(self.network(images), resized, strict=True)
        ]
