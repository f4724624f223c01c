"""Weight initialisation that the host does not have."""

import math

import pytest
import torch
from mmengine.registry import WEIGHT_INITIALIZERS

VIT = dict(type='mmpretrain.VisionTransformer', img_size=64, patch_size=16, out_type='featmap')
BEIT = dict(
    type='mmpretrain.BEiTViT',
    img_size=64,
    patch_size=16,
    out_type='featmap',
    use_rel_pos_bias=False,
    use_shared_rel_pos_bias=True,
    final_norm=True,
)
ARCH = dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512)
# Of a normal distribution cut off at one standard deviation to both sides: sqrt(1 - 2 phi(1) / (2 Phi(1) - 1)).
CUT = math.sqrt(1 - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(0.5)))


@pytest.mark.parametrize('backbone', [VIT, BEIT], ids=['ViT', 'BEiT'])
def test_weights_of_a_vit_are_those_of_the_formula(build_model, backbone):
    """Deviation 0.02 * 0.54 within 0.02, divided by sqrt(2 k) in the last projections of layer k; biases 0, norms 1."""
    model = build_model(backbone=dict(arch=ARCH, init_cfg=dict(type='simmim_mm.DepthScaledInit'), **backbone))
    encoder = model.backbone
    for depth, layer in enumerate(encoder.layers, start=1):
        scaled = math.sqrt(2 * depth)
        hidden, projection = layer.ffn.layers[0][0], layer.ffn.layers[1]
        for linear, factor in ((layer.attn.qkv, 1), (hidden, 1), (layer.attn.proj, scaled), (projection, scaled)):
            assert linear.weight.std().item() == pytest.approx(0.02 * CUT / factor, rel=0.03)
            assert 0.99 * 0.02 / factor < linear.weight.abs().max() <= 0.02 / factor * (1 + 1e-6)
            assert linear.bias is None or (linear.bias == 0).all()
        assert (layer.ln1.weight == 1).all()
    assert encoder.patch_embed.projection.weight.std().item() == pytest.approx(0.02 * CUT, rel=0.03)
    assert (encoder.patch_embed.projection.bias == 0).all()
    assert encoder.cls_token.std().item() == pytest.approx(0.02 * CUT, rel=0.2)
    if backbone is BEIT:
        assert (encoder.layers[0].gamma_1 == 0.1).all()
        assert (encoder.rel_pos_bias.relative_position_bias_table == 0).all()
    else:
        assert encoder.pos_embed.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize('std', [0, -0.02, float('nan'), float('inf'), '0.02', None, True])
def test_wrong_deviations_are_refused(std):
    with pytest.raises(ValueError, match='must be a number above 0') as error:
        WEIGHT_INITIALIZERS.build(dict(type='simmim_mm.DepthScaledInit', std=std))
    assert f'std={std!r}' in str(error.value)


@pytest.mark.parametrize(
    'module', [torch.nn.Linear(2, 2), torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(4, 2), 1)]
)
def test_what_is_no_vit_of_the_host_is_refused(module):
    with pytest.raises(ValueError, match='is no ViT of mmpretrain; remove DepthScaledInit'):
        WEIGHT_INITIALIZERS.build(dict(type='simmim_mm.DepthScaledInit'))(module)
