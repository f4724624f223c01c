"""What a pre-trained model has learnt: where it looks, what it reconstructs, what it finds hard."""

from simmim_mm.analysis.attention_pictures import spread
from simmim_mm.analysis.image_losses import named_images
from simmim_mm.analysis.inspection import inspect_model

__all__ = ['inspect_model', 'named_images', 'spread']
