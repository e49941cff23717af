#!/usr/bin/env bash
# Converts a dataset by arrays of Slurm jobs. Read it, change what does not suit, and run it with `bash`: it submits four jobs, each
# of which waits for the one before. What a job is to do stands below under its name.
set -euo pipefail

lithify=@LITHIFY@
plan=@PLAN@
profiles="$plan.profiles"
logs="$plan.logs"
tasks=@TASKS@
# What is read, and what is wanted of it; and what becomes of it.
dataset=(@DATASET@)
output=(@OUTPUT@)
limits=(@RUN@)
# What each task of an array may take, and what the others may. Many sites allow arrays of 1,000 tasks at most.
task=(--cpus-per-task=2 --mem-per-cpu=2G --time=04:00:00)
other=(--cpus-per-task=2 --mem-per-cpu=2G --time=04:00:00)

# Runs lithify, and passes signals on to it. A task that stops in order (75) since its time is nearly over is queued again, and goes on.
run() {
    local code=0 signalled=0 late=0
    "$lithify" "$@" "${limits[@]}" &
    local process=$!
    trap 'signalled=1 late=1; kill -TERM "$process" 2>/dev/null || true' USR1
    trap 'signalled=1; kill -TERM "$process" 2>/dev/null || true' TERM
    wait "$process" || code=$?
    while [ "$signalled" = 1 ]; do
        # What ended was the waiting.
        signalled=0 code=0
        wait "$process" || code=$?
    done
    if [ "$code" = 75 ] && [ "$late" = 1 ] && [ "$1" = write ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
        sleep 30
    fi
    # Elements that were left out (3) are named by `finish`.
    [ "$code" != 3 ] || code=0
    exit "$code"
}

# A job whose turn can never come is cancelled, and does not wait for ever. Jobs that have to make room are queued again by Slurm.
submit() {
    sbatch --parsable --kill-on-invalid-dep=yes --requeue --open-mode=append --signal=B:USR1@120 --chdir="$PWD" "$@"
}
array() {
    local name=$1 numbers=$2
    shift 2
    submit --job-name="lithify-$name" --array="$numbers" --output="$logs/%x-%a.log" "${task[@]}" "$@" "$script" "$name"
}
one() {
    local name=$1
    shift
    submit --job-name="lithify-$name" --output="$logs/%x.log" "${other[@]}" "$@" "$script" "$name"
}

case ${1:-submit} in
submit)
    mkdir -p "$logs"
    script=$(realpath "$0")
    scan=$(array scan "0-$((tasks - 1))")
    made=$(one plan --dependency="afterok:$scan")
    write=$(array write "0-$((tasks - 1))" --dependency="afterok:$made")
    finish=$(one finish --dependency="afterok:$write")
    echo "scan $scan, plan $made, write $write, finish $finish; logs in $logs"
    echo "how far it is: $lithify status $plan"
    echo "to do tasks again that failed: bash $script again 3,7-9"
    ;;
again)
    script=$(realpath "$0")
    write=$(array write "${2:?which tasks, as in 3,7-9}")
    finish=$(one finish --dependency="afterok:$write")
    echo "write $write, finish $finish; logs in $logs"
    ;;
scan) run scan "${dataset[@]}" -o "$profiles" --tasks "$tasks" --task auto --quiet ;;
plan) run plan "${dataset[@]}" "${output[@]}" -o "$plan" --tasks "$tasks" --profiles "$profiles" ;;
write) run write "$plan" --task auto ;;
finish) run finish "$plan" ;;
*) echo "usage: bash $0 [again NUMBERS]" >&2; exit 2 ;;
esac
