"""Look the pinned versions of constraints.txt up among known vulnerabilities (`make audit`).

    python3 dev/audit.py --venv .venv

pip-audit asks the Python package index (or OSV, with --service osv), so this needs a network. It lives in an
environment of its own below `--venv`; what the package needs is not installed for it. Exit codes: 0 if nothing is
known, 1 if something is, 75 if nothing could be checked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from steps import StepError, locked, phase, run

ROOT = Path(__file__).resolve().parent.parent
NOT_CHECKED = 75  # EX_TEMPFAIL of sysexits.h
PIP_AUDIT = 'pip-audit==2.10.1'


def tool(venv: Path) -> Path:
    """pip-audit in an environment of its own, installed first where it is not there."""
    home = venv / 'simmim_mm-audit'
    python, stamp, log = home / 'bin' / 'python', home / 'installed', venv / 'simmim_mm-audit.log'
    with locked(venv / 'simmim_mm-audit.lock'):
        if not stamp.exists() or stamp.read_text() != PIP_AUDIT:
            with phase(PIP_AUDIT):
                run(sys.executable, '-m', 'venv', home, log=log, path_first=home / 'bin')
                command = [python, '-m', 'pip', '--disable-pip-version-check', 'install', '--retries', '1', PIP_AUDIT]
                run(*command, log=log, path_first=home / 'bin')
            stamp.write_text(PIP_AUDIT)
    return python


def audit(python: Path, requirements: Path, service: str) -> int:
    """Run pip-audit and report; packages of which nobody could tell anything do not count as sound."""
    command = [python, '-m', 'pip_audit', '--requirement', requirements, '--no-deps', '--disable-pip']
    command += ['--format', 'json', '--progress-spinner', 'off', '--timeout', '15', '--vulnerability-service', service]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(result.stdout)['dependencies']
    except (ValueError, KeyError, TypeError):
        print(result.stderr, end='', file=sys.stderr)
        return not_checked(f'pip-audit got no answer from {service}')
    return report(packages, requirements)


def report(packages: list[dict], requirements: Path) -> int:
    """Print what is known of each package, in the form of pip-audit's JSON; returns the exit code."""
    skipped = [package for package in packages if 'skip_reason' in package]
    found = [(package, each) for package in packages for each in package.get('vulns', [])]
    if len(skipped) == len(packages):
        reason = skipped[0]['skip_reason'] if skipped else 'there are no packages in it'
        return not_checked(f'of {len(packages)} packages in {requirements.name} nothing could be found out ({reason})')
    for package in skipped:
        print(f'not checked: {package["name"]}: {package["skip_reason"]}')
    for package, vulnerability in found:
        fixed = ', '.join(vulnerability['fix_versions']) or 'no version yet'
        print(f'{package["name"]} {package["version"]}: {vulnerability["id"]}, mended in {fixed}')
    num_checked = len(packages) - len(skipped)
    print(f'{len(found)} known vulnerabilities in {num_checked} of {len(packages)} packages that could be checked')
    if found:
        print(f'Raise these versions in {requirements.name}, and run the tests with them.', file=sys.stderr)
    return 1 if found else 0


def not_checked(why: str) -> int:
    print(f'\nNothing was checked: {why}. The audit needs a network; try again with one.', file=sys.stderr)
    return NOT_CHECKED


def main() -> int:
    parser = argparse.ArgumentParser(description='Look the pinned versions up among known vulnerabilities.')
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='folder for the tool')
    parser.add_argument('--requirements', type=Path, default=ROOT / 'constraints.txt', help='what to look up')
    parser.add_argument('--service', choices=['pypi', 'osv'], default='pypi', help='whom to ask')
    arguments = parser.parse_args()
    if not arguments.requirements.is_file():
        parser.error(f'--requirements {arguments.requirements} does not exist')
    try:
        python = tool(arguments.venv.expanduser().absolute())
    except StepError as error:
        print(error, file=sys.stderr)
        return not_checked(f'{PIP_AUDIT} could not be installed')
    return audit(python, arguments.requirements, arguments.service)


if __name__ == '__main__':
    sys.exit(main())
