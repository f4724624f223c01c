"""mmpretrain's own SimMIM, as its config has it."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import Tensor

from simmim_mm.benchmark.candidates import LEARNING_RATE, Candidate, Setup, to_training
from simmim_mm.benchmark.peers.plain_pixels import check_plain_pixels
from simmim_mm.masking import expand
from simmim_mm.registry import MODELS

CONFIG = 'mmpretrain::simmim/simmim_swin-base-w6_8xb256-amp-coslr-100e_in1k-192px.py'
# Settings of a Swin that its subclass takes, too.
TAKEN = ('arch', 'img_size', 'in_channels', 'use_abs_pos_embed', 'norm_cfg', 'patch_cfg', 'pad_small_map', 'stage_cfgs')


class MMPretrainCandidate(Candidate):
    """``mmpretrain.SimMIM`` with encoder, decoder, head, optimiser and precision of mmpretrain's config.

    What is its own: drop path 0.1, a group of the optimiser for each parameter, AMP in fp16 with a scaler on CUDA and
    none on CPUs, which its ``AmpOptimWrapper`` refuses, and one mask tensor for each image.

    Raises:
        ValueError: If our config has another encoder than Swin, or more than pixels and L1.
    """

    name = 'mmpretrain'

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        if setup.family != 'SwinTransformer':
            raise ValueError(f'mmpretrain has SimMIM for Swin alone, and this is {setup.family}; use --against plain')
        check_plain_pixels(setup, 'mmpretrain')
        cfg = get_config(CONFIG)
        own = setup.cfg.model.backbone
        cfg.model.backbone.update({key: own[key] for key in TAKEN if key in own})
        cfg.model.backbone.img_size = setup.reference.image_hw
        if 'window_size' in own:
            cfg.model.backbone.stage_cfgs = dict(block_cfgs=dict(window_size=own.window_size))
        cfg.model.neck.update(in_channels=setup.reference.layout.width, encoder_stride=setup.reference.layout.stride)
        preprocessor = setup.reference.data_preprocessor
        cfg.model.data_preprocessor = dict(
            cfg.data_preprocessor, mean=preprocessor.mean.flatten().tolist(), std=preprocessor.std.flatten().tolist()
        )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build({**cfg.model, 'type': 'mmpretrain.SimMIM'})
        weights = {
            'backbone.mask_token' if key == 'masker.mask_token' else key: value
            for key, value in setup.reference.state_dict().items()
        }
        model.load_state_dict(weights, strict=True)
        self.model = to_training(model, setup)
        self.optim_wrapper, self.precision = self._optimizer(cfg.optim_wrapper)
        rate = max(getattr(module, 'drop_prob', None) or 0.0 for module in model.backbone.modules())
        self.about = f'{self.precision}, {type(self.optim_wrapper).__name__}, drop path {rate:.1g}'
        self._make_data()

    def _optimizer(self, cfg: Any) -> tuple[Any, str]:
        plan = self.setup.plan
        precision = plan.precision or ('fp16' if plan.device == 'cuda' else 'fp32')
        cfg.optimizer.lr = LEARNING_RATE
        if precision == 'fp32':
            cfg.type = 'OptimWrapper'
        elif plan.device != 'cuda':  # on CPUs, the host has no autocast
            cfg.update(type='simmim_mm.PrecisionOptimWrapper', precision=precision)
        elif plan.precision is not None:
            cfg.dtype = {'bf16': 'bfloat16', 'fp16': 'float16'}[precision]
        return build_optim_wrapper(self.model, cfg), precision

    def _make_data(self) -> None:
        """A batch as mmpretrain's loader collates it: BGR images, and a sample for each mask of stem cells."""
        from mmpretrain.structures import DataSample

        images, mask = self.setup.batch
        grid_hw = (images.shape[-2] // 4, images.shape[-1] // 4)
        self._samples = [DataSample() for _ in mask]
        for sample, one in zip(self._samples, expand(mask, grid_hw).to(torch.int64), strict=True):
            sample.set_field(one.clone(), 'mask')
        self._images = images.flip(1).contiguous()

    def loss(self) -> Tensor:
        """See the base class."""
        data = self.model.data_preprocessor({'inputs': self._images, 'data_samples': self._samples}, True)  # type: ignore
        return self.model(**data, mode='loss')['loss']

    def step(self) -> None:
        """MMEngine's training step, from uint8 images on the host."""
        self.model.train_step({'inputs': self._images, 'data_samples': self._samples}, self.optim_wrapper)  # type: ignore

    def our_names(self, values: Any) -> dict[str, Tensor]:
        """See the base class."""
        return {'masker.mask_token' if key == 'backbone.mask_token' else key: value for key, value in values.items()}
