"""What makers publish of their GPUs: a table of data."""

from __future__ import annotations

from typing import NamedTuple


class Gpu(NamedTuple):
    """One GPU of a machine of eight.

    Attributes:
        tflops: Dense bf16 tensor operations, 10^12 a second; without sparsity.
        memory: GB, 10^9 bytes.
        memory_bandwidth: GB a second.
        link: GB a second in one direction to the other GPUs of the machine; half of what is published for both.
        network: GB a second in one direction to other machines, for each GPU.
        sources: Where this stands.
    """

    tflops: float
    memory: float
    memory_bandwidth: float
    link: float
    network: float
    sources: tuple[str, ...]


GPUS_PER_NODE = 8

# The network is that of NVIDIA's own machines: a 200 Gb/s adapter a GPU in DGX A100, 400 Gb/s in DGX H100 and H200.
GPUS = {
    'a100-40gb': Gpu(
        312, 40, 1555, 300, 25,
        ('https://www.nvidia.com/en-us/data-center/a100/', 'https://docs.nvidia.com/dgx/dgxa100-user-guide/'),
    ),
    'a100': Gpu(
        312, 80, 2039, 300, 25,
        ('https://www.nvidia.com/en-us/data-center/a100/', 'https://docs.nvidia.com/dgx/dgxa100-user-guide/'),
    ),
    'h100': Gpu(
        989, 80, 3350, 450, 50,
        ('https://www.nvidia.com/en-us/data-center/h100/', 'https://docs.nvidia.com/dgx/dgxh100-user-guide/'),
    ),
    'h200': Gpu(
        989, 141, 4800, 450, 50,
        ('https://www.nvidia.com/en-us/data-center/h200/', 'https://docs.nvidia.com/dgx/dgxh100-user-guide/'),
    ),
}  # fmt: skip
