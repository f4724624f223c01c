"""SimMIM pre-training of ResNet-50 for 100 epochs at 192 px.

Run:      bash tools/dist_train.sh configs/simmim_resnet50.py 8
Result:   none published for this size; the recipe is that of simmim_swin_base.py.

The token replaces cells of the stem after its max pooling (4 px). The stem's kernels overlap, so hidden pixels are set
to the mean colour as well: no visible cell sees a hidden pixel.
"""

_base_ = 'simmim_swin_base.py'

model = dict(backbone=dict(_delete_=True, type='mmpretrain.ResNet', depth=50))
