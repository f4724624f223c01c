"""Fine-tuning of Swin-B on ImageNet at 224 px, pre-trained for 800 epochs at 192 px.

Recipe:   https://github.com/microsoft/SimMIM, simmim_finetune__swin_base__img224_window7__800ep
Weights:  python tools/export_backbone.py work_dirs/simmim_swin_base_800e/epoch_800.pth work_dirs/backbone.pth
              --to mmpretrain --window-size 7 --img-size 224
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_base_w7_224px_from_800e.py 8
              --pretrained work_dirs/backbone.pth
Result:   84.0 % top-1 (published).
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
