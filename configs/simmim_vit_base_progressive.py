"""ViT-B with images that grow from 128 to 192 px in the course of 100 epochs.

Run:      bash tools/dist_train.sh configs/simmim_vit_base_progressive.py 8
Result:   none published; the recipe is otherwise that of simmim_vit_base.py. docs/cheaper_runs.md has what it costs.
"""

_base_ = 'simmim_vit_base.py'

_base_.train_dataloader.dataset.pipeline[1].update(sizes=[128, 160, 192], begins=[0.0, 0.5, 0.8])
