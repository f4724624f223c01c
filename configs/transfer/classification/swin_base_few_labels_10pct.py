"""Fine-tuning of Swin-B on 10 % of ImageNet's labels.

Labels:   chosen by FewLabels(share=0.1, seed=0): the same ones in every run. Another draw:
              --cfg-options train_dataloader.dataset.seed=1
Weights:  as for swin_base_w7_224px_from_100e.py
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_base_few_labels_10pct.py 8
              --pretrained work_dirs/backbone.pth
Batch:    1024 = 8 GPUs x 128
Result:   none published. The recipe is that of all labels with a smaller batch; batch and length are starting points.
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='simmim_mm.FewLabels',
        share=0.1,
        seed=0,
        dataset=_base_.train_dataloader.dataset,
    ),
)

optim_wrapper = dict(optimizer=dict(lr=2.5e-3))  # 1.25e-3 * 1024 / 512
param_scheduler = dict(warmup=20)
auto_scale_lr = dict(base_batch_size=1024)
train_cfg = dict(max_epochs=100)
