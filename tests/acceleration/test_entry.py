"""The entry `acceleration` of a config, and the hook for the train scripts of other packages."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from tiny import build_model, tiny_encoders

from simmim_mm.acceleration import LEVERS, PRESETS, accelerate, check_acceleration, choose_levers
from simmim_mm.engine import AccelerationHook


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(preset='fast'), "preset='fast' is unknown; use one of off, exact, max"),
        (dict(preset=None), 'preset=None'),
        (dict(presets='exact'), 'presets is no lever'),
        (dict(window=True), 'window is no lever; did you mean windows?'),
        (dict(windows='yes'), "windows='yes' is unknown; use one of False, True"),
        (dict(windows=1), 'windows=1 is unknown'),
        (dict(attention=True), "attention=True is unknown; use one of False, 'auto', 'sdpa', 'matmul'"),
        ('exact', "acceleration='exact' must be a dict"),
        (True, 'must be a dict'),
    ],
)
def test_wrong_entries_are_refused(settings, message):
    with pytest.raises(ValueError, match=message.replace('?', r'\?')):
        check_acceleration(settings)


def test_an_entry():
    assert check_acceleration(None) == dict(preset='off')
    assert check_acceleration(Config(dict(a=dict(preset='exact', mlp=False))).a) == dict(preset='exact', mlp=False)


def test_presets_and_single_levers():
    assert choose_levers('cpu', 'off') == {}
    assert choose_levers('cpu', 'off', mlp=True) == {'mlp': True}
    exact = choose_levers('cpu', 'exact')
    assert set(exact) >= {'windows', 'attention', 'merging', 'mlp', 'norms', 'allocator'}
    assert 'cells' not in exact
    assert 'cells' in choose_levers('cuda', 'exact')
    assert 'windows' not in choose_levers('cpu', 'exact', windows=False)


@pytest.mark.parametrize('name', LEVERS)
def test_the_table(name):
    """A preset is one of the presets, and what it sets is allowed; `exact` has no lever that changes numbers."""
    lever = LEVERS[name]
    assert set(lever.presets) <= set(PRESETS) - {'off'}
    for value in lever.presets.values():
        check_acceleration({name: value})
    assert lever.exact or 'exact' not in lever.presets
    # What is on in `exact` is on in `max` too.
    assert 'exact' not in lever.presets or 'max' in lever.presets


@pytest.mark.parametrize('name', ['windows', 'attention', 'merging', 'mlp', 'norms'])
def test_a_lever_says_that_it_does_not_apply(name):
    """And changes nothing."""
    model = build_model(backbone=tiny_encoders()['ResNet'])
    before = [type(module) for module in model.modules()]
    reports = accelerate(model, 'off', **{name: LEVERS[name].presets['exact']})
    assert reports[name].startswith('does not apply')
    assert [type(module) for module in model.modules()] == before


def test_twice_is_refused():
    """An entry and a hook in one config."""
    model = build_model()
    accelerate(model, 'off', mlp=True)
    with pytest.raises(ValueError, match='accelerated already; keep either'):
        accelerate(model, 'exact')


def test_a_subclass_is_left_alone():
    """Its forward may be another one."""
    model = build_model()
    block = model.backbone.stages[0].blocks[0]

    class Own(type(block.ffn)):
        pass

    block.ffn.__class__ = Own
    model.backbone.stages[0].blocks[1].ffn.forward = lambda x, identity=None: x
    assert accelerate(model, 'off', mlp=True)['mlp'].startswith('6 ')
    assert type(block.ffn) is Own


class _Runner:
    def __init__(self, model):
        self.model = model


def test_the_hook():
    """Before a run, once: a second run of the same hook (a test after training) finds the model done."""
    model = build_model()
    hook = AccelerationHook(preset='off', mlp=True)
    hook.before_run(_Runner(model))
    hook.before_run(_Runner(model))
    assert {type(block.ffn).__name__ for stage in model.backbone.stages for block in stage.blocks} == {'LeanFFN'}
    with pytest.raises(ValueError, match='windows=3'):
        AccelerationHook(windows=3)
