# shellcheck shell=bash
# What jobs and `slurm/submit` share; sourced in the project's folder. Settings of the cluster: slurm/site.
set -euo pipefail

die() {
    local words=$*
    echo "error: ${words//$'\n'/ }" >&2
    exit 2
}

# Settings of slurm/site, or of the file that COSMOKERAS_SITE names; modules; absolute folders.
read_site() {
    local site=${COSMOKERAS_SITE:-slurm/site}
    [ -f "$site" ] || die "$site is missing: cp slurm/site.example slurm/site, then fill in account and partition"
    ACCOUNT='' PARTITION='' CPU_PARTITION='' GPUS=0 EXTRAS='' MODULES='' WORK='' TASKS=8
    GENERATE_OPTIONS='' TRAIN_OPTIONS='' REPRO_OPTIONS='' SWEEP_OPTIONS=''
    # shellcheck source=slurm/site.example
    source "$site"
    [[ $GPUS =~ ^[0-9]+$ ]] || die "$site: GPUS=$GPUS: must be a whole number, 0 for none"
    [[ $TASKS =~ ^[1-9][0-9]*$ ]] || die "$site: TASKS=$TASKS: must be a whole number from 1 on"
    export COSMOKERAS_WORK=${WORK:-${COSMOKERAS_WORK:-$PWD/.work}}
    [[ $COSMOKERAS_WORK == /* ]] || die "$site: WORK=$COSMOKERAS_WORK: must be an absolute path on a disk that all nodes share"
    mkdir -p "$COSMOKERAS_WORK/slurm"
    if [ -n "$MODULES" ]; then
        # shellcheck disable=SC2086 # a list of names
        module load $MODULES || die "$site: MODULES=$MODULES: cannot be loaded here"
    fi
}

# Python of COSMOKERAS_VENV or of .venv, which the first who comes installs while the others wait.
use_environment() {
    local venv=${COSMOKERAS_VENV:-$PWD/.venv}
    unset PYTHONPATH PYTHONHOME # of modules
    export DVC_NO_ANALYTICS=1 TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3} PYTHONUNBUFFERED=1
    if [ -z "${COSMOKERAS_VENV:-}" ] && ! compgen -G "$venv/.installed-*" >/dev/null; then
        (
            flock 9
            compgen -G "$venv/.installed-*" >/dev/null || make --no-print-directory install EXTRAS="$EXTRAS" >&2
        ) 9>"$COSMOKERAS_WORK/slurm/install.lock" || die "make install EXTRAS=$EXTRAS failed, see above"
    fi
    [ -x "$venv/bin/dvc" ] || die "no DVC in $venv: make install EXTRAS=$EXTRAS"
    export PATH="$venv/bin:$PATH"
}

# Everything that a job does before its work: settings, Python, parameters as they were submitted, a word on the machine.
begin() {
    read_site
    export COSMOKERAS_STOP_FILE="$COSMOKERAS_WORK/slurm/stop-$SLURM_JOB_ID"
    rm -f "$COSMOKERAS_STOP_FILE"
    warned='' ended=''
    trap 'warned=yes; touch "$COSMOKERAS_STOP_FILE"' USR1
    trap 'ended=yes; touch "$COSMOKERAS_STOP_FILE"' TERM
    use_environment
    echo "job $SLURM_JOB_ID ($SLURM_JOB_NAME) on $SLURM_JOB_NODELIST, start $((${SLURM_RESTART_COUNT:-0} + 1))"
    local sum=${COSMOKERAS_PARAMS_SUM:-}
    if [ -n "$sum" ] && [ "$(sha256sum <params.yaml)" != "$sum  -" ]; then
        die "params.yaml has changed since these jobs were submitted: put it back, or submit again"
    fi
}

# Run a command that can be interrupted. Before the time limit (USR1, see --signal in the wrappers) it is asked to stop,
# by the stop file, and the job goes back into the queue; on TERM it is asked to stop, and Slurm decides on the job.
# A command that breaks down is started anew, from what it has saved, at most `retries` times; a user error (2) is not.
retries=0
persist() {
    local pid rc=0
    "$@" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        wait "$pid" || true # a signal interrupts it
    done
    wait "$pid" || rc=$?
    trap - USR1 TERM
    rm -f "$COSMOKERAS_STOP_FILE"
    [ "$rc" -ne 0 ] || return 0
    if [ -n "$warned" ]; then
        put_back "asked to stop before the time limit"
    elif [ -z "$ended" ] && [ "$rc" -ne 2 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$retries" ]; then
        put_back "error: exit code $rc"
    fi
    echo "error: job $SLURM_JOB_ID ($SLURM_JOB_NAME) failed with exit code $rc; jobs that wait for it are cancelled" >&2
    exit "$rc"
}

put_back() {
    echo "job $SLURM_JOB_ID goes back into the queue: $1" >&2
    if scontrol requeue "$SLURM_JOB_ID"; then
        sleep 60 # until Slurm ends this start of the job
    fi
}
