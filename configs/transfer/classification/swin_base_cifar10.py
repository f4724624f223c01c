"""Fine-tuning of Swin-B on CIFAR-10, enlarged to 224 px.

Weights:  as for swin_base_w7_224px_from_100e.py
Data:     mmpretrain downloads it to data/cifar10, or finds cifar-10-batches-py there
Run:      bash tools/dist_train.sh configs/transfer/classification/swin_base_cifar10.py 4
              --pretrained work_dirs/backbone.pth
Batch:    512 = 4 GPUs x 128
Result:   none published. The recipe is that for ImageNet with the usual crops of CIFAR and half of the warm-up.
"""

_base_ = 'swin_base_w7_224px_from_100e.py'

model = dict(data_preprocessor=dict(num_classes=10, to_rgb=False), head=dict(num_classes=10))

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        _delete_=True,
        type='CIFAR10',  # RGB
        data_root='data/cifar10',
        split='train',
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5),
            dict(type='Resize', scale=224, interpolation='bicubic'),
            dict(type='PackInputs'),
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CIFAR10',
        data_root='data/cifar10',
        split='test',
        pipeline=[
            dict(type='Resize', scale=224, interpolation='bicubic'),
            dict(type='PackInputs'),
        ],
    ),
)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1.25e-3))  # 1.25e-3 * 512 / 512
param_scheduler = dict(warmup=10)
auto_scale_lr = dict(base_batch_size=512)
