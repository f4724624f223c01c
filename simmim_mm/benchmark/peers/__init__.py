"""Steps of other code bases on the same weights, images and masks; and the table of them."""

from __future__ import annotations

import importlib

from simmim_mm.benchmark.candidates import Candidate, OwnCandidate, PlainCandidate, Setup

# Name -> module here and its class. They are imported when they are asked for, as what they need may be missing.
PEERS = {
    'mmpretrain': ('mmpretrain', 'MMPretrainCandidate'),
    'simmim': ('authors', 'AuthorsCandidate'),
    'hf': ('hf', 'HuggingFaceCandidate'),
}
NAMES = (*PEERS, 'plain')


def build_candidate(setup: Setup, name: str) -> Candidate:
    """Builds one way to take a step.

    Args:
        setup: What all share.
        name: ``'ours'``, ``'plain'`` or a peer.

    Raises:
        ValueError: If it is unknown, or has no such model.
        ImportError: If it is not installed.
    """
    if name == 'ours':
        return OwnCandidate(setup)
    if name == 'plain':
        return PlainCandidate(setup)
    if name not in PEERS:
        raise ValueError(f'--against {name!r} is unknown; use one of {", ".join(NAMES)}')
    module, kind = PEERS[name]
    return getattr(importlib.import_module(f'simmim_mm.benchmark.peers.{module}'), kind)(setup)
