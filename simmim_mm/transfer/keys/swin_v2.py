"""Keys of Swin Transformer V2 in the code bases that have it; ours are mmpretrain's ``SwinTransformerV2``."""

from __future__ import annotations

from simmim_mm.transfer.keys.rows import Format, Row

_BLOCK, _THEIR_BLOCK = 'stages.{s}.blocks.{b}', 'layers.{s}.blocks.{b}'

_BLOCKS = (
    Row('patch_embed.projection.*', 'patch_embed.proj.*'),
    Row('patch_embed.norm.*', 'patch_embed.norm.*'),
    Row(f'{_BLOCK}.attn.w_msa.logit_scale', f'{_THEIR_BLOCK}.attn.logit_scale'),
    Row(f'{_BLOCK}.attn.w_msa.q_bias', f'{_THEIR_BLOCK}.attn.q_bias'),
    Row(f'{_BLOCK}.attn.w_msa.v_bias', f'{_THEIR_BLOCK}.attn.v_bias'),
    Row(f'{_BLOCK}.attn.w_msa.cpb_mlp.0.*', f'{_THEIR_BLOCK}.attn.cpb_mlp.0.*'),
    Row(f'{_BLOCK}.attn.w_msa.cpb_mlp.2.weight', f'{_THEIR_BLOCK}.attn.cpb_mlp.2.weight'),
    Row(f'{_BLOCK}.attn.w_msa.qkv.weight', f'{_THEIR_BLOCK}.attn.qkv.weight'),
    Row(f'{_BLOCK}.attn.w_msa.proj.*', f'{_THEIR_BLOCK}.attn.proj.*'),
    Row(f'{_BLOCK}.norm1.*', f'{_THEIR_BLOCK}.norm1.*'),
    Row(f'{_BLOCK}.ffn.layers.0.0.*', f'{_THEIR_BLOCK}.mlp.fc1.*'),
    Row(f'{_BLOCK}.ffn.layers.1.*', f'{_THEIR_BLOCK}.mlp.fc2.*'),
    Row(f'{_BLOCK}.norm2.*', f'{_THEIR_BLOCK}.norm2.*'),
    Row('norm{last}.*', 'norm.*'),
)
# Patch merging stands at the end of a stage in microsoft/Swin-Transformer, and at the beginning of the next one here
# and in timm. Its norm comes after the reduction, so the order of the four cells does not matter to it.
_AUTHORS = (
    *_BLOCKS,
    Row('absolute_pos_embed', 'absolute_pos_embed'),
    Row('stages.{j}.downsample.norm.*', 'layers.{j-1}.downsample.norm.*'),
    Row('stages.{j}.downsample.reduction.weight', 'layers.{j-1}.downsample.reduction.weight', 'merging'),
)
_TIMM = (
    *_BLOCKS,
    Row('stages.{j}.downsample.norm.*', 'layers.{j}.downsample.norm.*'),
    Row('stages.{j}.downsample.reduction.weight', 'layers.{j}.downsample.reduction.weight', 'merging'),
)

_HF_BLOCK = 'encoder.layers.{s}.blocks.{b}'
_HF_SELF = f'{_HF_BLOCK}.attention.self'
_HF_MLP = f'{_HF_SELF}.continuous_position_bias_mlp'
_QKV = (f'{_HF_SELF}.query.weight', f'{_HF_SELF}.key.weight', f'{_HF_SELF}.value.weight')
_HF = (
    Row('patch_embed.projection.*', 'embeddings.patch_embeddings.projection.*'),
    Row('patch_embed.norm.*', 'embeddings.norm.*'),
    Row('absolute_pos_embed', 'embeddings.position_embeddings'),
    Row(f'{_BLOCK}.attn.w_msa.logit_scale', f'{_HF_SELF}.logit_scale'),
    Row(f'{_BLOCK}.attn.w_msa.q_bias', f'{_HF_SELF}.query.bias'),
    Row(f'{_BLOCK}.attn.w_msa.v_bias', f'{_HF_SELF}.value.bias'),
    Row(f'{_BLOCK}.attn.w_msa.cpb_mlp.0.*', f'{_HF_MLP}.0.*'),
    Row(f'{_BLOCK}.attn.w_msa.cpb_mlp.2.weight', f'{_HF_MLP}.2.weight'),
    Row(f'{_BLOCK}.attn.w_msa.qkv.weight', _QKV),
    Row(f'{_BLOCK}.attn.w_msa.proj.*', f'{_HF_BLOCK}.attention.output.dense.*'),
    Row(f'{_BLOCK}.norm1.*', f'{_HF_BLOCK}.layernorm_before.*'),
    Row(f'{_BLOCK}.ffn.layers.0.0.*', f'{_HF_BLOCK}.intermediate.dense.*'),
    Row(f'{_BLOCK}.ffn.layers.1.*', f'{_HF_BLOCK}.output.dense.*'),
    Row(f'{_BLOCK}.norm2.*', f'{_HF_BLOCK}.layernorm_after.*'),
    Row('stages.{j}.downsample.norm.*', 'encoder.layers.{j-1}.downsample.norm.*'),
    Row('stages.{j}.downsample.reduction.weight', 'encoder.layers.{j-1}.downsample.reduction.weight', 'merging'),
    Row('norm{last}.*', 'layernorm.*'),
)

_ALIASES = {'.rpe_mlp.': '.cpb_mlp.'}

FORMATS = {
    'simmim': Format(
        _AUTHORS, prefix='encoder.', mask_token='encoder.mask_token', decoder='decoder.0', aliases=_ALIASES
    ),
    'swin-transformer': Format(_AUTHORS, aliases=_ALIASES),
    'timm': Format(_TIMM),
    'hf': Format(_HF, prefix='swinv2.', mask_token='swinv2.embeddings.mask_token', decoder='decoder.0'),
}
