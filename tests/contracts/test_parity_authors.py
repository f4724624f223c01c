"""Promise: the authors' encoders compute the same loss, with the same weights, images and mask.

The expected numbers come from the authors' own code: microsoft/SimMIM (``VisionTransformerForSimMIM``) and
microsoft/Swin-Transformer (``SwinTransformerV2ForSimMIM`` with its ``norm_targets``), on a CPU, with timm 1.0.31. Each
of their parameters was given the values of the one here that has its place. Names there: ``encoder`` for ``backbone``,
``blocks`` for ``layers``, ``proj`` for ``projection``, ``mlp.fc1`` and ``mlp.fc2`` for ``ffn.layers``, ``norm1`` for
``ln1``, ``attn`` for ``attn.w_msa``, and the end of stage i for the beginning of stage i + 1. The only values in
another order are those of patch merging, where the four cells stand before the channels and go column by column.
"""

import numpy as np
import pytest
import torch

VIT = dict(
    backbone=dict(
        type='mmpretrain.BEiTViT',
        arch=dict(embed_dims=48, num_layers=3, num_heads=4, feedforward_channels=192),
        img_size=64,
        patch_size=16,
        out_type='featmap',
        use_abs_pos_emb=False,
        use_rel_pos_bias=False,
        use_shared_rel_pos_bias=True,
        layer_scale_init_value=0.1,
        final_norm=True,
    ),
    img_size=64,
)
SWIN_V2 = dict(
    backbone=dict(
        type='mmpretrain.SwinTransformerV2',
        arch=dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], extra_norm_every_n_blocks=0),
        img_size=128,
        window_size=[8, 8, 8, 4],
    ),
    head=dict(type='ReconstructionHead', target=dict(type='PixelTarget', norm='window', norm_size=47)),
    img_size=128,
)
MASKS = {64: [[[1, 0], [1, 1]], [[0, 1], [0, 0]]], 128: [np.eye(4), 1 - np.eye(4)]}


def draw_weights(model) -> None:
    """Norms around 1, all else around 0; by name in alphabetical order, from NumPy's frozen generator."""
    random = np.random.RandomState(7)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.from_numpy(random.standard_normal(tuple(parameter.shape))).float()
            is_norm = name.endswith('weight') and ('norm' in name or '.ln' in name)
            parameter.copy_(1 + 0.1 * values if is_norm else 0.05 * values)


def draw_inputs(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images, and masks of 32 px cells."""
    images = np.random.RandomState(11).standard_normal((2, 3, side, side))
    return torch.from_numpy(images).float(), torch.tensor(np.array(MASKS[side])).bool()


@pytest.mark.parametrize(
    ('config', 'loss', 'token_gradient'),
    [(VIT, 0.8422481417655945, 0.0882146954536438), (SWIN_V2, 0.9136013984680176, 0.0035127196460962296)],
    ids=['ViT', 'Swin V2'],
)
def test_the_loss_is_that_of_the_authors_code(build_model, config, loss, token_gradient):
    """To 1e-5, and the norm of the mask token's gradient too, to which every block contributes."""
    model = build_model(**config).eval()
    draw_weights(model)
    images, mask = draw_inputs(config['img_size'])
    ours = model.loss(images, mask)['loss']
    (gradient,) = torch.autograd.grad(ours, model.masker.mask_token)
    assert ours.item() == pytest.approx(loss, abs=1e-5)
    assert gradient.norm().item() == pytest.approx(token_gradient, rel=1e-4)
