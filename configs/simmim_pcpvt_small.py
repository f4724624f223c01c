"""SimMIM pre-training of Twins-PCPVT-S, a hierarchical transformer without windows, for 100 epochs at 192 px.

Paper:    Twins, https://arxiv.org/abs/2104.13840
Run:      bash tools/dist_train.sh configs/simmim_pcpvt_small.py 8
Result:   none published for this encoder; the recipe is that of simmim_swin_base.py.
"""

_base_ = 'simmim_swin_base.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.PCPVT',
        arch='small',
        qkv_bias=True,
        norm_cfg=dict(type='LN', eps=1e-6),
        norm_after_stage=[False, False, False, True],
        drop_path_rate=0.0,
    )
)
