"""Attention weights against plain softmax recomputed by hand, and their distances against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import BEiTAttention, MultiheadAttention, ShiftWindowMSA
from tiny import tiny_encoders, tiny_swin

from simmim_mm.analysis.attention import LayerAttention, encoder_attention
from simmim_mm.analysis.attention_distance import attention_distance, distances_of_layers, uniform_distance
from simmim_mm.analysis.attention_pictures import looked_at, received, spread
from simmim_mm.registry import MODELS

KNOWN = ('SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT', 'HiViT')


def encoder_of(cfg):
    encoder = MODELS.build(cfg)
    encoder.init_weights()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if 'qkv.weight' in name or 'bias_table' in name or 'cpb_mlp' in name:
                parameter.normal_(std=0.5)  # far from uniform attention
    return encoder


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64)


def layer_of(weights, grid_hw, stride=(1.0, 1.0), num_extra=0):
    """A layer of one window that covers the map."""
    number = grid_hw[0] * grid_hw[1]
    places = torch.tensor([[divmod(cell, grid_hw[1]) for cell in range(number)]])
    allowed = torch.ones(1, number, number, dtype=torch.bool)
    return LayerAttention('layer', weights, num_extra, places, allowed, grid_hw, stride)


class TestWeights:
    @pytest.mark.parametrize('name', KNOWN)
    def test_rows_sum_to_one_and_features_stay_the_same(self, name, images):
        """All layers with attention are there; nothing is left behind in the encoder."""
        encoder = encoder_of(tiny_encoders()[name])
        encoder.eval()
        before = encoder(images)[-1]
        layers = encoder_attention(encoder, images)
        attentions = [
            module for module in encoder.modules() if type(module).__name__ in ('WindowMSA', 'WindowMSAV2', 'Attention')
            or type(module) in (BEiTAttention, MultiheadAttention)
        ]  # fmt: skip
        assert len(layers) == len(attentions) > 0
        for layer in layers:
            torch.testing.assert_close(layer.weights.sum(dim=-1), torch.ones(layer.weights.shape[:-1]))
            torch.testing.assert_close(layer.between_cells().sum(dim=-1), torch.ones(layer.between_cells().shape[:-1]))
        assert torch.equal(encoder(images)[-1], before)
        assert not any(module._forward_pre_hooks for module in encoder.modules())

    @pytest.mark.parametrize('name', ['ConvNeXt', 'ResNet', 'PCPVT'])
    def test_encoders_without_known_attention_have_no_layers(self, name, images):
        assert encoder_attention(encoder_of(tiny_encoders()[name]), images) == []

    def test_vit_is_softmax_of_scaled_products(self, images):
        encoder = encoder_of(tiny_encoders()['VisionTransformer'])
        inputs = []
        module = encoder.layers[1].attn
        module.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
        layer = encoder_attention(encoder, images)[1]
        query, key, _ = module.qkv(inputs[0]).reshape(2, 17, 3, 2, 16).permute(2, 0, 3, 1, 4)
        expected = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(16), dim=-1)
        torch.testing.assert_close(layer.weights[:, 0], expected)
        assert (layer.num_extra, layer.grid_hw, layer.stride) == (1, (4, 4), (16.0, 16.0))

    def test_beit_adds_its_biases(self, images):
        encoder = encoder_of(tiny_encoders()['BEiTViT'])
        inputs = []
        module = encoder.layers[0].attn
        module.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
        layer = encoder_attention(encoder, images)[0]
        bias = torch.cat([module.q_bias, torch.zeros(32), module.v_bias])
        qkv = F.linear(inputs[0], module.qkv.weight, bias).reshape(2, 17, 3, 2, 16).permute(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(-2, -1) / math.sqrt(16) + encoder.rel_pos_bias()
        torch.testing.assert_close(layer.weights[:, 0], torch.softmax(scores, dim=-1))

    @pytest.mark.parametrize('pad', [False, True])
    def test_swin_windows_are_softmax_between_the_tokens_at_their_places(self, pad):
        """Token by token, from the places alone: shifted windows, and maps that are padded to whole windows."""
        cfg = tiny_swin(window_size=3 if pad else 4)
        cfg['arch'].update(embed_dims=8, depths=[2], num_heads=[2])
        encoder = encoder_of(cfg | dict(pad_small_map=pad, out_indices=(0,)))
        maps = {}
        for name, module in encoder.named_modules():
            if isinstance(module, ShiftWindowMSA):
                module.register_forward_pre_hook(lambda module, args, name=name: maps.update({name: args[0]}))
        images = torch.randn(2, 3, 32, 32)
        layers = encoder_attention(encoder, images)
        assert [layer.grid_hw for layer in layers] == [(8, 8), (8, 8)]
        assert layers[1].places[0, 0].tolist() == [1, 1] if pad else [2, 2]  # shifted
        for layer in layers:
            module = encoder.get_submodule(layer.name).w_msa
            tokens = maps[layer.name].reshape(2, 8, 8, 8)
            window = module.window_size[0]
            for number, places in enumerate(layer.places):
                rows, columns = places.unbind(-1)
                padded = F.pad(tokens, (0, 0, 0, 1, 0, 1)) if pad else tokens
                query, key, _ = (
                    module.qkv(padded[:, rows, columns]).reshape(2, window**2, 3, 2, 4).permute(2, 0, 3, 1, 4)
                )
                scores = query @ key.transpose(-2, -1) / 2
                index = module.relative_position_index
                scores = scores + module.relative_position_bias_table[index].permute(2, 0, 1)
                # What the shift brought together stays apart: it is as far away as the map is wide.
                near = (places[:, None] - places[None]).abs().amax(dim=-1) < window
                expected = torch.softmax(scores.masked_fill(~near, -math.inf), dim=-1)
                torch.testing.assert_close(layer.weights[:, number], expected)
                inside = (places < 8).all(dim=-1)
                assert torch.equal(layer.allowed[number], near & inside[:, None] & inside[None])

    @pytest.mark.parametrize('shape', [(64, 64), (64, 96)])
    def test_every_cell_is_in_one_window(self, shape):
        cfg = tiny_encoders()['SwinTransformerV2']
        layers = encoder_attention(
            encoder_of(cfg | dict(img_size=shape, pad_small_map=True)), torch.randn(1, 3, *shape)
        )
        for layer in layers:
            height, width = layer.grid_hw
            assert (height * layer.stride[0], width * layer.stride[1]) == shape
            inside = layer.allowed.any(dim=-1)
            places = [tuple(place) for place in layer.places[inside].tolist()]
            assert sorted(places) == [divmod(cell, width) for cell in range(height * width)]


class TestDistance:
    def test_attention_to_oneself_is_at_distance_zero(self):
        assert (
            attention_distance(layer_of(torch.eye(12).expand(2, 1, 3, 12, 12), (3, 4), (16, 16))).tolist()
            == [[0] * 3] * 2
        )

    def test_uniform_attention_is_the_mean_of_all_distances(self):
        """Worked out with Python's numbers, cells of 16x8 pixels."""
        layer = layer_of(torch.full((1, 1, 2, 6, 6), 1 / 6), (2, 3), (16.0, 8.0))
        cells = [(16 * row, 8 * column) for row in range(2) for column in range(3)]
        expected = np.mean([math.dist(first, second) for first in cells for second in cells])
        assert attention_distance(layer)[0].tolist() == pytest.approx([expected] * 2)
        assert uniform_distance(layer) == pytest.approx(expected)

    def test_two_cells_by_hand(self):
        """The first looks at the second with 0.25, the second at it with 0.75; they are 10 pixels apart."""
        weights = torch.tensor([[0.75, 0.25], [0.75, 0.25]]).reshape(1, 1, 1, 2, 2)
        assert attention_distance(layer_of(weights, (1, 2), (7.0, 10.0))).item() == pytest.approx(5.0)

    def test_class_tokens_are_left_out(self):
        """What goes to them is shared out again: the same rows as above, with two thirds for the class token."""
        weights = torch.tensor([[1.0, 0.0, 0.0], [2 / 3, 0.25, 1 / 12], [2 / 3, 0.25, 1 / 12]]).reshape(1, 1, 1, 3, 3)
        assert attention_distance(layer_of(weights, (1, 2), (7.0, 10.0), num_extra=1)).item() == pytest.approx(5.0)

    def test_windows_and_padding_are_averaged_over_queries_of_the_image(self):
        """A map of three cells in windows of two: the fourth is padding, and looked at in vain."""
        allowed = torch.tensor([[[True, True], [True, True]], [[True, False], [False, False]]])
        places = torch.tensor([[[0, 0], [0, 1]], [[0, 2], [0, 3]]])
        weights = torch.full((1, 2, 1, 2, 2), 0.5)
        layer = LayerAttention('x', weights, 0, places, allowed, (1, 3), (4.0, 4.0))
        # Two queries at a mean of 2 pixels, and one that sees itself alone.
        assert attention_distance(layer).item() == pytest.approx((2 + 2 + 0) / 3)
        assert uniform_distance(layer) == pytest.approx(4 / 3)
        assert received(layer)[0].flatten().tolist() == pytest.approx([1.0, 1.0, 1.0])

    def test_batches_of_images_count_by_their_images(self, images):
        encoder = encoder_of(tiny_encoders()['VisionTransformer'])
        more = torch.cat([images, torch.randn(1, 3, 64, 64)])
        whole = encoder_attention(encoder, more)
        parts = [
            [attention_distance(layer) for layer in encoder_attention(encoder, part)] for part in (more[:2], more[2:])
        ]
        found = distances_of_layers(whole, parts)
        for layer, distance in zip(whole, found, strict=True):
            assert distance.heads == pytest.approx(attention_distance(layer).mean(dim=0).tolist(), rel=1e-5)
            assert 0 < min(distance.heads) <= max(distance.heads) < 64 * math.sqrt(2)


class TestMaps:
    def test_what_a_cell_looks_at_is_its_row(self):
        weights = torch.rand(2, 1, 3, 6, 6)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        maps = looked_at(layer_of(weights, (2, 3)), (1, 1))
        torch.testing.assert_close(maps, weights[:, 0, :, 4].reshape(2, 3, 2, 3))

    def test_what_is_received_is_the_mean_of_columns(self):
        """In units of what uniform attention gives."""
        weights = torch.rand(2, 1, 3, 6, 6)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        maps = received(layer_of(weights, (2, 3)))
        torch.testing.assert_close(maps, 6 * weights[:, 0].mean(dim=(1, 2)).reshape(2, 2, 3))

    def test_windows_are_put_together_where_they_lie(self):
        """The map of a shifted Swin layer sums to 1 over the window of the cell, and is 0 elsewhere."""
        cfg = tiny_swin(window_size=4)
        cfg['arch'].update(embed_dims=8, depths=[2], num_heads=[2])
        layer = encoder_attention(encoder_of(cfg | dict(out_indices=(0,))), torch.randn(1, 3, 32, 32))[1]
        maps = looked_at(layer, (3, 3))  # windows are 2..5, shifted by 2
        torch.testing.assert_close(maps.sum(dim=(-2, -1)), torch.ones(1, 2))
        inside = torch.zeros(8, 8, dtype=torch.bool)
        inside[2:6, 2:6] = True
        assert (maps[..., inside] > 0).all()
        assert (maps[..., ~inside] == 0).all()


@pytest.mark.parametrize(
    ('number', 'most', 'expected'), [(3, 8, [0, 1, 2]), (24, 4, [0, 8, 15, 23]), (1, 5, [0])], ids=str
)
def test_positions_are_spread(number, most, expected):
    assert spread(number, most) == expected
