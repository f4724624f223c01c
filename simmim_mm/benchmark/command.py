"""From the arguments of ``tools/benchmark.py`` to tables."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable, Sequence
from typing import Any

import torch

from simmim_mm.acceleration import check_acceleration
from simmim_mm.benchmark.decode import decode_table, measure_decode
from simmim_mm.benchmark.gpu import gpu_table, measure_gpu, write_markdown
from simmim_mm.benchmark.guards import guards_table, measure_guards
from simmim_mm.benchmark.levers import levers_table, measure_levers
from simmim_mm.benchmark.loader import loader_table, measure_loader
from simmim_mm.benchmark.memory import measure_memory, memory_table
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.quiet import quieten
from simmim_mm.benchmark.results import write_json
from simmim_mm.benchmark.scaling import measure_scaling, plot_scaling, scaling_table
from simmim_mm.benchmark.step import measure_step, step_table
from simmim_mm.engine.config import find_config
from simmim_mm.environment import describe_environment, describe_in_a_line
from simmim_mm.overwriting import refuse_to_overwrite


def read_acceleration(words: Sequence[str]) -> dict[str, Any] | None:
    """Reads ``exact mlp=False attention=sdpa``.

    Args:
        words: A preset, at most, and levers with their values; none for the config's.

    Returns:
        Arguments of :func:`~simmim_mm.acceleration.accelerate`, or None.

    Raises:
        ValueError: If a preset, a lever or a value is unknown.
    """
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition('=')
        if equals:
            try:
                settings[name] = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                settings[name] = value
        elif 'preset' in settings:
            raise ValueError(
                f'--acceleration {" ".join(words)}: two presets, {settings["preset"]} and {word}; keep one'
            )
        else:
            settings['preset'] = word
    return check_acceleration(settings) if settings else None


def choose_device(name: str) -> str:
    """The device to measure on.

    Raises:
        ValueError: If there is no such device, or the machine's default is another one.
    """
    has_cuda = torch.cuda.is_available()
    if name == 'cuda' and not has_cuda:
        raise ValueError('--device cuda: PyTorch finds no CUDA device here; use --device cpu')
    if name == 'cpu' and has_cuda:
        raise ValueError(
            '--device cpu on a machine with CUDA: hide its GPUs, with CUDA_VISIBLE_DEVICES= before the command'
        )
    return 'cuda' if has_cuda else 'cpu'


def make_plan(args: argparse.Namespace) -> Plan:
    """The settings that all kinds of measurements share."""
    return Plan(
        model=args.model,
        batch_size=args.batch_size,
        img_size=args.img_size,
        precision=args.precision,
        acceleration=read_acceleration(args.acceleration),
        drop_path=not args.no_drop_path,
        device=choose_device(args.device),
        threads=args.threads,
        peer_dir=args.peer_dir,
        seed=args.seed,
    )


def run(args: argparse.Namespace) -> str:
    """Measures, writes the JSON file where one is asked for, and returns what is to be printed."""
    quieten()
    if args.what == 'gpu' and args.device != 'cpu' and not torch.cuda.is_available():
        raise ValueError('gpu measures CUDA devices, and PyTorch finds none here; run it on a machine that has one')
    plan = make_plan(args)
    if args.json is not None:
        refuse_to_overwrite(args.json, '--json', [find_config(plan.model)])
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    environment = describe_environment(plan.device)
    results, text = KINDS[args.what](plan, args)
    if args.json is not None:
        write_json(args.json, {'what': args.what, 'environment': environment, 'results': results})
    heading = describe_in_a_line(environment)
    if args.what == 'gpu' and args.json is not None:
        write_markdown(f'{args.json.removesuffix(".json")}.md', heading, text)
    return f'{heading}\n\n{text}'


def _step(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    results = measure_step(plan, args.against or ['plain'], args.rounds, _repeats(plan, args), args.isolate)
    return results, step_table(results)


def _memory(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    results = measure_memory(plan, args.against or ['mmpretrain'])
    return results, memory_table(results)


def _levers(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    results = measure_levers(plan, args.levers, args.rounds, _repeats(plan, args))
    return results, levers_table(results)


def _loader(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    results = measure_loader(rounds=args.rounds)
    return results, loader_table(results)


def _decode(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    results = measure_decode(rounds=args.rounds)
    return results, decode_table(results)


def _scaling(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    if args.plot is not None:
        refuse_to_overwrite(args.plot, '--plot', [find_config(plan.model)])
    results = measure_scaling(
        plan, args.img_sizes, args.batch_sizes, args.archs, rounds=args.rounds, repeats=_repeats(plan, args)
    )
    if args.plot is not None:
        plot_scaling(results, args.plot)
    return results, scaling_table(results)


def _guards(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    results = measure_guards(plan, args.rounds, args.repeats or 10)
    return results, guards_table(results)


def _gpu(plan: Plan, args: argparse.Namespace) -> tuple[Any, str]:
    results = measure_gpu(
        plan, args.batch_sizes, args.against or ['mmpretrain'], args.rounds, repeats=_repeats(plan, args)
    )
    return results, gpu_table(results)


def _repeats(plan: Plan, args: argparse.Namespace) -> int:
    return args.repeats or (10 if plan.device == 'cuda' else 1)


KINDS: dict[str, Callable[[Plan, argparse.Namespace], tuple[Any, str]]] = {
    'step': _step,
    'memory': _memory,
    'levers': _levers,
    'loader': _loader,
    'decode': _decode,
    'scaling': _scaling,
    'guards': _guards,
    'gpu': _gpu,
}
