"""Faster R-CNN with a feature pyramid network."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from fashion_lsh.data.detections import Boxes
from fashion_lsh.data.images import resize
from fashion_lsh.io.targets import Spec
from fashion_lsh.models.box_fusion import flip_boxes, fuse_boxes
from fashion_lsh.models.feature_pyramid import FeaturePyramid

BATCH_SIZE = 8  # number of images per forward pass
MIN_SCORE = 0.01  # minimum score of a detection; low, since average precision includes detections of low score
ROI_SIZE = 7  # side of the RoIAlign output, the input of the box head


class NoResizeTransform(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision is untyped
    """Normalise and pad without resizing: `detection_data.resize` has resized the images with antialiasing before."""

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        return image, target


class DetectorModel(nn.Module):
    """Faster R-CNN with a feature pyramid network.

    S. Ren, K. He, R. Girshick, J. Sun: Faster R-CNN, NeurIPS 2015; feature pyramid: T.-Y. Lin et al., CVPR 2017.

    Args:
        backbone: see `create_backbone`; its network must have feature maps of several sizes.
        classes: names of the classes, in the order of the labels.
        weights: initial weights of the backbone, loaded by the caller (see `load_weights`); None for random weights.
            With weights, the statistics and parameters of the batch norms in the backbone are frozen.
        frozen: number of frozen levels of the backbone, the finest first (not a flag as in CropModel).
        image_size: longer side in pixels to which images are resized.
        channels: channels of the pyramid.
        head: width of the two fully connected layers of the box head.
        anchors: sides in pixels of the square anchors, one per level of the pyramid.
        ratios: aspect ratios (height / width) of the anchors of each level, which have equal areas.
        proposals: two numbers of proposals: per level before non-maximum suppression, and in total after it.
        roi_batch_size: number of proposals per image that are sampled to train the box head.
        max_detections: maximum number of detections per image.
        flip_tta: also detect in the mirrored image, and fuse the boxes of both (see `fuse_boxes`): higher box AP in
            twice the time.
        levels: number of levels of the backbone, the coarsest feature maps (strides 4 to 32 if there are 4).

    Attributes:
        fit_metrics: metrics recorded while fitting, by stage; the detector has none, since detections are scored after
            training.

    Raises:
        ValueError: the backbone is unknown or has too few levels, the number of anchors differs from the number of
            levels, `frozen` exceeds the number of levels, or `frozen` is above 0 without weights.
    """

    name = "detector"
    fit_metrics: Mapping[str, Mapping[str, float]] = MappingProxyType({})

    def __init__(
        self,
        backbone: Spec,
        classes: list[str],
        weights: str | None = None,
        frozen: NonNegativeInt = 0,
        image_size: PositiveInt = 256,
        channels: PositiveInt = 128,
        head: PositiveInt = 512,
        anchors: Annotated[Sequence[PositiveFloat], Field(min_length=1)] = (16.0, 32.0, 64.0, 128.0, 256.0),
        ratios: Annotated[Sequence[PositiveFloat], Field(min_length=1)] = (0.5, 1.0, 2.0),
        proposals: Annotated[Sequence[PositiveInt], Field(min_length=2, max_length=2)] = (300, 100),
        roi_batch_size: PositiveInt = 64,
        max_detections: PositiveInt = 50,
        flip_tta: bool = False,
        levels: PositiveInt = 4,
    ) -> None:
        super().__init__()
        self.classes, self.image_size, self.max_detections, self.flip_tta = (
            list(classes),
            image_size,
            max_detections,
            flip_tta,
        )
        self.freeze_batch_norm = weights is not None
        if frozen and weights is None:
            raise ValueError(f"detector.frozen={frozen} freezes random weights; set detector.weights")
        if len(anchors) != levels + 1:
            raise ValueError(f"detector.anchors={anchors}: set {levels + 1} sizes, one per level")
        pyramid = FeaturePyramid(backbone, channels, frozen, levels)
        pre_nms, post_nms = proposals
        self.network = FasterRCNN(
            pyramid,
            rpn_anchor_generator=AnchorGenerator(tuple((size,) for size in anchors), (tuple(ratios),) * len(anchors)),
            rpn_pre_nms_top_n_train=pre_nms, rpn_pre_nms_top_n_test=pre_nms,
            rpn_post_nms_top_n_train=post_nms, rpn_post_nms_top_n_test=post_nms,
            box_roi_pool=MultiScaleRoIAlign([str(level) for level in range(levels)], ROI_SIZE, 2),
            box_head=TwoMLPHead(channels * ROI_SIZE**2, head),
            box_predictor=FastRCNNPredictor(head, len(classes) + 1),  # label 0 is the background
            box_batch_size_per_image=roi_batch_size, box_detections_per_img=max_detections,
            box_score_thresh=MIN_SCORE,
        )  # fmt: skip
        self.network.transform = NoResizeTransform(1, 1, pyramid.mean, pyramid.std)
        self.train()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def pyramid(self) -> FeaturePyramid:
        """Backbone and feature pyramid network."""
        return self.network.backbone

    def train(self, mode: bool = True) -> Self:
        """Set training mode; batch norms of a pretrained backbone stay in evaluation mode."""
        super().train(mode)
        if self.freeze_batch_norm:
            for module in self.pyramid.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval().requires_grad_(False)
        return self

    def load_weights(self, weights: str | None) -> str:
        """Load backbone weights as `FeaturePyramid.load_weights` does, and return their source."""
        return f"{self.pyramid.load_weights(weights)} ({self.pyramid.name})"

    def losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Losses of the region proposal network and the box head, scalars by name.

        Only the pyramid runs in mixed precision. Anchors, proposals and target boxes have the dtype of the feature
        maps, and bfloat16 cannot represent all integer coordinates above 256 pixels.

        Args:
            images: images, each (3, H, W) float32 in 0..1.
            targets: one dict per image: `boxes` (m, 4) float32 xyxy in pixels, `labels` (m,) int64, 0 for background.
        """
        network = self.network
        image_list, resized_targets = network.transform(images, targets)
        maps = self.pyramid(image_list.tensors)
        with torch.autocast(self.device.type, enabled=False):
            feature_maps = OrderedDict((name, each.float()) for name, each in maps.items())
            proposals, rpn_losses = network.rpn(image_list, feature_maps, resized_targets)
            _, roi_losses = network.roi_heads(feature_maps, proposals, image_list.image_sizes, resized_targets)
        return {**roi_losses, **rpn_losses}

    @torch.inference_mode()
    def detect(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        """Detect boxes in batches of images.  Images (H, W, 3) uint8 -> Boxes per image in pixels, sorted by score."""
        self.eval()
        detections = self._detect_in_batches(images)
        if not self.flip_tta:
            return detections
        flipped = self._detect_in_batches([image[:, ::-1] for image in images])
        unflipped = [flip_boxes(boxes, image.shape[1]) for boxes, image in zip(flipped, images, strict=True)]
        return [fuse_boxes(views).top(self.max_detections) for views in zip(detections, unflipped, strict=True)]

    def _detect_in_batches(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        batches = [
            self._detect_batch(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE)
        ]
        return [boxes for batch in batches for boxes in batch]

    def _detect_batch(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        resized = [resize(image, self.image_size) for image in images]
        inputs = [
            torch.from_numpy(image.transpose(2, 0, 1).copy()).to(self.device).float() / 255 for image, _ in resized
        ]
        return [
            Boxes(
                (output["boxes"].float().cpu().numpy() / scale).astype(np.float32),
                output["scores"].float().cpu().numpy(),
                output["labels"].cpu().numpy() - 1,
            )
            for output, (_, scale) in zip(self.network(inputs), resized, strict=True)
        ]
