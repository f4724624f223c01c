"""From counts and published hardware to memory, time and communication of a run."""

from __future__ import annotations

from typing import NamedTuple

from simmim_mm.planning.counts import Counts
from simmim_mm.planning.hardware import GPUS_PER_NODE, Gpu

# Bytes of fp32, in which weights, gradients and the two moments of AdamW are kept; and of bf16.
WIDE, NARROW = 4, 2
STRATEGIES = ('DDP', 'FSDP2', 'HSDP')


class Assumptions(NamedTuple):
    """What no count tells; a measured value takes the place of each.

    Attributes:
        mfu: Share of the published operations a second that the model's own operations reach.
        link_share: Share of the published bandwidth that collectives reach.
        memory_share: Share of the memory that tensors can have; the rest is the driver's, workspace and fragments.
    """

    mfu: float = 0.3
    link_share: float = 0.7
    memory_share: float = 0.9


class Plan(NamedTuple):
    """An estimate for one way to run. Bytes and seconds, for one GPU and one step.

    Attributes:
        weights: Weights as they are kept.
        gradients: Their gradients.
        optimizer: Both moments of AdamW.
        buffers: What communication takes besides: DDP's buckets; weights that FSDP2 has gathered, and their gradients.
        activations: What waits for the backward pass.
        largest_batch: Images a GPU that fit beside the rest; 0 if none do.
        compute: Time of forward and backward pass.
        communication: Time of the collectives, one after another, were there nothing else.
        step: Time of the step: what of the collectives cannot hide behind computing comes on top.
        sent: Bytes that a GPU sends.
    """

    weights: float
    gradients: float
    optimizer: float
    buffers: float
    activations: float
    largest_batch: int
    compute: float
    communication: float
    step: float
    sent: float

    @property
    def memory(self) -> float:
        """All bytes."""
        return self.weights + self.gradients + self.optimizer + self.buffers + self.activations


def estimate(
    counts: Counts,
    gpu: Gpu,
    gpus: int,
    batch: int,
    strategy: str,
    checkpointing: bool,
    assumptions: Assumptions | None = None,
) -> Plan:
    """Estimates a step of a run in bf16 with AdamW.

    DDP averages gradients in fp32 (all-reduce, 2 (N - 1) / N of their bytes from each GPU) behind the backward pass.
    FSDP2 gathers weights in bf16 before the forward and the backward pass, and reduces gradients in fp32
    ((N - 1) / N of the bytes each; Rajbhandari et al., ZeRO, https://arxiv.org/abs/1910.02054, section 7). HSDP
    does this inside each of the M = N / 8 machines, and averages the eighth that a GPU keeps of the gradients over
    machines (all-reduce, 2 (M - 1) / M of its bytes), behind the backward pass and beside what goes on inside.

    What all GPUs do together goes between machines by all adapters of a machine at once, as NCCL's rings do; of HSDP,
    each GPU has a group of its own, and its own adapter. Latency, which grows with the GPUs of a group, is not in it.

    Args:
        counts: Of the model.
        gpu: The hardware.
        gpus: N, how many of it.
        batch: Images for each GPU.
        strategy: One of :data:`STRATEGIES`; for HSDP, N must be :func:`possible`.
        checkpointing: Whether blocks are computed again in the backward pass.
        assumptions: See there.

    Returns:
        The estimate.
    """
    assumed = assumptions or Assumptions()
    values, sharded = counts.parameters, strategy != 'DDP'
    shard_size = {'DDP': 1, 'FSDP2': gpus, 'HSDP': GPUS_PER_NODE}[strategy]
    own = WIDE * values / shard_size
    if sharded:
        # Two units at once, as the next one is gathered ahead: weights, their gradients, and those in fp32 to send.
        buffers = 2 * counts.largest_unit * (2 * NARROW + WIDE) + counts.rest * (2 * NARROW + WIDE)
    else:
        buffers = WIDE * values if gpus > 1 else 0
    kept = counts.checkpointed if checkpointing else counts.plain
    again = counts.largest_block.per_image if checkpointing else 0
    fixed = 0 if sharded else kept.fixed + (counts.largest_block.fixed if checkpointing else 0)
    per_image = kept.per_image + again
    room = assumed.memory_share * gpu.memory * 1e9 - 4 * own - buffers - fixed

    speed = gpu.tflops * 1e12 * assumed.mfu
    forward = counts.forward * batch / speed
    backward = (counts.backward + (counts.recomputed if checkpointing else 0)) * batch / speed
    link, network = (rate * 1e9 * assumed.link_share for rate in (gpu.link, gpu.network))
    # Rings over whole machines go through the adapters of all their GPUs at once.
    whole = min(link, network * (gpus % GPUS_PER_NODE or GPUS_PER_NODE)) if gpus > GPUS_PER_NODE else link
    # Among those that share a copy, and between copies: of DDP, each GPU has one; of FSDP2 there is one.
    inside = link if strategy == 'HSDP' else whole
    across = network if strategy == 'HSDP' else whole
    gathered, reduced = (_share(shard_size) * size * values for size in (NARROW, WIDE))
    averaged = 2 * _share(gpus // shard_size) * own
    step = max(forward, gathered / inside) + max(backward, (gathered + reduced) / inside, averaged / across)
    communication = (2 * gathered + reduced) / inside + averaged / across
    # AdamW reads weights, gradients and moments, and writes all but the gradients.
    step += 7 * own / (gpu.memory_bandwidth * 1e9)
    return Plan(
        own, own, 2 * own, buffers, fixed + per_image * batch, max(0, int(room // per_image)),
        forward + backward, communication, step, 2 * gathered + reduced + averaged,
    )  # fmt: skip


def possible(strategy: str, gpus: int) -> bool:
    """Whether a strategy is another one than those before it: HSDP needs several whole machines."""
    return strategy != 'HSDP' or (gpus > GPUS_PER_NODE and gpus % GPUS_PER_NODE == 0)


def _share(number: int) -> float:
    """What of a tensor a process sends when it is gathered from a number of them, or reduced to their parts."""
    return (number - 1) / number
