"""Labels from a frozen tokenizer, here mmpretrain's DALL-E encoder with few channels and words."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from simmim_mm.masking import expand
from simmim_mm.models import TokenTarget
from simmim_mm.registry import MODELS

TOKENIZER = dict(type='mmpretrain.DALL-E', n_hid=4, vocab_size=11)
MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
RANGE = ((-MEAN / STD).tolist(), ((255 - MEAN) / STD).tolist())
BYTES = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float()
IMAGES = (BYTES - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)
MASK = torch.tensor([[[True, False], [False, True]]] * 2)


@pytest.fixture
def network():
    """The encoder with weights that prefer different words at different places."""
    torch.manual_seed(3)
    network = MODELS.build(TOKENIZER)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


@pytest.fixture
def parts(network, tmp_path):
    path = tmp_path / 'tokenizer.pth'
    torch.save(network.state_dict(), path)
    return dict(tokenizer=TOKENIZER, checkpoint=str(path), value_range=(0.1, 0.9))


def test_tokens_are_the_highest_scores_of_the_tokenizer(network, parts):
    """On pixels from 0 to 1, brought to 0.1 to 0.9 as DALL-E's are, worked from the bytes."""
    target = TokenTarget(3, RANGE, (64, 64), **parts)
    assert (target.channels, target.num_classes, target.stride) == (1, 11, 8)
    with torch.no_grad():
        expected = network(BYTES / 255 * 0.8 + 0.1).argmax(dim=1, keepdim=True)
    assert torch.equal(target(IMAGES), expected)
    assert len(expected.unique()) > 2


@pytest.mark.parametrize(('stride', 'side'), [(16, 32), (4, 128)])
def test_another_stride_resizes_the_image(network, parts, stride, side):
    """BEiT shows its tokenizer the image at half the side, for a token on 16 px where the tokenizer's own have 8."""
    target = TokenTarget(3, RANGE, (64, 64), stride=stride, **parts)
    shown = F.interpolate(BYTES / 255, size=(side, side), mode='bilinear', antialias=True) * 0.8 + 0.1
    with torch.no_grad():
        scores = network(shown)
    tokens = target(IMAGES)
    assert tokens.shape == (2, 1, 64 // stride, 64 // stride)
    same = tokens[:, 0] == scores.argmax(dim=1)
    best, second = scores.topk(2, dim=1).values.unbind(dim=1)
    assert same[best - second > 1e-3].all()  # but for ties within rounding
    assert same.float().mean() > 0.95


def test_the_loss_is_the_cross_entropy_of_hidden_tokens(build_model, parts):
    """By hand over hidden positions; the tokenizer learns nothing, and stands in no state dict."""
    head = dict(
        type='ReconstructionHead',
        target=dict(type='TokenTarget', stride=16, **parts),
        loss=dict(type='CrossEntropyLoss'),
    )
    model = build_model(head=head)
    images = IMAGES
    prediction, _ = model.predict_map(images, MASK)
    tokens = model.head.target(images)[:, 0]
    hidden = expand(MASK, (4, 4))
    expected = F.cross_entropy(prediction.permute(0, 2, 3, 1)[hidden], tokens[hidden])
    loss = model.loss(images, MASK)['loss']
    torch.testing.assert_close(loss.float(), expected.float(), rtol=1e-4, atol=1e-5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not any('tokenizer' in key or 'blocks.' in key for key in model.head.state_dict())


def test_pictures_show_tokens_in_colours_of_the_image(parts):
    """Each place gets the mean colour of the places with its token; a word that these images lack is black."""
    target = TokenTarget(3, RANGE, (64, 64), **parts)
    tokens = target(IMAGES)
    picture = target.to_pictures(tokens, IMAGES)
    assert picture.shape == (2, 3, 64, 64)
    squares = F.avg_pool2d(BYTES / 255, 8)
    for word in tokens.unique():
        where = (tokens == word)[:, 0]
        colour = squares.movedim(1, -1)[where].mean(dim=0)
        shown = picture[:, :, ::8, ::8].movedim(1, -1)[where]
        torch.testing.assert_close(shown, colour.expand_as(shown), rtol=1e-4, atol=1e-4)
    missing = next(word for word in range(11) if word not in tokens.unique())
    assert target.to_pictures(torch.full_like(tokens, missing), IMAGES).abs().max() == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(checkpoint=None), 'must be a file with the weights of the tokenizer'),
        (dict(tokenizer=None), 'model.head.target.tokenizer=None is no config'),
        (dict(tokenizer={**TOKENIZER, 'vocab_size': 12}), 'does not hold the weights of the tokenizer DALLEEncoder'),
        (dict(value_range=(1, 0)), r'value_range=\(1, 0\)'),
        (dict(stride=0), 'stride=0'),
    ],
)
def test_wrong_tokenizers_are_refused(parts, change, message):
    """Never a random one; the message names the setting."""
    with pytest.raises(ValueError, match=message):
        TokenTarget(3, RANGE, (64, 64), **{**parts, **change})
