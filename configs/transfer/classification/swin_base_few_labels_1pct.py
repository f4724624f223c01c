"""Fine-tuning of Swin-B on 1 % of ImageNet's labels.

Labels:   chosen by FewLabels(share=0.01, seed=0): the same ones in every run. Another draw:
              --cfg-options train_dataloader.dataset.seed=1
Weights:  as for swin_base_w7_224px_from_100e.py
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_base_few_labels_1pct.py 8
              --pretrained work_dirs/backbone.pth
Batch:    256 = 8 GPUs x 32
Result:   none published. The recipe is that of all labels with a smaller batch; batch and length are starting points.
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        _delete_=True,
        type='simmim_mm.FewLabels',
        share=0.01,
        seed=0,
        dataset=_base_.train_dataloader.dataset,
    ),
)

optim_wrapper = dict(optimizer=dict(lr=6.25e-4))  # 1.25e-3 * 256 / 512
param_scheduler = dict(warmup=40)
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(max_epochs=200)
