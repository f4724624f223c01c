"""Keys of a config that no class takes: one line of the tool, and nothing else becomes one."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.registry import Registry
from step_runs import tiny_config

from simmim_mm.cli import user_errors
from simmim_mm.engine.launch import train
from simmim_mm.registry import DATASETS, HOOKS
from simmim_mm.unknown_keys import unknown_key

THINGS = Registry('thing')


@THINGS.register_module()
class Base:
    """Takes two keys."""

    def __init__(self, given: int = 0, sizes: tuple = ()) -> None:
        self.given, self.sizes = given, sizes


@THINGS.register_module()
class Derived(Base):
    """Takes one more, and hands on the others."""

    def __init__(self, own: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.own = own


@THINGS.register_module()
class Careless(Base):
    """Whose own code is wrong, with the name of a key that it takes."""

    def __init__(self, own: int = 0) -> None:
        super().__init__(own=own)


@THINGS.register_module()
class Calling:
    """Whose own code calls another function with the name of a key of the config."""

    def __init__(self, **kwargs) -> None:
        def helper() -> None:
            return None

        helper(**kwargs)


@THINGS.register_module()
def make(width: int = 1) -> int:
    """A function that is built."""
    return width


def refused(cfg: dict, **kwargs) -> str | None:
    with pytest.raises(TypeError) as error:
        THINGS.build(cfg, **kwargs)
    return unknown_key(error.value)


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(type='Base', nonsense=1), "'nonsense' is no option of Base; delete it, or use one of given, sizes"),
        (dict(type=Base, given=1, nonsense=1), "'nonsense' is no option of Base; "),
        (
            dict(type='Derived', nonsense=1),
            "'nonsense' is no option of Derived; delete it, or use one of own, or one that it hands on to Base",
        ),
        (
            dict(type='Derived', size=1),
            "'size' is no option of Derived; write 'sizes' if that is meant, or use one of",
        ),
        (dict(type='make', nonsense=1), "'nonsense' is no option of make; delete it, or use one of width"),
    ],
)
def test_the_key_the_class_and_its_options_are_named(cfg, message):
    assert refused(cfg).startswith(message)


def test_other_errors_stay_what_they_are():
    """Those of code: of a class that was built, of a call without a config, of another kind."""
    assert refused(dict(type='Careless', own=1)) is None
    assert refused(dict(type='Calling', nonsense=1)) is None
    assert refused(dict(type='Base'), default_args=dict(nonsense=1)) is not None  # as a key of the config
    for call in (lambda: Base(nonsense=1), lambda: Base(1, 2, 3), lambda: 1 + 'a', lambda: THINGS.build(3)):
        with pytest.raises(TypeError) as error:
            call()
        assert unknown_key(error.value) is None
    with pytest.raises(TypeError, match='unexpected keyword'), user_errors():
        Base(nonsense=1)


def test_where_it_stands_is_said(monkeypatch, capsys):
    """In each place of the config that has it, in lists too; with SIMMIM_MM_TRACEBACK=1, the error itself."""
    part = dict(type='Base', nonsense=1)
    cfg = Config(dict(a=dict(b=[dict(type='Base'), part]), c=part, d=dict(type='make', nonsense=2)))
    with pytest.raises(SystemExit) as ended, user_errors():
        THINGS.build(cfg.c)
    assert ended.value.code == 2
    assert 'error: a.b.1.nonsense and c.nonsense are no option of Base; delete' in capsys.readouterr().err
    monkeypatch.setenv('SIMMIM_MM_TRACEBACK', '1')
    with pytest.raises(TypeError, match='nonsense'), user_errors():
        THINGS.build(cfg.c)


@pytest.mark.parametrize(
    ('place', 'name'),
    [
        ('train_dataloader.dataset.nonsense', 'UnlabelledImages'),
        ('train_dataloader.dataset.pipeline.1.nonsense', 'RandomResizedCrop'),
        ('train_dataloader.sampler.nonsense', 'SeededSampler; delete it, or use one of shuffle, round_up'),
        ('default_hooks.finite_guard.nonsense', 'FiniteGuardHook; delete it, or use one of max_in_a_row, max_files'),
        ('optim_wrapper.optimizer.nonsense', 'AdamW'),
        ('optim_wrapper.nonsense', 'PrecisionOptimWrapper'),
        ('train_cfg.nonsense', 'IterBasedTrainLoop'),
        ('model.nonsense', 'SimMIM'),
    ],
)
def test_a_run_ends_with_one_line(image_folder, tmp_path, capsys, place, name):
    cfg = tiny_config(image_folder(4), tmp_path / 'run')
    cfg.merge_from_dict({place: 3})
    with pytest.raises(SystemExit) as ended, user_errors():
        train(cfg)
    assert ended.value.code == 2
    written = capsys.readouterr().err
    assert f'error: {place} is no option of {name}' in written
    assert 'Traceback' not in written


def test_a_type_whose_other_keys_are_not_its_own(image_folder, tmp_path, capsys):
    """One data set in the place of another: the keys that stay there are not what it takes."""
    cfg = tiny_config(image_folder(4), tmp_path / 'run')
    cfg.merge_from_dict({'train_dataloader.dataset.type': 'HostImages'})
    with pytest.raises(SystemExit), user_errors():
        train(cfg)
    assert 'error: train_dataloader.dataset.data_root is no option of HostImages' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('registry', 'name', 'needed'),
    [(DATASETS, 'UnlabelledImages', dict(data_root='.')), (HOOKS, 'RepresentationHook', {})],
)
def test_all_options_that_are_named_are_taken(registry, name, needed):
    """Given alone, none is refused as a key, whatever is said of its value."""
    with pytest.raises(TypeError) as error:
        registry.build(dict(type=name, nonsense=1, **needed))
    options = unknown_key(error.value).partition('use one of ')[2].partition(', or one')[0].split(', ')
    assert len(options) > 5
    said = []
    for option in options:
        try:
            registry.build(dict(needed, type=name, **{option: object()}))
        except Exception as refusal:
            said.append(str(refusal))
    assert said
    assert not any('keyword argument' in text for text in said)  # unexpected, or given by the class itself
