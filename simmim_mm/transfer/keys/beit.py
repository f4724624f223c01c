"""Keys of the ViT of SimMIM's authors, which is BEiT's: ours are mmpretrain's ``BEiTViT``.

It has a relative position bias, one for all blocks (while pre-training) or one a block, and layer scale.
"""

from __future__ import annotations

from simmim_mm.transfer.keys.rows import Format, Row

_SHARED = 'rel_pos_bias.relative_position_bias_table'

_AUTHORS = (
    Row('cls_token', 'cls_token'),
    Row('pos_embed', 'pos_embed'),
    Row('patch_embed.projection.*', 'patch_embed.proj.*'),
    Row(_SHARED, _SHARED),
    Row('layers.{b}.gamma_1', 'blocks.{b}.gamma_1'),
    Row('layers.{b}.gamma_2', 'blocks.{b}.gamma_2'),
    Row('layers.{b}.ln1.*', 'blocks.{b}.norm1.*'),
    Row('layers.{b}.attn.relative_position_bias_table', 'blocks.{b}.attn.relative_position_bias_table'),
    Row('layers.{b}.attn.q_bias', 'blocks.{b}.attn.q_bias'),
    Row('layers.{b}.attn.v_bias', 'blocks.{b}.attn.v_bias'),
    Row('layers.{b}.attn.qkv.weight', 'blocks.{b}.attn.qkv.weight'),
    Row('layers.{b}.attn.proj.*', 'blocks.{b}.attn.proj.*'),
    Row('layers.{b}.ln2.*', 'blocks.{b}.norm2.*'),
    Row('layers.{b}.ffn.layers.0.0.*', 'blocks.{b}.mlp.fc1.*'),
    Row('layers.{b}.ffn.layers.1.*', 'blocks.{b}.mlp.fc2.*'),
    Row('ln1.*', 'norm.*'),
)

_HF_LAYER = 'encoder.layer.{b}'
_HF_SELF = f'{_HF_LAYER}.attention.attention'
_HF_TABLE = 'relative_position_bias.relative_position_bias_table'
_QKV = (f'{_HF_SELF}.query.weight', f'{_HF_SELF}.key.weight', f'{_HF_SELF}.value.weight')
_HF = (
    Row('cls_token', 'embeddings.cls_token'),
    Row('pos_embed', 'embeddings.position_embeddings'),
    Row('patch_embed.projection.*', 'embeddings.patch_embeddings.projection.*'),
    Row(_SHARED, f'encoder.{_HF_TABLE}'),
    Row('layers.{b}.gamma_1', f'{_HF_LAYER}.lambda_1'),
    Row('layers.{b}.gamma_2', f'{_HF_LAYER}.lambda_2'),
    Row('layers.{b}.ln1.*', f'{_HF_LAYER}.layernorm_before.*'),
    Row('layers.{b}.attn.relative_position_bias_table', f'{_HF_SELF}.{_HF_TABLE}'),
    Row('layers.{b}.attn.q_bias', f'{_HF_SELF}.query.bias'),
    Row('layers.{b}.attn.v_bias', f'{_HF_SELF}.value.bias'),
    Row('layers.{b}.attn.qkv.weight', _QKV),
    Row('layers.{b}.attn.proj.*', f'{_HF_LAYER}.attention.output.dense.*'),
    Row('layers.{b}.ln2.*', f'{_HF_LAYER}.layernorm_after.*'),
    Row('layers.{b}.ffn.layers.0.0.*', f'{_HF_LAYER}.intermediate.dense.*'),
    Row('layers.{b}.ffn.layers.1.*', f'{_HF_LAYER}.output.dense.*'),
    Row('ln1.*', 'layernorm.*'),
)

FORMATS = {
    'simmim': Format(_AUTHORS, prefix='encoder.', mask_token='encoder.mask_token', decoder='decoder.0'),
    'timm': Format(_AUTHORS),
    'hf': Format(_HF, prefix='beit.'),
}
