"""Promise: the masker breaks no graph under torch.compile."""

import pytest
import torch

from simmim_mm.masking import Cells, hidden_cells

IMAGES = torch.linspace(-2, 2, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
MASK = torch.tensor([[[True, False], [False, True]], [[True, True], [True, False]]])


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_encoding_is_one_graph(tiny_model):
    """One graph, no breaks, with the masker's hook installed."""
    explanation = torch._dynamo.explain(tiny_model.masker.encode)(tiny_model.backbone, IMAGES, MASK)
    assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)


def test_compiled_step_equals_eager(tiny_model):
    """Hide, encode, decode and score compile as one graph, with the eager loss and gradients."""

    def step(images, mask, index):
        cells = Cells(index, (2, 2))
        features, hidden = tiny_model.masker.encode(tiny_model.backbone, images, mask)
        return tiny_model.head.loss(tiny_model.neck(features, hidden, cells), images, hidden, cells)['loss']

    index = hidden_cells(MASK, (2, 2)).positions
    compiled = torch.compile(step, fullgraph=True, backend='aot_eager')
    parameters = dict(tiny_model.named_parameters())
    loss = compiled(IMAGES, MASK, index)
    gradients = torch.autograd.grad(loss, parameters.values())
    eager = tiny_model.loss(IMAGES, MASK)['loss']
    expected = torch.autograd.grad(eager, parameters.values())
    torch.testing.assert_close(loss, eager, rtol=1e-6, atol=0)
    for name, gradient, reference in zip(parameters, gradients, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-7, msg=lambda text, name=name: name + text)


def test_compiled_encoding_takes_another_mask(tiny_model):
    """The mask is an input of the graph, not a constant in it."""
    compiled = torch.compile(tiny_model.masker.encode, fullgraph=True, backend='eager')
    for mask in (MASK, ~MASK):
        features, hidden = compiled(tiny_model.backbone, IMAGES, mask)
        expected, _ = tiny_model.masker.encode(tiny_model.backbone, IMAGES, mask)
        torch.testing.assert_close(features, expected)
        assert torch.equal(hidden, mask)
