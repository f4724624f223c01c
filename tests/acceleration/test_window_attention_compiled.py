"""The Triton kernels compile to machine code, without a GPU, and fit into registers and shared memory.

``python tests/acceleration/test_window_attention_compiled.py`` prints the table of docs/window_attention.md.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

triton = pytest.importorskip('triton', minversion='3.7')  # older ones have another interface

from simmim_mm.acceleration.window_attention.plans import is_interpreted, plan_kernels  # noqa: E402

pytestmark = pytest.mark.skipif(is_interpreted(), reason='the interpreter compiles nothing')

KERNELS = {
    'forward_kernel': 'forward_kernel',
    'backward_kernel': 'backward_kernel',
    'backward_queries_kernel': 'backward_blocks',
    'backward_keys_kernel': 'backward_blocks',
    'backward_bias_kernel': 'backward_bias',
}
INTEGERS = ('num_windows', 'num_groups', 'height', 'width', 'shift_h', 'shift_w')
IN_PRECISION = ('grad', 'qkv', 'out', 'grad_qkv')


class Compiled(NamedTuple):
    ptx: str
    registers: int
    spilled: int  # bytes
    shared: int  # bytes


def compile_kernel(name, side, dtype='bf16', cosine=False, capability=90, head_width=32, num_heads=4) -> Compiled:
    """One kernel for shifted windows, as `launch.py` has it compiled, and what NVIDIA's assembler says of it."""
    import importlib

    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(f'simmim_mm.acceleration.window_attention.{KERNELS[name]}'), name)
    plan = plan_kernels(side**2, head_width)
    constants = dict(
        HEADS=num_heads,
        HEAD_DIM=head_width,
        WINDOW_H=side,
        WINDOW_W=side,
        BLOCK_M=plan.block_m,
        BLOCK_N=plan.block_n,
        BLOCK_D=plan.block_d,
        SHIFTED=True,
        COSINE=cosine,
        PRECISION='tf32x3',
    )
    constants = {key: value for key, value in constants.items() if key in kernel.arg_names}
    signature = {}
    for argument in kernel.arg_names:
        if argument in constants:
            signature[argument] = 'constexpr'
        elif argument in INTEGERS:
            signature[argument] = 'i32'
        elif argument == 'scale':
            signature[argument] = 'fp32'
        else:
            signature[argument] = f'*{dtype}' if argument in IN_PRECISION else '*fp32'
    aligned = {
        (place,): [['tt.divisibility', 16]]
        for place, argument in enumerate(kernel.arg_names)
        if signature[argument].startswith('*')
    }
    options = dict(num_warps=plan.num_warps, num_stages=plan.num_stages)
    source = ASTSource(kernel, signature, constants, aligned)
    compiled = triton.compile(source, target=GPUTarget('cuda', capability, 32), options=options)
    ptxas = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin' / 'ptxas'
    with tempfile.NamedTemporaryFile('w', suffix='.ptx') as file:
        file.write(compiled.asm['ptx'])
        file.flush()
        architecture = f'sm_{capability}a' if capability >= 90 else f'sm_{capability}'
        command = [str(ptxas), '-v', f'--gpu-name={architecture}', file.name, '-o', '/dev/null']
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spilled = (
        int(re.search(text, report)[1]) for text in (r'Used (\d+) registers', r'(\d+) bytes spill st')
    )
    return Compiled(compiled.asm['ptx'], registers, spilled, compiled.metadata.shared)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))


@pytest.mark.parametrize(
    ('name', 'side', 'cosine', 'capability'),
    [
        ('forward_kernel', 6, False, 90),
        ('backward_kernel', 6, False, 80),
        ('backward_kernel', 8, True, 90),
        ('forward_kernel', 12, True, 80),
        ('backward_queries_kernel', 12, True, 90),
        ('backward_keys_kernel', 14, False, 90),
        ('backward_bias_kernel', 12, True, 90),
    ],
)
def test_kernels_compile_and_fit(name, side, cosine, capability):
    compiled = compile_kernel(name, side, cosine=cosine, capability=capability)
    assert re.search(r'wgmma\.mma|mma\.sync', compiled.ptx), 'no tensor cores'
    assert ' red.' not in compiled.ptx
    assert 'atom.' not in compiled.ptx
    assert compiled.spilled <= 128
    assert compiled.shared <= 64 * 1024  # at least two programs on a processor of an A100 or H100


if __name__ == '__main__':
    print('| kernel | window | head | precision | scores | device | registers | spilled | shared |')
    for side, width, dtype in [(6, 32, 'bf16'), (7, 32, 'bf16'), (8, 32, 'bf16'), (12, 32, 'bf16'), (6, 32, 'fp32')]:
        for name in KERNELS:
            if ('blocks' in KERNELS[name] or 'bias' in KERNELS[name]) != (side > 8) and name != 'forward_kernel':
                continue
            for capability, cosine in [(90, False), (90, True), (80, False)]:
                row = compile_kernel(name, side, dtype, cosine, capability, width)
                kind = 'cosines' if cosine else 'products'
                cells = (name, f'{side}x{side}', width, dtype, kind, f'sm_{capability}', *row[1:])
                print('|', ' | '.join(map(str, cells)), '|', flush=True)
