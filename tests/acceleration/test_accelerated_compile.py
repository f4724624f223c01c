"""Accelerated blocks under torch.compile."""

from __future__ import annotations

import pytest
import torch
from tiny import build_model

from simmim_mm.acceleration import accelerate


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def small(name):
    """Two stages, the first with shifted windows."""
    common = dict(img_size=32, window_size=4, drop_path_rate=0.0, out_indices=(1,))
    arch = dict(embed_dims=8, depths=[2, 1], num_heads=[1, 2])
    if name == 'SwinTransformerV2':
        arch['extra_norm_every_n_blocks'] = 0
    return build_model(backbone=dict(type=f'mmpretrain.{name}', arch=arch, **common), img_size=32)


@pytest.mark.parametrize('name', ['SwinTransformer', 'SwinTransformerV2'])
def test_one_graph_for_each_size(name):
    """No breaks, one graph a size, and the mask of the shift is an input of the graph: nothing in it makes one."""
    model = small(name)
    accelerate(model, 'exact', allocator=False)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model.masker.encode, fullgraph=True, dynamic=False, backend=backend)
    for hw in ((32, 32), (32, 64), (32, 32)):
        images, mask = torch.randn(2, 3, *hw), torch.rand(2, hw[0] // 8, hw[1] // 8) < 0.6
        # As in training, where a new size is tried on the encoder first.
        expected, _ = model.masker.encode(model.backbone, images, mask)
        features, _ = compiled(model.backbone, images, mask)
        torch.testing.assert_close(features, expected)
    assert len(graphs) == 2
    targets = {str(node.target) for graph in graphs for node in graph.graph.nodes}
    assert any('roll' in target for target in targets)
    assert not any('arange' in target for target in targets)


def test_gradients_of_a_graph():
    """Of the branches that only a graph has."""
    model = small('SwinTransformer').double()
    accelerate(model, 'exact', allocator=False)
    compiled = torch.compile(model.masker.encode, fullgraph=True, dynamic=False, backend='aot_eager')
    images, mask = torch.randn(2, 3, 32, 32, dtype=torch.float64), torch.rand(2, 4, 4) < 0.6
    parameters = [*model.backbone.parameters(), *model.masker.parameters()]
    gradients, expected = (
        torch.autograd.grad(encode(model.backbone, images, mask)[0].sin().sum(), parameters)
        for encode in (compiled, model.masker.encode)
    )
    for gradient, reference in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-12)
