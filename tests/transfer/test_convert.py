"""Conversion, against what the authors' code computes and against Hugging Face's, mmpretrain's and timm's classes."""

import sys
from types import ModuleType

import pytest
import torch
from authors import MODELS, draw_inputs
from mmengine.registry import MODELS as HOST_MODELS

from simmim_mm.transfer.convert import build, convert
from simmim_mm.transfer.files import read_weights
from simmim_mm.transfer.recognise import DERIVED
from simmim_mm.transfer.stored_config import stored_config


def weights_only(state: dict) -> dict:
    return {key: value for key, value in state.items() if not key.endswith(DERIVED)}


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def load(path):
    """A converted checkpoint, as our tools load one: from nothing but the file."""
    read = read_weights(str(path))
    model = build(stored_config(read.meta, str(path)))
    model.load_state_dict(read.weights, strict=False)
    assert same(weights_only(model.state_dict()), weights_only(read.weights))
    return model


def authors_state(name: str, draw) -> dict[str, torch.Tensor]:
    """A state dict of theirs: drawn parameters, and buffers of which only the shape is read."""
    state = {key: torch.zeros(shape) for key, shape in MODELS[name][0].items()}
    draw((key, value) for key, value in state.items() if not key.endswith(DERIVED))
    return state


@pytest.mark.parametrize('name', list(MODELS))
def test_loss_and_features_are_those_of_the_authors_code(tmp_path, draw, name):
    """Loss to 1e-5, features by their mean; nothing is left over, and the way back is exact."""
    _, side, loss, features, family = MODELS[name]
    state = authors_state(name, draw)
    torch.save(dict(model=state, epoch=3, optimizer=dict(state={}, param_groups=[])), tmp_path / 'theirs.pth')
    report = convert(str(tmp_path / 'theirs.pth'), str(tmp_path / 'ours.pth'))
    assert report.ok
    assert not report.new + report.missing
    model = load(tmp_path / 'ours.pth')
    assert type(model.backbone).__name__ == family
    images, mask = draw_inputs(side)
    with torch.no_grad():
        assert model.loss(images, mask)['loss'].item() == pytest.approx(loss, abs=1e-5)
        found, _ = model.masker.encode(model.backbone, images, mask)
    assert found.double().abs().mean().item() == pytest.approx(features, abs=1e-5)
    convert(str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), out_format='simmim')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['model']
    assert same(back, weights_only(state))


def test_older_names_of_swin_v2(tmp_path, draw):
    """The published Swin V2 checkpoints call the network of position biases rpe_mlp."""
    state = authors_state('Swin V2', draw)
    torch.save(dict(model={key.replace('cpb_mlp', 'rpe_mlp'): value for key, value in state.items()}), tmp_path / 'old')
    torch.save(dict(model=state), tmp_path / 'new')
    for name in ('old', 'new'):
        convert(str(tmp_path / name), str(tmp_path / f'{name}.pth'))
    assert same(read_weights(str(tmp_path / 'old.pth')).weights, read_weights(str(tmp_path / 'new.pth')).weights)


def test_settings_of_yacs_are_passed_over(tmp_path, draw, monkeypatch):
    """The authors' checkpoints hold their settings as objects of yacs, which need not be installed, nor unpickled."""
    module = ModuleType('yacs.config')
    node = type('CfgNode', (dict,), {'__module__': 'yacs.config'})
    module.CfgNode = node
    monkeypatch.setitem(sys.modules, 'yacs', ModuleType('yacs'))
    monkeypatch.setitem(sys.modules, 'yacs.config', module)
    settings = node(MODEL=node(TYPE='swin'))
    settings.__dict__['__immutable__'] = True
    torch.save(dict(model=authors_state('ViT', draw), config=settings), tmp_path / 'theirs.pth')
    monkeypatch.delitem(sys.modules, 'yacs.config')
    monkeypatch.delitem(sys.modules, 'yacs')
    assert not convert(str(tmp_path / 'theirs.pth'), str(tmp_path / 'ours.pth')).new


@pytest.mark.parametrize('old_norm', [False, True])
def test_mmpretrain_simmim(tmp_path, draw, tiny_swin, old_norm):
    """mmpretrain's own SimMIM, whose older checkpoints name the last norm otherwise: the same features and weights."""
    config = dict(tiny_swin(), type='mmpretrain.SimMIMSwinTransformer')
    theirs = HOST_MODELS.build(config)
    draw(theirs.named_parameters())
    theirs.eval()
    state = {f'backbone.{key}': value for key, value in theirs.state_dict().items()}
    state |= {'neck.decoder.0.weight': torch.randn(3072, 128, 1, 1), 'neck.decoder.0.bias': torch.randn(3072)}
    if old_norm:
        state = {key.replace('backbone.norm3.', 'backbone.norm.'): value for key, value in state.items()}
    torch.save(dict(meta=dict(epoch=3), state_dict=state), tmp_path / 'theirs.pth')
    report = convert(str(tmp_path / 'theirs.pth'), str(tmp_path / 'ours.pth'))
    assert not report.new + report.missing
    model = load(tmp_path / 'ours.pth')
    images, mask = torch.randn(2, 3, 64, 64), torch.rand(2, 16, 16) > 0.5
    with torch.no_grad():
        ours, _ = model.masker.encode(model.backbone, images, mask)
        assert torch.equal(ours, theirs(images, mask)[0])
    convert(str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), out_format='mmpretrain')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['state_dict']
    assert same(
        back,
        {
            key.replace('.norm.', '.norm3.') if key[:14] == 'backbone.norm.' else key: value
            for key, value in weights_only(state).items()
        },
    )


def hf_models():
    transformers = pytest.importorskip('transformers')
    four = dict(embed_dim=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], drop_path_rate=0.0, encoder_stride=32)
    vit = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, encoder_stride=16)
    return {
        'Swin': transformers.SwinForMaskedImageModeling(transformers.SwinConfig(image_size=64, window_size=2, **four)),
        'Swin V2': transformers.Swinv2ForMaskedImageModeling(
            transformers.Swinv2Config(image_size=128, window_size=8, **four)
        ),
        'ViT': transformers.ViTForMaskedImageModeling(transformers.ViTConfig(image_size=64, patch_size=16, **vit)),
    }


@pytest.mark.parametrize('name', ['Swin', 'Swin V2', 'ViT'])
def test_hugging_face(tmp_path, draw, name):
    """...ForMaskedImageModeling: the same loss to 1e-5 from its saved folder, and the same weights back in it."""
    theirs = hf_models()[name].eval()
    draw(theirs.named_parameters())
    theirs.save_pretrained(tmp_path / 'theirs')
    report = convert(str(tmp_path / 'theirs'), str(tmp_path / 'ours.pth'), 'hf')
    assert not report.new + report.missing
    model = load(tmp_path / 'ours.pth')
    side = theirs.config.image_size
    cells = side // theirs.config.patch_size
    images, mask = torch.randn(2, 3, side, side), torch.rand(2, 2, 2) > 0.5
    mask[0, 0] = True
    tokens = mask.repeat_interleave(cells // 2, 1).repeat_interleave(cells // 2, 2).flatten(1)
    with torch.no_grad():
        expected = theirs(images, bool_masked_pos=tokens).loss.item()
        assert model.loss(images, mask)['loss'].item() == pytest.approx(expected, abs=1e-5)
    report = convert(str(tmp_path / 'ours.pth'), str(tmp_path / 'back'), out_format='hf')
    assert not report.new
    back = type(theirs).from_pretrained(tmp_path / 'back')
    assert same(back.state_dict(), theirs.state_dict())


def test_timm(tmp_path, draw):
    """A timm model without SimMIM around it: equal features; mask token and decoder are new, and said to be."""
    timm = pytest.importorskip('timm')
    theirs = timm.models.swin_transformer.SwinTransformer(
        img_size=64, embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=2, num_classes=5
    ).eval()
    draw(theirs.named_parameters())
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    report = convert(str(tmp_path / 'theirs.pth'), str(tmp_path / 'ours.pth'))
    assert sorted(report.new) == ['masker.mask_token', 'neck.decoder.0.bias', 'neck.decoder.0.weight']
    assert sorted(report.dropped) == ['head.fc.bias', 'head.fc.weight']
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours = load(tmp_path / 'ours.pth').backbone(images)[-1]
        torch.testing.assert_close(ours, theirs.forward_features(images).permute(0, 3, 1, 2), atol=1e-5, rtol=0)
    convert(str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), out_format='timm')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert same(back, {key: value for key, value in theirs.state_dict().items() if not key.startswith('head.')})


def test_the_tool(tmp_path, draw, run_tool):
    """It prints what became of the keys and where to go on; a failure exits with another code."""
    torch.save(dict(model=authors_state('Swin', draw)), tmp_path / 'theirs.pth')
    code, text = run_tool('convert_checkpoint', tmp_path / 'theirs.pth', tmp_path / 'ours.pth', '--from', 'simmim')
    assert code == 0
    assert 'SwinTransformer of simmim -> simmim_mm' in text
    assert 'load_from=' in text
    code, text = run_tool('convert_checkpoint', tmp_path / 'ours.pth', tmp_path / 'again.pth')
    assert code == 2
    assert 'a checkpoint of this package already' in text


def test_another_decoder_stays_here(make_checkpoint, tiny_swin, tmp_path):
    """A decoder that no other code base has is left out, not cut down to the layer whose name fits."""
    _, path = make_checkpoint(tiny_swin(), neck=dict(type='MLPDecoder'))
    report = convert(path, str(tmp_path / 'theirs.pth'), out_format='simmim')
    assert not any(key.startswith('decoder') for key in torch.load(tmp_path / 'theirs.pth', weights_only=True)['model'])
    assert 'neck.decoder.0.weight' in report.dropped
