"""Attention in shifted windows in one kernel: an operator of PyTorch, and a lever for Swin and Swin V2."""

from simmim_mm.acceleration.window_attention.op import window_attention
from simmim_mm.acceleration.window_attention.plans import device_refusal, is_interpreted, refusal

__all__ = ['device_refusal', 'is_interpreted', 'refusal', 'window_attention']
