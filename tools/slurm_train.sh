#!/usr/bin/env bash
# Train on a Slurm cluster, one task per GPU.
set -euo pipefail

if [[ $# -lt 4 ]]; then
    cat >&2 <<'USAGE'
Usage: [VARIABLE=VALUE ...] bash slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py ...]

PARTITION  partition of the cluster
JOB_NAME   name of the job
CONFIG     config file
WORK_DIR   folder for logs and checkpoints

Variables:
  GPUS           GPUs in all (8)
  GPUS_PER_NODE  GPUs on each machine (8, or GPUS if that is less)
  CPUS_PER_TASK  cores for each GPU (5)
  SRUN_ARGS      more options for srun, separated by spaces
PYTHON is the interpreter (python), OMP_NUM_THREADS the threads of each process (CPUS_PER_TASK).
USAGE
    exit 2
fi

partition=$1
job_name=$2
config=$3
work_dir=$4
shift 4
# whole_number NAME VALUE: prints it, or ends the script. Bash would run a command in what it computes with.
whole_number() {
    if ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
        echo "$1 is '$2'; give a whole number from 1" >&2
        exit 2
    fi
    echo "$2"
}

gpus=$(whole_number GPUS "${GPUS:-8}")
gpus_per_node=$(whole_number GPUS_PER_NODE "${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}")
cpus_per_task=$(whole_number CPUS_PER_TASK "${CPUS_PER_TASK:-5}")
# Several options, apart at spaces; not looked for among the files here, as --exclude=node[1-3] would be.
srun_args=()
read -r -a srun_args <<<"${SRUN_ARGS:-}" || true
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$cpus_per_task}
# A checkout works without being installed.
if [[ -f $tools/../simmim_mm/__init__.py ]]; then
    export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
fi

exec srun \
    --partition="$partition" \
    --job-name="$job_name" \
    --gres=gpu:"$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="$cpus_per_task" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    "${PYTHON:-python}" -u "$tools/train.py" "$config" \
    --work-dir "$work_dir" --launcher slurm "$@"
