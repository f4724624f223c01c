# What dist_train.sh and dist_test.sh share; they source it.

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# usage "arguments of the script" "lines about them": prints how a script is used, and ends it.
usage() {
    cat >&2 <<USAGE
Usage: [VARIABLE=VALUE ...] bash $1

$2

Variables, for several machines (start the script on each of them):
  NNODES       number of machines (1)
  NODE_RANK    number of this machine, from 0 (0)
  MASTER_ADDR  address of machine 0 (127.0.0.1)
  PORT         free port on machine 0 (29500)
PYTHON is the interpreter (python), OMP_NUM_THREADS the threads of each process (cores / GPUS).
USAGE
    exit 2
}

# launch GPUS TOOL [arguments of the tool ...]: takes the place of the script.
launch() {
    local gpus=$1 tool=$2
    shift 2
    if ! [[ $gpus =~ ^[1-9][0-9]*$ ]]; then
        echo "GPUS is '$gpus'; give the number of processes on this machine" >&2
        exit 2
    fi
    if [[ -z ${OMP_NUM_THREADS:-} ]]; then
        local cores
        cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
        export OMP_NUM_THREADS=$((cores > gpus ? cores / gpus : 1))
    fi
    # A checkout works without being installed.
    if [[ -f $tools/../simmim_mm/__init__.py ]]; then
        export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
    fi
    exec "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes="${NNODES:-1}" \
        --node_rank="${NODE_RANK:-0}" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${PORT:-29500}" \
        --nproc_per_node="$gpus" \
        "$tools/$tool" "$@"
}
