"""Child registries with the scope ``simmim_mm``.

MMEngine imports this file by its name when a config says ``type='simmim_mm.X'`` or ``default_scope = 'simmim_mm'``.
The registries in the first block hold classes of this package. Those in the second block hold none: they exist
because MMEngine's Runner looks them up in the default scope, and warns for each one that a scope does not have.
"""

from mmengine import registry as host
from mmengine.registry import Registry

SCOPE = 'simmim_mm'


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=list(locations))


DATASETS = _child(host.DATASETS, 'simmim_mm.datasets')
DATA_SAMPLERS = _child(host.DATA_SAMPLERS, 'simmim_mm.datasets')
FUNCTIONS = _child(host.FUNCTIONS, 'simmim_mm.datasets')
TRANSFORMS = _child(host.TRANSFORMS, 'simmim_mm.datasets.transforms')
MODELS = _child(host.MODELS, 'simmim_mm.models')
HOOKS = _child(host.HOOKS, 'simmim_mm.engine')
LOOPS = _child(host.LOOPS, 'simmim_mm.engine')
MODEL_WRAPPERS = _child(host.MODEL_WRAPPERS, 'simmim_mm.engine')
OPTIM_WRAPPERS = _child(host.OPTIM_WRAPPERS, 'simmim_mm.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(host.OPTIM_WRAPPER_CONSTRUCTORS, 'simmim_mm.engine')
PARAM_SCHEDULERS = _child(host.PARAM_SCHEDULERS, 'simmim_mm.engine')
RUNNERS = _child(host.RUNNERS, 'simmim_mm.engine')
WEIGHT_INITIALIZERS = _child(host.WEIGHT_INITIALIZERS, 'simmim_mm.models', 'simmim_mm.engine')
METRICS = _child(host.METRICS, 'simmim_mm.evaluation')
TASK_UTILS = _child(host.TASK_UTILS, 'simmim_mm.datasets.transforms')
VISBACKENDS = _child(host.VISBACKENDS, 'simmim_mm.visualization')

EVALUATOR = _child(host.EVALUATOR)
LOG_PROCESSORS = _child(host.LOG_PROCESSORS)
OPTIMIZERS = _child(host.OPTIMIZERS)
VISUALIZERS = _child(host.VISUALIZERS)
