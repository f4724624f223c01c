"""The published schedule of 800 epochs: constant after the warm-up, a tenth of it from epoch 700 on.

It has a name of its own, since MMEngine refuses two bases that set the same thing. A config takes it with
`param_scheduler = _base_.schedule_800e`.
"""

schedule_800e = [
    dict(
        type='LinearLR',
        start_factor=0.005,  # 5e-7 / 1e-4
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True,
    ),
    dict(type='MultiStepLR', milestones=[700], gamma=0.1, by_epoch=True, convert_to_iter_based=True),
]
