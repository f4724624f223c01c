"""Models and optimiser states that are shared out over processes (FSDP2)."""

from simmim_mm.engine.sharding.runner import ShardedRunner, shards
from simmim_mm.engine.sharding.settings import check_wrapper
from simmim_mm.engine.sharding.wrapper import FullyShardedDataParallel

__all__ = ['FullyShardedDataParallel', 'ShardedRunner', 'check_wrapper', 'shards']
