"""What the hooks that watch a run cost: its iterations with them and without, in turn."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from simmim_mm.benchmark.candidates import LEARNING_RATE
from simmim_mm.benchmark.photographs import write_jpegs
from simmim_mm.benchmark.plan import Plan, read_config
from simmim_mm.benchmark.step import spread
from simmim_mm.benchmark.timing import interleave, median, ratios, take_turn
from simmim_mm.engine.config_edits import set_data_root
from simmim_mm.engine.launch import build_runner
from simmim_mm.tables import table

# What a run needs to be this run; all other hooks of a config watch it.
NEEDED_DEFAULT = (
    'runtime_info',
    'timer',
    'logger',
    'param_scheduler',
    'checkpoint',
    'sampler_seed',
    'iteration_seed',
    'preemption',
)
NEEDED_CUSTOM = ('SampleProgressHook',)
# Batches that are loaded once and used in turn, so that the loader is not measured.
NUM_BATCHES = 2
# Runs that take turns; the second is the control.
RUNS = ('off', 'off, again', 'on')
ENDLESS = 10**6


class _Held:
    """A loop that prepares a run and leaves its iterations to the caller."""

    def run(self: Any) -> None:
        """What comes before the first iteration."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self.batches: Iterator[Any] = itertools.cycle(list(itertools.islice(self.dataloader, NUM_BATCHES)))


class _HeldEpochs(_Held, EpochBasedTrainLoop):
    def advance(self) -> None:
        """One iteration, hooks included."""
        self.run_iter(self.iter, next(self.batches))


class _HeldIterations(_Held, IterBasedTrainLoop):
    def advance(self) -> None:
        """One iteration, hooks included."""
        self.run_iter(next(self.batches))


def measure_guards(plan: Plan, rounds: int = 5, repeats: int = 10) -> dict[str, Any]:
    """Lets runs of a config take turns: one with all its hooks, and two with those that it needs to run.

    That the second of these takes another time than the first is noise, so the table tells how much of that there is.
    All log once a turn, and none writes checkpoints. Images are photographs of scikit-image's, loaded once.

    Args:
        plan: The settings.
        rounds: Turns of each that count; one more goes before them.
        repeats: Iterations a turn, without waiting for the device between.

    Returns:
        ``rows`` for ``off``, ``off, again`` and ``on``, the names of the ``hooks`` that make the difference, and the
        plan.

    Raises:
        ValueError: If a setting is out of range, or the config does not read images from a folder.
    """
    if rounds < 1 or repeats < 1:
        raise ValueError(f'--rounds {rounds} and --repeats {repeats} must be whole numbers from 1')
    with tempfile.TemporaryDirectory(prefix='guards_') as folder:
        write_jpegs(f'{folder}/images', (256, 256), NUM_BATCHES * plan.batch_size)
        runners = {name: _prepared(plan, folder, name, repeats) for name in RUNS}
        work = {
            name: functools.partial(take_turn, runner.train_loop.advance, repeats, plan.device)
            for name, runner in runners.items()
        }
        turns = interleave(work, rounds)
        for runner in runners.values():
            runner.finish()
    rows = []
    for name, (wall, cpu) in ratios(turns, 'off').items():
        middle = median(turns[name])
        rows.append(
            {
                'name': name,
                'wall_s': middle.wall,
                'cpu_s': middle.cpu,
                'wall_ratio': wall._asdict(),
                'cpu_ratio': cpu._asdict(),
                'turns': [list(turn) for turn in turns[name]],
            }
        )
    hooks = [type(hook).__name__ for hook in runners['on'].hooks]
    others = [type(hook).__name__ for hook in runners['off'].hooks]
    measured = [name for name in hooks if name not in others]
    return {'plan': plan.as_dict(), 'hooks': measured, 'repeats': repeats, 'rows': rows}


def guards_table(results: Mapping[str, Any]) -> str:
    """The results for people."""
    plan = results['plan']
    cells = [
        (
            row['name'],
            f'{1e3 * row["wall_s"]:.1f}',
            f'{1e3 * row["cpu_s"]:.1f}',
            spread(row['wall_ratio'], 3),
            spread(row['cpu_ratio'], 3),
        )
        for row in results['rows']
    ]
    heading = (
        f'{plan["model"]}, batch {plan["batch_size"]}: iterations with and without {", ".join(results["hooks"])}; '
        'quartiles in brackets.'
    )
    return f'{heading}\n\n{table(("hooks", "wall ms", "CPU ms", "wall / off", "CPU / off"), cells)}'


class _HeldRunner:
    """A Runner between its preparation and its end."""

    def __init__(self, runner: Runner) -> None:
        self.hooks = runner.hooks
        self._runner: Any = runner
        self._call_hook = runner.call_hook
        loader = runner.build_dataloader(runner._train_dataloader)
        iterations = 'IterBased' in str(runner.cfg.train_cfg.type)
        runner._train_loop = (
            _HeldIterations(runner, loader, max_iters=ENDLESS) if iterations else _HeldEpochs(runner, loader, ENDLESS)
        )
        self._runner.call_hook = self._all_but_the_end
        runner.train()

    def _all_but_the_end(self, name: str, **kwargs: Any) -> None:
        if name != 'after_run':
            self._call_hook(name, **kwargs)

    @property
    def train_loop(self) -> Any:
        """The loop."""
        return self._runner.train_loop

    def finish(self) -> None:
        """Lets hooks come to their end."""
        self._call_hook('after_train')
        self._call_hook('after_run')


def _prepared(plan: Plan, folder: str, name: str, repeats: int) -> _HeldRunner:
    cfg = read_config(plan)
    set_data_root(cfg, f'{folder}/images', plan.model)
    loader = cfg.train_dataloader
    loader.update(batch_size=plan.batch_size, num_workers=0, persistent_workers=False)
    if plan.img_size is not None:
        for step in loader.dataset.pipeline:
            if 'size' in step:
                step['size'] = plan.img_size
    if plan.precision is not None:
        cfg.optim_wrapper.precision = plan.precision
    cfg.optim_wrapper.optimizer.lr = LEARNING_RATE
    cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None, param_scheduler=None, log_level='ERROR')
    cfg.work_dir, cfg.experiment_name = str(Path(folder) / name), f'guards-{Path(folder).name}-{name}'
    cfg.default_hooks.update(checkpoint=None)
    cfg.default_hooks.logger.interval = repeats
    if name != 'on':
        _keep_needed(cfg)
    return _HeldRunner(build_runner(cfg))


def _keep_needed(cfg: Config) -> None:
    for each in [each for each in cfg.default_hooks if each not in NEEDED_DEFAULT]:
        del cfg.default_hooks[each]
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks') or [] if hook['type'].rpartition('.')[2] in NEEDED_CUSTOM
    ]
