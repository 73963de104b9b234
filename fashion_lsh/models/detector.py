"""Faster R-CNN on a feature pyramid."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from fashion_lsh.data.detection_data import resize
from fashion_lsh.data.detections import Boxes
from fashion_lsh.models.box_fusion import fused, mirrored
from fashion_lsh.models.feature_pyramid import Pyramid

AT_ONCE = 8  # pictures a forward
LEAST_SCORE = 0.01  # of a box that is told of: average precision counts the unsure ones, too
POOLED = 7  # pixels a side of what the box head sees of a proposal


class Plain(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision carries no types
    """Normalises and pads; sizes stay, since pictures come shrunk (see `resize`), smoothly and once."""

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        return image, target


class DetectorModel(nn.Module):
    """Faster R-CNN on a feature pyramid.

    (S. Ren, K. He, R. Girshick, J. Sun: Faster R-CNN, NeurIPS 2015; the pyramid: T.-Y. Lin et al., CVPR 2017.)

    Args:
        backbone: one of TRUNKS.
        classes: names of the classes, in the order of the labels.
        weights: initial weights of the backbone, which the caller loads (see `start`); with weights, its batch norms
            keep statistics and weights.
        frozen: levels of the backbone, the finest first, whose layers keep their weights.
        image_size: longer side in pixels to which images are resized.
        channels: width of the pyramid.
        head: width of the two layers of the box head.
        anchors: sides in pixels of the square anchors, one for each level of the pyramid.
        ratios: height over width of the anchors; the area stays.
        proposals: kept by the region proposal network, of each level before and of all after non-maximum suppression.
        sampled: proposals of an image that the box head is trained on.
        most: boxes of an image at most.
        mirrored: detect in the mirrored image, too, and fuse both (see `fused`): better boxes, in twice the time.

    Attributes:
        facts: metrics of its fit on `val`; always empty, since boxes are scored later.

    Raises:
        ValueError: an unknown backbone, another number of anchors than levels, more frozen levels than there are, or
            some without weights.
    """

    name = "detector"
    facts: Mapping[str, float] = MappingProxyType({})

    def __init__(
        self,
        backbone: str,
        classes: list[str],
        weights: str | None,
        frozen: int,
        image_size: int,
        channels: int,
        head: int,
        anchors: Sequence[float],
        ratios: Sequence[float],
        proposals: Sequence[int],
        sampled: int,
        most: int,
        mirrored: bool,
    ) -> None:
        super().__init__()
        self.classes, self.image_size, self.most, self.mirrored = list(classes), image_size, most, mirrored
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
    def device(self) -> torch.device:
        """The device of its weights."""
        return next(self.parameters()).device

    @property
    def pyramid(self) -> Pyramid:
        """The backbone and its feature maps."""
        return self.network.backbone

    def train(self, mode: bool = True) -> Self:
        """Set training mode; batch norms of a backbone with weights stay in evaluation mode."""
        super().train(mode)
        if self.fixed_norms:
            for module in self.pyramid.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval().requires_grad_(False)
        return self

    def start(self, weights: str | None) -> str:
        """Load the backbone's weights (see `load_weights`) and name their source."""
        return f"{self.pyramid.load(weights)} ({self.pyramid.trunk})"

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

    @torch.inference_mode()
    def detect(self, pictures: Sequence[np.ndarray]) -> list[Boxes]:
        """The boxes in pictures, (H, W, 3) uint8 each, in their own pixels, the best first; some at a time."""
        self.eval()
        found = self._in_turn(pictures)
        if not self.mirrored:
            return found
        mirrors = self._in_turn([picture[:, ::-1] for picture in pictures])
        turned = [mirrored(boxes, picture.shape[1]) for boxes, picture in zip(mirrors, pictures, strict=True)]
        return [fused(both).top(self.most) for both in zip(found, turned, strict=True)]

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
