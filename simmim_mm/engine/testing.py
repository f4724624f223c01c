"""From a config and a checkpoint to metrics."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from simmim_mm.engine.checkpoints import check_keys, read_checkpoint
from simmim_mm.engine.launch import build_runner
from simmim_mm.engine.loader_settings import check_loaders
from simmim_mm.engine.places import check_places
from simmim_mm.engine.sharding import check_wrapper


def test(cfg: Config, checkpoint: str) -> dict[str, float]:
    """Tests a checkpoint of a model, pre-trained or fine-tuned.

    Args:
        cfg: The config that it was trained with. Where it has no test data, its validation data is taken.
        checkpoint: The checkpoint, all of whose weights have to be the model's.

    Returns:
        Metrics by name.

    Raises:
        FileNotFoundError: If there is no such file, or the data is missing.
        ValueError: If the config has nothing to test on, a setting of its loader cannot be, or the checkpoint is of
            another model.
    """
    state = read_checkpoint(checkpoint)
    if cfg.get('test_dataloader') is None:
        if cfg.get('val_dataloader') is None:
            raise ValueError('the config has neither test_dataloader nor val_dataloader: nothing to test on')
        cfg.test_dataloader, cfg.test_evaluator, cfg.test_cfg = cfg.val_dataloader, cfg.val_evaluator, {}
    check_loaders(cfg, ['test_dataloader'])
    check_wrapper(cfg)
    check_places(cfg, ['test_dataloader'])
    cfg.load_from, cfg.resume = checkpoint, False
    runner = build_runner(cfg)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    check_keys(model, state, checkpoint)
    metrics = runner.test()
    print_log(', '.join(f'{name}: {value:.4g}' for name, value in metrics.items()), logger='current')
    return metrics
