"""Key tables: one file a family of encoders, with every other code base that has it."""

from simmim_mm.transfer.keys import beit, swin, swin_v2, vit
from simmim_mm.transfer.keys.rows import Format, Row, known_keys, to_ours, to_theirs

_TABLES = {
    'SwinTransformer': swin.FORMATS,
    'SwinTransformerV2': swin_v2.FORMATS,
    'VisionTransformer': vit.FORMATS,
    'BEiTViT': beit.FORMATS,
}


def _mmpretrain(formats: dict[str, Format]) -> Format:
    """Mmpretrain's own format: keys as here, but for the mask token; older files call the last norm ``norm``."""
    rows = dict.fromkeys(row.ours for table in formats.values() for row in table.rows)
    old = tuple(Row(ours, 'norm.*') for ours in rows if ours == 'norm{last}.*')
    return Format(
        (*(Row(ours, ours) for ours in rows), *old),
        prefix='backbone.',
        mask_token='backbone.mask_token',
        decoder='neck.decoder.0',
    )


# Class of mmpretrain -> format -> its keys.
FAMILIES = {name: {**formats, 'mmpretrain': _mmpretrain(formats)} for name, formats in _TABLES.items()}
FORMAT_NAMES = ('simmim', 'swin-transformer', 'mmpretrain', 'hf', 'timm')
# Keys that other code bases have beside the encoder: classifiers and poolers.
HEADS = ('head.', 'classifier.', 'pooler.', 'fc_norm.')

__all__ = ['FAMILIES', 'FORMAT_NAMES', 'HEADS', 'Format', 'Row', 'known_keys', 'to_ours', 'to_theirs']
