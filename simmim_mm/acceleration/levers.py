"""Which levers there are: a table of data. A new lever is a file and a row."""

from __future__ import annotations

from typing import Any, NamedTuple

# From the plain path to all that is known to be faster; 'exact' changes no number beyond rounding.
PRESETS = ('off', 'exact', 'max')
DEVICES = ('cpu', 'cuda')


class Lever(NamedTuple):
    """One way to make a step cheaper.

    Attributes:
        module: Path below ``simmim_mm.acceleration``. The module has ``apply(model, value) -> str``, which changes the
            built model in place, and says in one line what it did and to how many modules, or why it does not apply.
            It is imported when the lever is on.
        exact: Whether loss and gradients stay those of the plain path, to rounding.
        values: What it can be set to beside False. None where the module has ``check(value)``, which raises a
            ``ValueError``.
        presets: What each preset sets it to; False for one that is not named.
        devices: Where presets switch it on. By its own key it can be switched on anywhere.
    """

    module: str
    exact: bool
    values: tuple[Any, ...] | None = (True,)
    presets: dict[str, Any] = {}  # noqa: RUF012  (a default, never changed)
    devices: tuple[str, ...] = DEVICES


# Preset -> value of a lever that both switch on.
ALWAYS: dict[str, Any] = {'exact': True, 'max': True}

# Name of the lever -> the lever, in the order in which they are applied.
LEVERS: dict[str, Lever] = {
    'windows': Lever('windows', exact=True, presets=ALWAYS),
    'attention': Lever(
        'attention', exact=True, values=('auto', 'sdpa', 'matmul', 'triton'), presets={'exact': 'auto', 'max': 'auto'}
    ),
    'merging': Lever('merging', exact=True, presets=ALWAYS),
    # Changes numbers. Before what computes linear layers itself, which leaves alone those that it changed. Not measured
    # on a GPU yet.
    'fp8': Lever('fp8', exact=False, values=None),
    'mlp': Lever('mlp', exact=True, presets=ALWAYS),
    'norms': Lever('norms', exact=True, presets=ALWAYS),
    'channels_last': Lever('channels_last', exact=True, presets=ALWAYS, devices=('cuda',)),
    # Trades time for memory, so no preset has it. After what changes the inside of blocks.
    'activation_checkpointing': Lever('activation_checkpointing', exact=True, values=None),
    # Changes numbers.
    'bf16_residual': Lever('bf16_residual', exact=False),
    # Changes the class of the model itself, when all parts of it are what they will be. Not measured on a GPU yet.
    'compile': Lever(
        'compilation',
        exact=True,
        values=(True, 'regions', 'reduce-overhead', 'max-autotune', 'max-autotune-no-cudagraphs'),
        presets={'max': True},
        devices=('cuda',),
    ),
    'cells': Lever('cells', exact=True, presets=ALWAYS, devices=('cuda',)),
    # After 'cells', which changes the same class.
    'prefetch': Lever('prefetch', exact=True, presets=ALWAYS, devices=('cuda',)),
    'allocator': Lever('allocator', exact=True, presets=ALWAYS, devices=('cpu',)),
}
