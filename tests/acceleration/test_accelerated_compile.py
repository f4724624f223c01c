"""Accelerated blocks under torch.compile."""

from __future__ import annotations

import pytest
import torch
from tiny import build_model, tiny_encoders

from simmim_mm.acceleration import accelerate


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize('name', ['SwinTransformer', 'SwinTransformerV2'])
def test_one_graph_for_each_size(name):
    """No breaks, one graph a size, and the mask of the shift is an input of the graph: nothing in it makes one."""
    model = build_model(backbone=tiny_encoders()[name])
    accelerate(model, 'exact', allocator=False)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model.masker.encode, fullgraph=True, dynamic=False, backend=backend)
    for hw in ((64, 64), (64, 128), (64, 64)):
        images, mask = torch.randn(2, 3, *hw), torch.rand(2, hw[0] // 32, hw[1] // 32) < 0.6
        features, _ = compiled(model.backbone, images, mask)
        torch.testing.assert_close(features, model.masker.encode(model.backbone, images, mask)[0])
    assert len(graphs) == 2
    made = {str(node.target) for graph in graphs for node in graph.graph.nodes if 'arange' in str(node.target)}
    assert not made
