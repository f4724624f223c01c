"""Keys of the plain ViT, with absolute positions; ours are mmpretrain's ``VisionTransformer``."""

from __future__ import annotations

from simmim_mm.transfer.keys.rows import Format, Row

_TIMM = (
    Row('cls_token', 'cls_token'),
    Row('pos_embed', 'pos_embed'),
    Row('patch_embed.projection.*', 'patch_embed.proj.*'),
    Row('layers.{b}.ln1.*', 'blocks.{b}.norm1.*'),
    Row('layers.{b}.attn.qkv.*', 'blocks.{b}.attn.qkv.*'),
    Row('layers.{b}.attn.proj.*', 'blocks.{b}.attn.proj.*'),
    Row('layers.{b}.ln2.*', 'blocks.{b}.norm2.*'),
    Row('layers.{b}.ffn.layers.0.0.*', 'blocks.{b}.mlp.fc1.*'),
    Row('layers.{b}.ffn.layers.1.*', 'blocks.{b}.mlp.fc2.*'),
    Row('ln1.*', 'norm.*'),
)

_HF_LAYER = 'encoder.layer.{b}'
_HF_SELF = f'{_HF_LAYER}.attention.attention'
_HF = (
    Row('cls_token', 'embeddings.cls_token'),
    Row('pos_embed', 'embeddings.position_embeddings'),
    Row('patch_embed.projection.*', 'embeddings.patch_embeddings.projection.*'),
    Row('layers.{b}.ln1.*', f'{_HF_LAYER}.layernorm_before.*'),
    Row('layers.{b}.attn.qkv.*', (f'{_HF_SELF}.query.*', f'{_HF_SELF}.key.*', f'{_HF_SELF}.value.*')),
    Row('layers.{b}.attn.proj.*', f'{_HF_LAYER}.attention.output.dense.*'),
    Row('layers.{b}.ln2.*', f'{_HF_LAYER}.layernorm_after.*'),
    Row('layers.{b}.ffn.layers.0.0.*', f'{_HF_LAYER}.intermediate.dense.*'),
    Row('layers.{b}.ffn.layers.1.*', f'{_HF_LAYER}.output.dense.*'),
    Row('ln1.*', 'layernorm.*'),
)

FORMATS = {
    'timm': Format(_TIMM),
    'hf': Format(_HF, prefix='vit.', mask_token='vit.embeddings.mask_token', decoder='decoder.0'),
}
