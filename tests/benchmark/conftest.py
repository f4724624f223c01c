"""A tiny config to be measured."""

import pytest

CONFIG = """
_base_ = {base!r}
model = dict(
    img_size=64,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
        img_size=64,
        window_size=2,
        drop_path_rate=0.0,
    ),
)
"""


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory):
    """A config file of a tiny Swin at 64 px, with the settings of simmim_swin_base.py."""
    from simmim_mm.engine.config import find_config

    path = tmp_path_factory.mktemp('configs') / 'tiny.py'
    path.write_text(CONFIG.format(base=find_config('swin_base')))
    return str(path)
