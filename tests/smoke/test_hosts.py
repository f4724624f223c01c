"""A pre-training checkpoint in real detectors, segmenters and classifiers, as the README says to load it."""

from __future__ import annotations

import warnings

import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

WIDTHS = [16, 32, 64, 128]


def switch_scope(scope: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        init_default_scope(scope)


def mask_rcnn(backbone: dict) -> nn.Module:
    """mmdet's Mask R-CNN, from its own config; needs the operators ``nms`` and ``RoIAlign``."""
    cfg = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    cfg.model.backbone, cfg.model.neck.in_channels = backbone, WIDTHS
    return MODELS.build(cfg.model)


def mask_rcnn_loss(model: nn.Module, image: Tensor) -> dict:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    bitmap = torch.zeros(1, 64, 64, dtype=torch.uint8)
    bitmap[0, 8:48, 8:40] = 1
    sample = DetDataSample(metainfo=dict(img_shape=(64, 64), pad_shape=(64, 64), batch_input_shape=(64, 64)))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8.0, 40.0, 48.0]]),
        labels=torch.tensor([1]),
        masks=BitmapMasks(bitmap.numpy(), 64, 64),
    )
    return model.loss(image, [sample])


def segmenter(backbone: dict) -> nn.Module:
    """mmseg's encoder-decoder with UPerNet's head."""
    head = dict(
        type='UPerHead',
        in_channels=WIDTHS,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2),
        channels=8,
        num_classes=5,
        norm_cfg=dict(type='GN', num_groups=2),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    )
    cfg = dict(type='EncoderDecoder', backbone=backbone, decode_head=head, test_cfg=dict(mode='whole'))
    return MODELS.build(cfg)


def segmenter_loss(model: nn.Module, image: Tensor) -> dict:
    from mmseg.structures import SegDataSample

    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 64, 64))))
    return model.loss(image, [sample])


def classifier(backbone: dict) -> nn.Module:
    """mmpretrain's image classifier."""
    cfg = dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=WIDTHS[-1]),
    )
    return MODELS.build(cfg)


def classifier_loss(model: nn.Module, image: Tensor) -> dict:
    from mmpretrain.structures import DataSample

    return model.loss(image, [DataSample().set_gt_label(3)])


@pytest.mark.parametrize(
    ('scope', 'build', 'loss_of', 'maps'),
    [
        ('mmdet', mask_rcnn, mask_rcnn_loss, (0, 1, 2, 3)),
        ('mmseg', segmenter, segmenter_loss, (0, 1, 2, 3)),
        ('mmpretrain', classifier, classifier_loss, (3,)),
    ],
)
def test_the_encoder_arrives_and_trains(build_model, tiny_swin, tmp_path, scope, build, loss_of, maps):
    pretrained = build_model().eval()
    checkpoint = str(tmp_path / 'epoch_1.pth')
    torch.save({'state_dict': pretrained.state_dict()}, checkpoint)
    image = torch.randn(1, 3, 64, 64)

    switch_scope(scope)
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    model = build(tiny_swin(out_indices=maps, init_cfg=init_cfg))
    model.init_weights()
    model.eval()
    with torch.no_grad():
        assert torch.equal(model.backbone(image)[-1], pretrained.backbone(image)[-1])

    model.train()
    losses = loss_of(model, image)
    total = sum(value if torch.is_tensor(value) else sum(value) for name, value in losses.items() if 'loss' in name)
    total.backward()
    assert torch.isfinite(total)
    assert model.backbone.patch_embed.projection.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmpretrain'])
def test_other_packages_find_our_classes_by_full_name(scope):
    switch_scope(scope)
    assert type(MODELS.build(dict(type='simmim_mm.L1Loss'))).__module__ == 'simmim_mm.models.losses.regression'
    with pytest.raises(KeyError, match='PixelTarget is not in the'):
        MODELS.build(dict(type='PixelTarget'))
