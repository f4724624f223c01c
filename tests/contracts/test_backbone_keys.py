"""Promise: the encoder inside SimMIM is the host's own class with the host's own keys."""

import pytest
import torch
from mmengine.registry import MODELS as HOST_MODELS

from simmim_mm.models.stems import STEMS
from simmim_mm.registry import MODELS


def test_every_row_of_the_table_of_stems_is_tested(tiny_encoders):
    """A new row in STEMS needs a tiny encoder in conftest.py."""
    assert {config['type'].removeprefix('mmpretrain.') for config in tiny_encoders.values()} == set(STEMS)


def test_backbone_keys_are_those_of_the_plain_backbone(encoder, build_model):
    """`backbone.*` of SimMIM(X) is the state dict of X, key by key and shape by shape; the masker adds none."""
    plain = HOST_MODELS.build(encoder)
    model = build_model(backbone=encoder)
    ours = {key.removeprefix('backbone.'): value for key, value in model.state_dict().items() if key[:9] == 'backbone.'}
    assert type(model.backbone) is type(plain)
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in plain.state_dict().items()
    }
    # mmpretrain's SwinTransformerV2 drops buffers whatever it loads, so: as well as from its own state dict.
    own = plain.load_state_dict(plain.state_dict(), strict=False)
    assert plain.load_state_dict(ours, strict=False) == own
    assert not own.unexpected_keys


def test_backbone_behaves_as_plain_outside_encode(encoder, build_model):
    """The hook does nothing unless a mask is being applied, also after it was."""
    plain = HOST_MODELS.build(encoder)
    model = build_model(backbone=encoder)
    plain.eval(), model.eval()
    plain.load_state_dict(model.backbone.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 64)
    expected = plain(images)[-1]
    assert torch.equal(model(images)[-1], expected)
    model.loss(images, torch.ones(2, 2, 2, dtype=torch.bool))
    assert torch.equal(model(images)[-1], expected)


def test_a_failing_encode_leaves_no_mask_behind(build_model):
    """An error in the backbone must not mask the next unmasked image."""
    model = build_model()
    images = torch.randn(1, 3, 64, 64)
    expected = model(images)[-1]
    with pytest.raises(ValueError, match='finer'):
        model.masker.encode(model.backbone, images, torch.ones(1, 64, 64, dtype=torch.bool))
    assert torch.equal(model(images)[-1], expected)


def test_token_lives_outside_the_backbone(tiny_model):
    """The only keys of the masker are its own."""
    masker_keys = [key for key in tiny_model.state_dict() if 'mask' in key and 'attn_mask' not in key]
    assert masker_keys == ['masker.mask_token']


def test_checkpoint_goes_round(build_model):
    """A state dict saved from one model loads strictly into another, which then computes the same loss."""
    first, second = build_model(), build_model()
    images, mask = torch.randn(2, 3, 64, 64), torch.tensor([[[True, False], [False, True]]] * 2)
    assert first.loss(images, mask)['loss'] != second.loss(images, mask)['loss']
    second.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(first.loss(images, mask)['loss'], second.loss(images, mask)['loss'])


def test_host_registry_is_where_the_backbone_comes_from(tiny_swin):
    """The same config builds the same class through our registry and through the host's."""
    assert type(MODELS.build(tiny_swin())) is type(HOST_MODELS.build(tiny_swin()))
