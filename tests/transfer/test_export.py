"""Exported files, in the classes that they are for."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as HOST_MODELS

from simmim_mm.registry import MODELS
from simmim_mm.transfer.export import export_backbone
from simmim_mm.transfer.positions import resize_bias_table

HOSTS = ('mmpretrain', 'mmdet', 'mmseg')
TABLE = 'relative_position_bias_table'


def narrow_swin(window_size: int, img_size: int) -> dict:
    """One narrow block a stage, so that images of 192 px and more are quick."""
    return dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=8, depths=[1, 1, 1, 2], num_heads=[1, 1, 2, 2]),
        img_size=img_size,
        window_size=window_size,
        drop_path_rate=0.0,
    )


def in_host(host: str, window_size: int, path: str):
    """The host's own Swin, written down as its users do, with the file in it."""
    checkpoint = ConfigDict(type='Pretrained', checkpoint=path, prefix='backbone.')
    arch = dict(embed_dims=8, depths=[1, 1, 1, 2], num_heads=[1, 1, 2, 2])
    out = dict(out_indices=(0, 1, 2, 3), window_size=window_size, init_cfg=checkpoint)
    if host == 'mmpretrain':
        config = dict(type='mmpretrain.SwinTransformer', arch=arch, pad_small_map=True, **out)
    else:
        config = dict(type=f'{host}.SwinTransformer', **arch, **out)
    model = HOST_MODELS.build(config)
    model.init_weights()
    model.eval()
    return model


@pytest.mark.parametrize('host', HOSTS)
def test_same_window(make_checkpoint, tmp_path, host):
    """Features in the host's own class are equal to 1e-6 to those of the pre-trained encoder."""
    model, path = make_checkpoint(narrow_swin(6, 192), 192)
    report = export_backbone(path, str(tmp_path / 'out.pth'), host)
    assert report.ok
    assert not report.resized
    assert not report.missing
    assert sorted(report.dropped)[-3:] == ['masker.mask_token', 'neck.decoder.0.bias', 'neck.decoder.0.weight']
    images = torch.randn(1, 3, 384, 384)
    with torch.no_grad():
        expected = model.backbone(images)[-1]
        found = in_host(host, 6, str(tmp_path / 'out.pth'))(images)[-1]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize('host', HOSTS)
@pytest.mark.parametrize(('old', 'new', 'img_size'), [(6, 7, 192), (6, 12, 192), (12, 14, 384)])
def test_other_windows(make_checkpoint, tmp_path, host, old, new, img_size):
    """Every weight of the host's class comes from the file; tables are resized, all else is as it was."""
    model, path = make_checkpoint(narrow_swin(old, img_size), img_size)
    report = export_backbone(path, str(tmp_path / 'out.pth'), host, window_size=[new])
    assert report.ok
    assert len(report.resized) == 5
    assert not report.missing
    loaded = in_host(host, new, str(tmp_path / 'out.pth')).state_dict()
    trained = model.backbone.state_dict()
    for key, value in trained.items():
        if key.endswith(TABLE):
            expected = resize_bias_table(value, (old, old), (new, new))
            assert torch.equal(loaded[key], expected)
        elif not key.endswith('relative_position_index'):
            assert torch.equal(loaded[key], value)
    fresh = {'norm0.weight', 'norm0.bias', 'norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias'}
    assert loaded.keys() - trained.keys() == fresh


def test_windows_that_differ_by_stage(make_checkpoint, tmp_path):
    """Swin-L's way, 12 and 6 in the last stage: mmdet has one for all and is refused, or gets all resized."""
    config = dict(narrow_swin(12, 192), stage_cfgs=[{}, {}, {}, dict(window_size=6)])
    _, path = make_checkpoint(config, 192)
    with pytest.raises(ValueError, match=r'\[12, 12, 12, 6\]; choose one, such as --window-size 12'):
        export_backbone(path, str(tmp_path / 'out.pth'), 'mmdet')
    report = export_backbone(path, str(tmp_path / 'out.pth'), 'mmdet', window_size=[14])
    assert report.ok
    assert sorted(report.resized.values()) == ['12x12 -> 14x14 cells'] * 3 + ['6x6 -> 14x14 cells'] * 2
    report = export_backbone(path, str(tmp_path / 'o.pth'), 'mmpretrain', window_size=[14, 14, 14, 7], img_size=[224])
    assert report.ok
    backbone = eval(report.hint[report.hint.index('dict(') :], {'dict': dict})  # what is printed can be pasted
    model = HOST_MODELS.build(backbone)
    model.init_weights()
    assert model.stages[3].blocks[0].attn.w_msa.relative_position_bias_table.shape == (169, 2)


@pytest.mark.parametrize('host', ['mmpretrain', 'mmdet', 'mmseg'])
@pytest.mark.parametrize('family', ['SwinTransformerV2', 'VisionTransformer', 'BEiTViT', 'ResNet', 'ConvNeXt', 'HiViT'])
def test_other_encoders(make_checkpoint, tiny_encoders, tmp_path, host, family):
    """Whole and equal in the class that the host has for them, or in mmpretrain's; batch statistics included."""
    model, path = make_checkpoint(tiny_encoders[family])
    report = export_backbone(path, str(tmp_path / 'out.pth'), host)
    assert report.ok
    assert 'differ by 0.0e+00' in report.features
    kept = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    statistics = {f'backbone.{key}' for key in model.backbone.state_dict() if 'running_' in key}
    assert statistics <= kept.keys()
    assert all(key.startswith('backbone.') for key in kept)


def test_without_mask_token(make_checkpoint, tiny_swin, tmp_path):
    """A model that hides pixels has no mask token; its encoder is exported as any other."""
    _, path = make_checkpoint(tiny_swin(), masker=dict(type='PixelMasker', fill='zero'))
    assert export_backbone(path, str(tmp_path / 'out.pth'), 'mmdet').ok


@pytest.mark.parametrize('family', ['PCPVT', 'TIMMBackbone', 'ConvNeXt V2'])
def test_encoders_of_one_package_in_another(make_checkpoint, tiny_encoders, tmp_path, family):
    """What only mmpretrain has, timm's in its wrapper among them, is exported for mmdet as mmpretrain's class."""
    _, path = make_checkpoint(tiny_encoders[family])
    report = export_backbone(path, str(tmp_path / 'out.pth'), 'mmdet')
    assert report.ok
    assert 'differ by 0.0e+00' in report.features


@pytest.mark.parametrize('family', ['SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT'])
@pytest.mark.parametrize(('to', 'file_format'), [('timm', 'pth'), ('timm', 'safetensors'), ('hf', 'safetensors')])
def test_timm_and_hugging_face(make_checkpoint, tiny_encoders, tmp_path, family, to, file_format):
    """The features that their own classes compute from the file are those of the encoder here."""
    pytest.importorskip('timm' if to == 'timm' else 'transformers')
    options = dict(final_norm=True) if family == 'BEiTViT' else {}
    model, path = make_checkpoint({**tiny_encoders[family], **options})
    out = tmp_path / f'out.{file_format}'
    report = export_backbone(path, str(out), to, file_format=file_format)
    assert report.ok
    assert not report.new + report.missing
    scope: dict = {}
    exec(report.hint.partition('\n\n')[2], scope)  # what is printed is how to load it
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model.backbone(images)[-1]
        theirs = scope['model'].eval()
        found = theirs.forward_features(images) if to == 'timm' else theirs(images).last_hidden_state
    if found.ndim == 4:
        found = found.flatten(1, 2)
    found = found[:, -expected[0, 0].numel() :]  # without class token
    torch.testing.assert_close(found, expected.flatten(2).transpose(1, 2), atol=1e-5, rtol=0)


def test_one_bias_for_each_block(make_checkpoint, tiny_encoders, tmp_path):
    """The shared bias of the authors' ViT, copied to each block, computes the same; and grows with the image."""
    _, path = make_checkpoint({**tiny_encoders['BEiTViT'], 'final_norm': True})
    report = export_backbone(path, str(tmp_path / 'out.pth'), 'mmpretrain', biases='per-block')
    assert report.ok
    assert 'features differ by 0.0e+00' in report.features
    assert sum(TABLE in key for key in report.matched) == 2
    report = export_backbone(path, str(tmp_path / 'big.pth'), 'mmseg', biases='per-block', img_size=[96, 64])
    assert report.ok
    assert list(report.resized.values()) == ['4x4 -> 6x4 cells'] * 2


def test_absolute_positions(make_checkpoint, tiny_encoders, tmp_path):
    """A ViT at another size; and Swin's positions, with mmpretrain's class, as mmdet's cannot load any."""
    _, path = make_checkpoint(tiny_encoders['VisionTransformer'])
    report = export_backbone(path, str(tmp_path / 'vit.pth'), 'mmseg', img_size=[96, 128])
    assert report.ok
    assert report.resized == {'backbone.pos_embed': '4x4 -> 6x8 cells'}
    _, path = make_checkpoint({**tiny_encoders['SwinTransformer'], 'use_abs_pos_embed': True})
    report = export_backbone(path, str(tmp_path / 'swin.pth'), 'mmdet')
    assert report.ok
    assert 'backbone.absolute_pos_embed' in report.matched
    assert "type='mmpretrain.SwinTransformer'" in report.hint


def test_swin_v2_keeps_its_coordinates(make_checkpoint, tiny_encoders, tmp_path):
    """Windows change without a resize; the coordinates stay in units of the windows of pre-training."""
    _, path = make_checkpoint(tiny_encoders['SwinTransformerV2'])
    report = export_backbone(path, str(tmp_path / 'out.pth'), 'mmpretrain', window_size=[8, 8, 8, 4], img_size=[128])
    assert report.ok
    assert not report.resized
    assert 'pretrained_window_sizes=[4, 4, 4, 2]' in report.hint


def test_wrong_values_do_not_pass(make_checkpoint, tmp_path, monkeypatch, run_tool):
    """A target that loads something else fails: a weight lost on the way, or an encoder that computes otherwise."""
    from simmim_mm.transfer.targets import OpenMMLabTarget

    _, path = make_checkpoint(narrow_swin(6, 192), 192)
    load = OpenMMLabTarget.load

    def forgetful(self, path):
        model = load(self, path)
        torch.nn.init.zeros_(model.stages[2].blocks[0].attn.w_msa.qkv.bias)
        return model

    def other_encoder(self, path):
        model = load(self, path)
        model.stages[0].blocks[0].attn.w_msa.scale *= 100
        return model

    monkeypatch.setattr(OpenMMLabTarget, 'load', forgetful)
    code, text = run_tool('export_backbone', path, tmp_path / 'out.pth', '--to', 'mmdet')
    assert code == 1
    assert 'qkv.bias (other values arrived)' in text
    monkeypatch.setattr(OpenMMLabTarget, 'load', other_encoder)
    code, text = run_tool('export_backbone', path, tmp_path / 'out.pth', '--to', 'mmdet')
    assert code == 1
    assert 'NOT THE SAME ENCODER' in text
    assert not (tmp_path / 'out.pth').exists()


def test_the_tool(make_checkpoint, tmp_path, run_tool):
    """A table, a config to paste, exit code 0; and nothing but the file is left."""
    _, path = make_checkpoint(narrow_swin(6, 192), 192)
    code, text = run_tool('export_backbone', path, tmp_path / 'out' / 'b.pth', '--to', 'mmseg', '--window-size', '7')
    assert code == 0
    assert 'relative_position_bias_table  6x6 -> 7x7 cells' in text
    assert "prefix='backbone.'" in text
    assert [file.name for file in (tmp_path / 'out').iterdir()] == ['b.pth']


@pytest.mark.parametrize(
    ('family', 'arguments', 'message'),
    [
        ('SwinTransformer', dict(to='mmdet', window_size=[7, 7]), 'one for each of the 4 stages'),
        ('SwinTransformer', dict(to='mmdet', window_size=[0]), 'one number from 2'),
        ('SwinTransformer', dict(to='mmdet', file_format='safetensors'), 'use --format pth'),
        ('SwinTransformer', dict(to='mmdet', img_size=[30]), 'whole patches of 4 px'),
        ('SwinTransformer', dict(to='mmdet', biases='per-block'), 'no position bias that all blocks share'),
        ('SwinTransformer', dict(to='mmdet', method='nearest'), 'use geometric, bicubic'),
        ('SwinTransformer', dict(to='keras'), 'use mmpretrain, mmdet'),
        ('SwinTransformer', dict(to='timm', window_size=[4]), 'use --img-size 128, or --window-size 4 4 4 2'),
        (
            'SwinTransformer',
            dict(to='timm', window_size=[3], img_size=[128]),
            r'windows \[3, 3, 3, 3\] .* 32x32, 16x16, 8x8, 4x4 cells; use --img-size 192, or --window-size 2',
        ),
        ('SwinTransformer', dict(to='timm', window_size=[4, 4, 4, 3], img_size=[128]), '--img-size 192, .* 4 4 4 2'),
        ('SwinTransformer', dict(to='timm', file_format='safetensors'), r'end .* with .safetensors'),
        ('VisionTransformer', dict(to='mmseg', window_size=[7]), 'VisionTransformer has no windows'),
        ('BEiTViT', dict(to='timm'), 'without final norm'),
        ('ResNet', dict(to='timm'), 'ResNet has no counterpart in timm'),
        ('ConvNeXt', dict(to='mmdet', img_size=[96]), 'images of any size as it is'),
    ],
)
def test_nonsense_is_refused(make_checkpoint, tiny_encoders, tmp_path, family, arguments, message):
    """What an encoder or a target does not have; nothing is written then."""
    _, path = make_checkpoint(tiny_encoders[family])
    with pytest.raises(ValueError, match=message):
        export_backbone(path, str(tmp_path / 'out.pth'), **arguments)
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize(
    ('depths', 'window', 'pad', 'message'),
    [
        ([2, 1, 1, 1], 3, True, 'do not tile a map'),
        ([1, 1, 1, 1], 3, True, None),  # nothing is shifted
        ([1, 1, 1, 2], 4, True, 'where a map is one window wide'),
        ([1, 1, 1, 2], 4, False, None),
    ],
)
def test_windows_that_timm_computes_in_another_way(
    make_checkpoint, tmp_path, monkeypatch, depths, window, pad, message
):
    """Refused before any weight is translated, exactly where features differ: without the check they are compared."""
    timm = pytest.importorskip('simmim_mm.transfer.targets.timm')
    pytest.importorskip('timm')
    swin = dict(narrow_swin(window, 128), pad_small_map=pad)
    swin['arch'] = dict(swin['arch'], depths=depths)
    _, path = make_checkpoint(swin, 128)
    with monkeypatch.context() as patched:
        patched.setattr(timm, '_check_windows_tile', lambda module, backbone: None)
        assert export_backbone(path, str(tmp_path / 'late.pth'), 'timm').ok == (message is None)
    if message is None:
        assert export_backbone(path, str(tmp_path / 'out.pth'), 'timm').ok
        return
    monkeypatch.setattr('simmim_mm.transfer.export.fit', lambda *args: pytest.fail('weights were made to fit'))
    with pytest.raises(ValueError, match=message):
        export_backbone(path, str(tmp_path / 'out.pth'), 'timm')


def test_built_by_our_registry_too(make_checkpoint, tmp_path):
    """mmpretrain's class in our scope, with the exported file in place of its initialisation."""
    model, path = make_checkpoint(narrow_swin(6, 192), 192)
    export_backbone(path, str(tmp_path / 'out.pth'), 'mmpretrain')
    checkpoint = dict(type='Pretrained', checkpoint=str(tmp_path / 'out.pth'), prefix='backbone.')
    again = MODELS.build(dict(narrow_swin(6, 192), init_cfg=checkpoint))
    again.init_weights()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.backbone.state_dict().items())
