"""Wrong arguments of decoders are refused, with what to change."""

import pytest

from simmim_mm.registry import MODELS

ARCH = dict(embed_dims=8, depths=[1, 2, 2], num_heads=[1, 2, 2])
DECODERS = [
    'CrossAttentionDecoder',
    'DeconvDecoder',
    'LinearDecoder',
    'MLPDecoder',
    'SwinDecoder',
    'TransformerDecoder',
]
TRANSFORMERS = ['CrossAttentionDecoder', 'TransformerDecoder']

SIZES = dict(in_channels=4, out_channels=3, upscale=2)
WRONG_NUMBERS = [0, -1, 2.5, float('nan'), '8', True, None, [1]]


@pytest.mark.parametrize('name', DECODERS)
@pytest.mark.parametrize('argument', sorted(SIZES))
@pytest.mark.parametrize('value', WRONG_NUMBERS, ids=repr)
def test_wrong_sizes_are_refused(name, argument, value):
    """The message names the argument, what was given and the class."""
    with pytest.raises(ValueError, match=rf'^{argument}=.* of {name} must be a whole number from 1'):
        MODELS.get(name)(**{**SIZES, argument: value})


@pytest.mark.parametrize(
    ('name', 'argument'),
    [
        *((name, argument) for name in TRANSFORMERS for argument in ('embed_dims', 'depth', 'num_heads')),
        ('SwinDecoder', 'window_size'),
    ],
)
@pytest.mark.parametrize('value', WRONG_NUMBERS, ids=repr)
def test_wrong_numbers_are_refused(name, argument, value):
    with pytest.raises(ValueError, match=rf'^{argument}=.* of {name} must be a whole number from [12]'):
        MODELS.get(name)(**SIZES, **{argument: value})


@pytest.mark.parametrize(
    ('name', 'kwargs', 'message'),
    [
        ('TransformerDecoder', dict(embed_dims=30), 'embed_dims=30 of TransformerDecoder must be a multiple of 4'),
        ('TransformerDecoder', dict(num_heads=7), 'num_heads=7 of TransformerDecoder does not divide its width, 512'),
        ('CrossAttentionDecoder', dict(mlp_ratio=0), 'mlp_ratio=0 of CrossAttentionDecoder must be a number above 0'),
        ('CrossAttentionDecoder', dict(mlp_ratio='4'), "mlp_ratio='4' of CrossAttentionDecoder must be a number"),
        ('TransformerDecoder', dict(mlp_ratio=float('nan')), 'mlp_ratio=nan of TransformerDecoder must be a number'),
        ('TransformerDecoder', dict(mlp_ratio=float('inf')), 'mlp_ratio=inf of TransformerDecoder must be a number'),
        ('DeconvDecoder', dict(widths=64), 'widths=64 of DeconvDecoder must be a list of whole numbers'),
        ('DeconvDecoder', dict(widths=(64, 0)), r'widths\[1\]=0 of DeconvDecoder must be a whole number'),
        ('DeconvDecoder', dict(widths='64'), "widths='64' of DeconvDecoder must be a list"),
        ('DeconvDecoder', dict(norm_cfg='BN'), "norm_cfg='BN' of DeconvDecoder makes no norm .* use dict"),
        ('DeconvDecoder', dict(norm_cfg=dict(type='XN')), 'makes no norm for maps of 256 channels'),
        ('DeconvDecoder', dict(norm_cfg=dict(type='LN')), 'makes no norm for maps of 256 channels'),
        ('DeconvDecoder', dict(norm_cfg=dict(type='GN', num_groups=7)), 'makes no norm for maps of 256 channels'),
        ('SwinDecoder', dict(arch='giant'), "arch='giant' of SwinDecoder is unknown; use 'tiny', 'small', 'base'"),
        ('SwinDecoder', dict(arch=['tiny']), 'arch=.*tiny.* of SwinDecoder is unknown'),
        ('SwinDecoder', dict(arch=dict(embed_dims=8)), 'or a dict with embed_dims, depths and num_heads'),
        ('SwinDecoder', dict(arch={**ARCH, 'depths': [2, 2]}), 'one depth and one number of heads for each stage'),
        ('SwinDecoder', dict(arch={**ARCH, 'depths': [], 'num_heads': []}), 'one depth and one number of heads'),
        ('SwinDecoder', dict(arch={**ARCH, 'depths': [2, 0, 2]}), r"arch\['depths'\]\[1\]=0 of SwinDecoder must be"),
        (
            'SwinDecoder',
            dict(arch={**ARCH, 'num_heads': [1, 3, 2]}),
            'num_heads=3 of SwinDecoder does not divide .* 16',
        ),
        ('SwinDecoder', dict(arch={**ARCH, 'embed_dims': 8.0}), r"arch\['embed_dims'\]=8.0 of SwinDecoder must be"),
        ('SwinDecoder', dict(first_stage=4), 'first_stage=4 of SwinDecoder leaves none of its 4 stages'),
        ('SwinDecoder', dict(first_stage=-1), 'first_stage=-1 of SwinDecoder must be a whole number from 0'),
    ],
)
def test_wrong_arguments_are_refused(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        MODELS.get(name)(**SIZES, **kwargs)
