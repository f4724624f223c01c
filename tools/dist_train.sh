#!/usr/bin/env bash
# Train with several processes on one machine, or on each of several machines.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_dist_launch.sh"

if [[ $# -lt 2 ]]; then
    usage 'dist_train.sh CONFIG GPUS [options of train.py ...]' \
        'CONFIG  config file
GPUS    number of processes on this machine, one per GPU'
fi

launch "$2" train.py "$1" --launcher pytorch "${@:3}"
