"""`make audit` tells what is known from what could not be asked."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def audit():
    sys.path.insert(0, str(ROOT / 'dev'))
    try:
        spec = importlib.util.spec_from_file_location('audit', ROOT / 'dev' / 'audit.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / 'dev'))
    return module


# As pip-audit 2.10 writes them.
SOUND = dict(name='rich', version='15.0.0', vulns=[])
KNOWN = dict(
    name='pillow',
    version='9.0.0',
    vulns=[dict(id='PYSEC-2022-42979', fix_versions=['9.2.0'], aliases=['CVE-2022-45198'], description='')],
)
SKIPPED = dict(name='torch', skip_reason='Dependency not found on PyPI and could not be audited: torch (2.13.0)')


@pytest.mark.parametrize(
    ('packages', 'code', 'words'),
    [
        ([SOUND], 0, '0 known vulnerabilities in 1 of 1 packages'),
        ([SOUND, SKIPPED], 0, 'not checked: torch'),
        ([SOUND, KNOWN], 1, 'pillow 9.0.0: PYSEC-2022-42979, mended in 9.2.0'),
        ([SKIPPED, SKIPPED], 75, 'Nothing was checked'),
        ([], 75, 'Nothing was checked'),
    ],
)
def test_answers(audit, capsys, packages, code, words):
    """pip-audit itself takes packages that it knows nothing of for sound."""
    assert audit.report(packages, ROOT / 'constraints.txt') == code
    output = capsys.readouterr()
    assert words in output.out + output.err


@pytest.mark.parametrize('answer', ['', 'null', json.dumps(dict(error='no network'))])
def test_no_answer_is_no_good_answer(audit, capsys, monkeypatch, answer):
    result = subprocess.CompletedProcess([], 1, stdout=answer, stderr='ConnectionError: no route to host\n')
    monkeypatch.setattr(audit.subprocess, 'run', lambda *args, **kwargs: result)
    assert audit.audit(Path('python'), ROOT / 'constraints.txt', 'pypi') == 75
    assert 'no route to host' in capsys.readouterr().err


def test_without_a_network_the_tool_cannot_be_installed(tmp_path):
    """One message that says so, and a code of its own."""
    command = [sys.executable, str(ROOT / 'dev' / 'audit.py'), '--venv', str(tmp_path)]
    nowhere = {'PIP_INDEX_URL': 'http://127.0.0.1:9/simple', 'PIP_CONFIG_FILE': '/dev/null', 'PATH': '/usr/bin:/bin'}
    result = subprocess.run(command, capture_output=True, text=True, env=nowhere, check=False)
    assert result.returncode == 75, result.stderr
    assert 'Nothing was checked: pip-audit==2.10.1 could not be installed' in result.stderr
    assert 'Traceback' not in result.stderr
