"""Keys of Swin Transformer (V1) in the code bases that have it; ours are mmpretrain's ``SwinTransformer``."""

from __future__ import annotations

from simmim_mm.transfer.keys.rows import Format, Row

_BLOCK, _THEIR_BLOCK = 'stages.{s}.blocks.{b}', 'layers.{s}.blocks.{b}'

# microsoft/SimMIM and microsoft/Swin-Transformer; timm has the same names, but patch merging in the stage after.
_BLOCKS = (
    Row('patch_embed.projection.*', 'patch_embed.proj.*'),
    Row('patch_embed.norm.*', 'patch_embed.norm.*'),
    Row(f'{_BLOCK}.norm1.*', f'{_THEIR_BLOCK}.norm1.*'),
    Row(f'{_BLOCK}.attn.w_msa.relative_position_bias_table', f'{_THEIR_BLOCK}.attn.relative_position_bias_table'),
    Row(f'{_BLOCK}.attn.w_msa.qkv.*', f'{_THEIR_BLOCK}.attn.qkv.*'),
    Row(f'{_BLOCK}.attn.w_msa.proj.*', f'{_THEIR_BLOCK}.attn.proj.*'),
    Row(f'{_BLOCK}.norm2.*', f'{_THEIR_BLOCK}.norm2.*'),
    Row(f'{_BLOCK}.ffn.layers.0.0.*', f'{_THEIR_BLOCK}.mlp.fc1.*'),
    Row(f'{_BLOCK}.ffn.layers.1.*', f'{_THEIR_BLOCK}.mlp.fc2.*'),
    Row('norm{last}.*', 'norm.*'),
)
_AUTHORS = (
    *_BLOCKS,
    Row('absolute_pos_embed', 'absolute_pos_embed'),
    Row('stages.{i}.downsample.norm.*', 'layers.{i}.downsample.norm.*', 'merging'),
    Row('stages.{i}.downsample.reduction.weight', 'layers.{i}.downsample.reduction.weight', 'merging'),
)
_TIMM = (
    *_BLOCKS,
    Row('stages.{i}.downsample.norm.*', 'layers.{i+1}.downsample.norm.*', 'merging'),
    Row('stages.{i}.downsample.reduction.weight', 'layers.{i+1}.downsample.reduction.weight', 'merging'),
)

_HF_BLOCK = 'encoder.layers.{s}.blocks.{b}'
_HF_SELF = f'{_HF_BLOCK}.attention.self'
_HF = (
    Row('patch_embed.projection.*', 'embeddings.patch_embeddings.projection.*'),
    Row('patch_embed.norm.*', 'embeddings.norm.*'),
    Row('absolute_pos_embed', 'embeddings.position_embeddings'),
    Row(f'{_BLOCK}.norm1.*', f'{_HF_BLOCK}.layernorm_before.*'),
    Row(f'{_BLOCK}.attn.w_msa.relative_position_bias_table', f'{_HF_SELF}.relative_position_bias_table'),
    Row(f'{_BLOCK}.attn.w_msa.qkv.*', (f'{_HF_SELF}.query.*', f'{_HF_SELF}.key.*', f'{_HF_SELF}.value.*')),
    Row(f'{_BLOCK}.attn.w_msa.proj.*', f'{_HF_BLOCK}.attention.output.dense.*'),
    Row(f'{_BLOCK}.norm2.*', f'{_HF_BLOCK}.layernorm_after.*'),
    Row(f'{_BLOCK}.ffn.layers.0.0.*', f'{_HF_BLOCK}.intermediate.dense.*'),
    Row(f'{_BLOCK}.ffn.layers.1.*', f'{_HF_BLOCK}.output.dense.*'),
    Row('stages.{i}.downsample.norm.*', 'encoder.layers.{i}.downsample.norm.*', 'merging'),
    Row('stages.{i}.downsample.reduction.weight', 'encoder.layers.{i}.downsample.reduction.weight', 'merging'),
    Row('norm{last}.*', 'layernorm.*'),
)

FORMATS = {
    'simmim': Format(_AUTHORS, prefix='encoder.', mask_token='encoder.mask_token', decoder='decoder.0'),
    'swin-transformer': Format(_AUTHORS),
    'timm': Format(_TIMM),
    'hf': Format(_HF, prefix='swin.', mask_token='swin.embeddings.mask_token', decoder='decoder.0'),
}
