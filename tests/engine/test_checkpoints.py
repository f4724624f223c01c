"""Models from checkpoints."""

import torch
from mmengine.config import Config

from simmim_mm.engine.checkpoints import load_model


def test_every_encoder_is_loaded(encoder, build_model, tmp_path):
    """Every weight of the file is in the model; Swin V2's class drops its buffers when it loads, which is no error."""
    model = build_model(backbone=encoder)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    loaded = load_model(Config(dict(model=dict(type='SimMIM', backbone=encoder, img_size=64))), str(tmp_path / 'a.pth'))
    state = {key: value.cpu() for key, value in loaded.state_dict().items()}
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
