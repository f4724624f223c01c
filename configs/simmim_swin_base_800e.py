"""SimMIM pre-training of Swin-B for 800 epochs at 192 px.

Recipe:   https://github.com/microsoft/SimMIM, simmim_pretrain__swin_base__img192_window6__800ep
Run:      bash tools/dist_train.sh configs/simmim_swin_base_800e.py 8
Result:   84.0 % top-1 on ImageNet after fine-tuning at 224 px (published).

Differs from simmim_swin_base.py in the schedule alone: half the learning rate, constant after the warm-up, a tenth of
it from epoch 700 on.
"""

_base_ = ['simmim_swin_base.py', '_base_/schedule_800e.py']

optim_wrapper = dict(optimizer=dict(lr=4e-4))  # 1e-4 * 2048 / 512
param_scheduler = _base_.schedule_800e
train_cfg = dict(max_epochs=800)
default_hooks = dict(checkpoint=dict(interval=20))
