"""The command that writes the demo's photographs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from simmim_mm.engine.config import load_config
from simmim_mm.engine.places import check_places

CONFIG = Path(__file__).parents[2] / 'configs' / 'simmim_demo.py'


def test_the_command_writes_what_the_demo_trains_on(run_tool, tmp_path, monkeypatch):
    """12 photographs with 12 crops each and 4 with 6, which are those of scikit-image; the same for the same seed."""
    monkeypatch.chdir(tmp_path)
    output = run_tool('make_photographs.py')
    assert output.endswith('data/simmim_demo: 156 images in train, 28 in held_out\n')
    check_places(load_config(str(CONFIG)), ('train_dataloader', 'val_dataloader'))
    files = [path for path in Path('data/simmim_demo').rglob('*.*') if path.is_file()]
    assert Counter(path.parts[2] for path in files) == {'train': 156, 'held_out': 28}
    with Image.open('data/simmim_demo/held_out/chelsea_00.jpg') as image:
        expected = Image.fromarray(skimage.data.chelsea()).resize(image.size, Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(image, float) - np.asarray(expected, float)).mean() < 4
    assert 'is a file; name a folder' in run_tool('make_photographs.py', files[0], status=2)
