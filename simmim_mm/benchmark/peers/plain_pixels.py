"""What all other code bases have: L1 on raw pixels, behind a linear decoder."""

from __future__ import annotations

from simmim_mm.benchmark.candidates import Setup


def check_plain_pixels(setup: Setup, peer: str, window_norm: bool = False) -> None:
    """Checks that a config asks for what others have: L1 on the pixels of what is hidden, by a linear decoder.

    Args:
        setup: What all share.
        peer: Its name, for the message.
        window_norm: Whether it knows pixels normalised by the window around them.

    Raises:
        ValueError: If the config asks for more.
    """
    model = setup.reference
    names = [type(part).__name__ for part in (model.masker, model.neck, model.head.target, model.head.loss_fn)]
    norm = getattr(model.head.target, 'norm', None)
    fits = names == ['TokenMasker', 'LinearDecoder', 'PixelTarget', 'L1Loss'] and model.companion is None
    if not fits or model.head.area != 'hidden' or norm not in ((None, 'window') if window_norm else (None,)):
        raise ValueError(
            f'{peer} has no such SimMIM ({", ".join(names)}, norm={norm!r}): it reconstructs raw pixels with L1 behind '
            'a linear decoder; use --against plain'
        )
