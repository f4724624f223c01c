#!/usr/bin/env bash
# Test with several processes on one machine, or on each of several machines.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_dist_launch.sh"

if [[ $# -lt 3 ]]; then
    usage 'dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py ...]' \
        'CONFIG      config file
CHECKPOINT  checkpoint of a run of it
GPUS        number of processes on this machine, one per GPU'
fi

launch "$3" test.py "$1" "$2" --launcher pytorch "${@:4}"
