"""SimMIM pre-training of an encoder of timm's, here PVT V2-B2, for 100 epochs at 192 px.

Needs:    pip install timm
Paper:    PVT V2, https://arxiv.org/abs/2106.13797
Run:      bash tools/dist_train.sh configs/simmim_timm_pvtv2_b2.py 8
Result:   none published for this encoder; the recipe is that of simmim_swin_base.py.

For another model, change `model_name` and say where its stem is: masker=dict(stem='timm_model.stem_1') for a ConvNeXt.
A wrong one is refused with the names that there are. The cells of this stem overlap, and those of timm's models are
taken to: hidden pixels are set to the mean colour as well. See docs/encoders.md.
"""

_base_ = 'simmim_swin_base.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='pvt_v2_b2',
        features_only=True,
        pretrained=False,
        drop_path_rate=0.0,
    )
)
