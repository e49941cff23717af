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
# What each task of an array may take, and what the others may. Many sites allow arrays of 1,000 tasks at most.
task=(--cpus-per-task=2 --mem-per-cpu=2G --time=04:00:00)
other=(--cpus-per-task=2 --mem-per-cpu=2G --time=04:00:00)

# Runs lithify, and passes signals on to it. What stops in order (75), as before its time is over, is queued again, and goes on.
run() {
    local code=0 signalled=0
    "$lithify" "$@" &
    local process=$!
    trap 'signalled=1; kill -TERM "$process" 2>/dev/null || true' USR1 TERM
    wait "$process" || code=$?
    while [ "$signalled" = 1 ]; do
        # What ended was the waiting.
        signalled=0 code=0
        wait "$process" || code=$?
    done
    if [ "$code" = 75 ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
        sleep 30
    fi
    # Elements that were left out (3) are named by `finish`.
    [ "$code" != 3 ] || code=0
    exit "$code"
}

case ${1:-submit} in
submit)
    mkdir -p "$logs"
    script=$(realpath "$0")
    # A job whose turn can never come is cancelled, and does not wait for ever.
    submit() {
        sbatch --parsable --kill-on-invalid-dep=yes --requeue --open-mode=append --signal=B:USR1@120 --chdir="$PWD" "$@"
    }
    array=(--array="0-$((tasks - 1))" --output="$logs/%x-%a.log")
    scan=$(submit --job-name=lithify-scan "${array[@]}" "${task[@]}" "$script" scan)
    made=$(submit --job-name=lithify-plan --dependency="afterok:$scan" --output="$logs/%x.log" "${other[@]}" "$script" plan)
    write=$(submit --job-name=lithify-write --dependency="afterok:$made" "${array[@]}" "${task[@]}" "$script" write)
    finish=$(submit --job-name=lithify-finish --dependency="afterok:$write" --output="$logs/%x.log" "${other[@]}" "$script" finish)
    echo "scan $scan, plan $made, write $write, finish $finish; logs in $logs"
    echo "how far it is: $lithify status $plan"
    echo "tasks that failed are done again by: sbatch --array=NUMBERS ${task[*]} $script write, and then: $lithify finish $plan"
    ;;
scan) run scan "${dataset[@]}" -o "$profiles" --tasks "$tasks" --task auto --quiet ;;
plan) run plan "${dataset[@]}" "${output[@]}" -o "$plan" --tasks "$tasks" --profiles "$profiles" ;;
write) run write "$plan" --task auto ;;
finish) run finish "$plan" ;;
*) echo "usage: bash $0" >&2; exit 2 ;;
esac
