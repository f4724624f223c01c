"""Workers of loaders whose config was inherited by the name of the package."""

from __future__ import annotations

from mmengine.runner import Runner

from simmim_mm.engine.config import load_config


def test_a_config_that_was_inherited_by_package_name_loads_with_workers(image_folder, tmp_path):
    """MMEngine marks its dicts with ``_scope_``, and hands that to the functions which they name."""
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'simmim_mm::simmim_demo.py'\n")
    loader = load_config(str(path)).train_dataloader
    assert loader.worker_init_fn['_scope_'] == 'simmim_mm'
    loader.update(batch_size=2, num_workers=1, persistent_workers=False)
    loader.dataset.data_root = str(image_folder(2))
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    assert batch['inputs'].shape == (2, 3, 128, 128)
