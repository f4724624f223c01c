"""SimMIM pre-training of Swin-B with a contrastive loss between two differently masked views of each image.

Paper:    SimMIM, https://arxiv.org/abs/2111.09886; the loss is NT-Xent, equation 1 of https://arxiv.org/abs/2002.05709
Run:      bash tools/dist_train.sh configs/simmim_swin_base_contrastive.py 16
Batch:    2048 = 16 GPUs x 128, as many images as the base; each is encoded twice, so half of them fit on a GPU. With
          another batch, add --auto-scale-lr.
Result:   none is published, and none was measured here. Weight and temperature are starting points, not tuned values.
"""

_base_ = 'simmim_swin_base.py'

model = dict(companion=dict(type='ContrastiveCompanion', weight=0.1, temperature=0.2, out_channels=128))

train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        pipeline=[
            dict(type='LoadImage', grey='repeat'),
            dict(type='RandomResizedCrop', size=192, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomPatchMask', mask_patch_size=32, mask_ratio=0.6),
            dict(type='RandomPatchMask', mask_patch_size=32, mask_ratio=0.6, key='other_mask'),
            dict(type='PackMaskedImage'),
        ],
    ),
)
