"""Promise: each option of each registered class takes a wrong value with a clear error, or gives it a stated meaning.

The options are read off the signatures, so a new class is covered as soon as it has its row in ``minimal_arguments``.
"""

import inspect
import math

import pytest
from test_registry import CLASSES, REGISTRIES, minimal_arguments, shard_folder  # noqa: F401  (fixtures)

VALUES = {
    'an object': object(),
    'a negative number': -1,
    'zero': 0,
    'NaN': math.nan,
    'a string': 'nonsense',
    'None': None,
    'True': True,
    'an empty list': [],
}

# Without a default of their own: what SimMIM finds out and hands over (build_derived refuses other values in a config),
# and what MMEngine's Runner does.
DERIVED = {'embed_dims', 'feature_dims', 'image_channels', 'in_channels', 'num_classes', 'out_channels', 'upscale'}
DERIVED |= {'dataset', 'module', 'optimizer'}
# MMEngine's own arguments, with MMEngine's meaning.
HOSTS = {'init_cfg'}

# Values that have a meaning. The default's own value, and True for what is False by default, go without a row.
ACCEPTED = {
    'CheckedPretrained.checkpoint': {'None'},  # random weights
    'CheckedPretrained.new': {'an empty list'},  # no part
    'CheckedPretrained.prefix': {'a string', 'None'},  # any beginning of keys, or none
    'CheckedPretrained.scratch': {'an empty list'},  # as the backbone's class does
    'CheckedPretrained.unused': {'an empty list'},  # no part
    'ConstantRatio.value': {'zero'},  # nothing hidden
    'CosineWithWarmupLR.min_ratio': {'zero'},  # down to a rate of 0
    'CosineWithWarmupLR.warmup_ratio': {'zero'},  # up from a rate of 0
    'DeconvDecoder.widths': {'an empty list'},  # no transposed convolution, the last layer alone
    'FiniteGuardHook.max_files': {'zero'},  # none are kept
    'FeatureTarget.norm': {'None'},  # features as they are
    'IrregularMask.stroke_share': {'zero'},  # blobs alone
    'LoadMap.folder': {'a string'},  # looked for with the first map
    'LoadMap.key': {'a string'},  # any name
    'LoadMap.suffix': {'a string'},  # any ending
    'HostImages.max_unreadable': {'zero'},  # none may
    'HostImages.pipeline': {'an empty list'},  # what the host's data set knows of a sample
    'LoadImage.channels': {'None'},  # as many as each file holds
    'LoadImage.nan_value': {'a negative number', 'zero'},  # any number may stand for "no data"
    'MaskGenerator.mask_ratio': {'zero'},  # nothing hidden
    'PixelMasker.stem': {'a string'},  # a path, looked for by SimMIM
    'PreemptionHook.signals': {'an empty list'},  # none
    'ReconstructionHead.visible_weight': {'zero', 'None'},  # visible positions do not count; 1
    'RandomFlip.prob': {'zero'},  # never
    'RandomResizedCrop.begins': {'None'},  # sizes at random
    'ReconstructionHook.images': {'a string'},  # a folder, looked for before training
    'ReconstructionHook.interval': {'zero'},  # at the end alone
    'RepresentationHook.block': {'a string'},  # a path, looked for before training
    'RepresentationHook.interval': {'zero'},  # at the end alone
    'RepresentationHook.labelled': {'a string'},  # a folder, looked for before training
    'RepresentationHook.num_workers': {'zero'},  # in the main process
    'RepresentationHook.prefix': {'a string'},  # any name
    'RepresentationHook.queries': {'a string', 'None'},  # a folder, looked for before training; a part of labelled
    'SaliencyMask.score': {'a string'},  # the name of a map, looked for in the samples
    'SaliencyMask.temperature': {'zero'},  # the highest scores and nothing else
    'SemanticMask.background': {'a negative number', 'None', 'an empty list'},  # a label as any other; none
    'SemanticMask.labels': {'a string'},  # the name of a map, looked for in the samples
    'ShardedImages.max_unreadable': {'zero'},  # none may
    'ShardedImages.pipeline': {'an empty list'},  # what the data set knows of a sample, untouched
    'TokenMasker.stem': {'a string'},  # a path, looked for in attach
    'UnlabelledImages.max_unreadable': {'zero'},  # none may
    'UnlabelledImages.pipeline': {'an empty list'},  # what the data set knows of a sample, untouched
    '_Ramp.end': {'zero'},  # nothing hidden at the end
    '_Ramp.start': {'zero'},  # nothing hidden at first
}

# Options whose default, None, stands for something that is needed and was not given: refused, with what to give.
NEEDED = {
    'ColorBinTarget.pixel_range',
    'ColorClusterTarget.pixel_range',
    'CrossEntropyLoss.num_classes',
    'FeatureTarget.checkpoint',
    'FeatureTarget.teacher',
    'TokenTarget.checkpoint',
    'TokenTarget.pixel_range',
    'TokenTarget.tokenizer',
}

# Options that have a meaning beside others only.
CONTEXTS = {
    'ReconstructionHead.visible_weight': dict(area='all'),
    'FewLabels.per_class': dict(share=None),
    'FewLabels.share': dict(per_class=None),
    'HostImages.held_out': dict(split='train'),
    'PixelTarget.norm_size': dict(norm='patch'),
    'RandomResizedCrop.begins': dict(sizes=[8, 16]),
    'RepresentationHook.queries': dict(labelled='folder'),
    'UnlabelledImages.held_out': dict(split='train'),
}


def options_of(cls):
    """The options of a class and, where it hands on **kwargs, of its bases in this package: owner, name, default."""
    for base in cls.__mro__:
        if not base.__module__.startswith('simmim_mm') or '__init__' not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        for parameter in list(parameters)[1:]:
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            derived = parameter.name in DERIVED and parameter.default is parameter.empty
            if named and not derived and parameter.name not in HOSTS:
                yield base.__name__, parameter.name, parameter.default
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return


OPTIONS = [
    (registry, name, *option)
    for registry, name in CLASSES
    for option in options_of(REGISTRIES[registry].module_dict[name])
]


@pytest.mark.parametrize('kind', VALUES)
@pytest.mark.parametrize(('registry', 'name', 'owner', 'option', 'default'), OPTIONS, ids=lambda value: str(value)[:40])
def test_a_wrong_value(minimal_arguments, registry, name, owner, option, default, kind):  # noqa: F811
    """A ValueError (or that a file is missing) that names the option; acceptance only where the table says so."""
    value, context = VALUES[kind], CONTEXTS.get(f'{owner}.{option}', {})
    is_default = isinstance(value, bool) == isinstance(default, bool) and value == default and not context
    is_default &= f'{owner}.{option}' not in NEEDED
    is_flag = kind == 'True' and default is False
    allowed = is_default or is_flag or kind in ACCEPTED.get(f'{owner}.{option}', ())
    refusal = None
    try:
        REGISTRIES[registry].build({'type': name, **minimal_arguments[name](), **context, option: value})
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        refusal = str(error)
    if allowed:
        assert refusal is None, f'{owner}.{option} refuses {kind}, which the table allows'
    else:
        assert refusal is not None, (
            f'{owner}.{option} accepts {kind}: refuse it, or add it to ACCEPTED with its meaning'
        )
        assert option in refusal


def test_the_tables_name_options_that_exist():
    """No row for an option that is gone."""
    known = {f'{owner}.{option}' for _, _, owner, option, _ in OPTIONS}
    assert known >= {*ACCEPTED, *CONTEXTS, *NEEDED}
