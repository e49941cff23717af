"""Tests on a Slurm cluster."""

import contextlib
import re
import shutil
import signal
import subprocess
import time

from batch.cluster import until
from batch.common import ALONE, FEW, OUTPUTS, SLOW, differing, seconds, want
from tortures.common import STOPPED, Skipped

# Writes a quarter of a file that is mapped, as no task may: where nodes have caches of their own, it writes back what others have
# written in the meantime.
MAPPED = """
import mmap, os, time
rank, width = int(os.environ["SLURM_PROCID"]), 1001
start, end = rank * 250 * width, (rank + 1) * 250 * width
view = mmap.mmap(os.open("mapped", os.O_RDWR), 1000 * width)
view[start], view[end - 1]
time.sleep(1)
view[start:end] = bytes([rank + 1]) * (end - start)
view.flush()
"""
# When a copy of a task starts and ends, and how.
TIMED = "echo start $(date +%s.%N); {}; code=$?; echo end $code $(date +%s.%N); exit $code"
SIGNALS = ["TERM", "INT", "HUP", "USR1", "USR2", "XCPU"]


def array(site):
    """Arrays of eight tasks: scan, plan, write, finish, each after the one before."""
    started = time.monotonic()
    with site.cluster(split=True) as cluster:
        ends = []
        for kind in site.kinds():
            work = site.work(kind, 8, planned=False)
            scan = work.line("scan", *work.inputs, *work.request, "-o", work.profiles, "--tasks", 8, "--task", "auto")
            scanned = cluster.sbatch(f"exec {scan}", "--array=0-7")
            plan = work.line("plan", *work.inputs, *work.request, *work.planning, "--profiles", work.profiles)
            planned = cluster.sbatch(f"exec {plan}", *after(scanned))
            written = work.submit(cluster, *after(planned))
            ends.append((work, cluster.sbatch(f"exec {work.line('finish', work.plan)}", *after(written)), written))
        for work, end, written in ends:
            states = cluster.wait(end, written)
            want(states == {"COMPLETED": 9}, f"the jobs ended so: {states}: {cluster.told(end)}{cluster.told(written, 0)}")
            want(work.output.exists(), "the job `finish` has published nothing")
            told = cluster.told(written, 3)
            want("SLURM_ARRAY_TASK_ID" in told, f"a task does not say where it has its number from: {told}")
            work.check()
    return f"{len(ends)} outputs by 4 nodes, {seconds(started)}"


def after(*jobs):
    """Options for a job that starts only when others have done well, and is not left waiting if they have not."""
    return [f"--dependency=afterok:{':'.join(map(str, jobs))}", "--kill-on-invalid-dep=yes"]


def script(site):
    """What `lithify slurm` prints is run, and submits all; tasks that are told to stop see to it that they go on."""
    with site.cluster(cpus=2, memory=4096, split=True) as cluster:
        for kind in site.kinds():
            work = site.work(kind, 8, planned=False)
            submitted(cluster, work)
            work.check()
    if site.quick:
        return "its jobs have published the output"
    with site.cluster(cpus=2, memory=4096, rate=SLOW) as cluster:
        work = site.work("npy", 4, planned=False)
        told = submitted(cluster, work, lambda job: warn(cluster, work, job))
        want(told.count("restart") == 4, f"the tasks were not requeued: {told}")
        work.check()
    return "its jobs have published the outputs; tasks that got USR1 have requeued themselves"


def submitted(cluster, work, amid=None):
    """Runs the script that is printed, to the end of its jobs."""
    code, printed = work.site.output("slurm", *work.inputs, *work.request, *work.planning)
    want(code == 0, f"it ends with {code}: {printed}")
    before = {job["array"].split("_")[0] for job in cluster.jobs()}
    path = work.place / "submit"
    path.write_text(printed)
    done = cluster.run("bash", path, check=False, cwd=work.place)
    want(done.returncode == 0, f"the script ends with {done.returncode}: {done.stdout}{done.stderr}")
    names = {job["name"]: job["array"].split("_")[0] for job in cluster.jobs()}
    mine = [job for job in names.values() if job not in before]
    want(len(mine) == 4, f"the script submits the jobs {names}")
    if amid:
        amid(names["lithify-write"])
    states = cluster.wait(*mine)
    told = "".join(f"{log.name}:\n{log.read_text()}" for log in sorted(work.place.rglob("*.log")))
    want(set(states) == {"COMPLETED"}, f"the jobs ended so: {states}: {told}")
    want(work.output.exists(), f"nothing is published: {told}")
    return told + "".join("restart\n" for job in cluster.jobs(*mine) if job["restarts"] == "1")


def warn(cluster, work, job):
    """Tells all tasks, in their midst, that their time is about to be over."""
    until(work.plan.exists, 60, "there is a plan", cluster.hurry)
    work.midst(0, 1, 2, 3)
    cluster.run("scancel", "--batch", "--signal=USR1", job)


def requeue(site):
    """A task that is requeued, and one that is killed and submitted again, go on with what was done, on whatever node."""
    told = []
    with site.cluster(rate=SLOW) as cluster:
        for kind in site.kinds():
            work = site.work(kind, 4)
            # What a killed process had written is known to be there where the file system was told to see to it.
            job = work.submit(cluster, script=f"exec {work.writing('--sync-every', 0.3)}")
            work.midst(1, 2)
            time.sleep(1)
            cluster.run("scontrol", "requeue", f"{job}_1")
            cluster.run("scancel", "--batch", "--signal=KILL", f"{job}_2")
            states = cluster.wait(job)
            want(states == {"COMPLETED": 3, "FAILED": 1}, f"the tasks ended so: {states}")
            want(cluster.job(f"{job}_1")["restarts"] == "1", "the task was not requeued")
            done, whole = work.blocks(2)
            want(0 < done < whole, f"{done} of {whole} blocks of the killed task are done")
            work.unfinished("2")
            anew = work.submit(cluster, tasks="2")
            states = cluster.wait(anew)
            want(states == {"COMPLETED": 1}, f"the task ended so, submitted again: {states}: {cluster.told(anew, 2)}")
            for of_one in [cluster.told(job, 1), cluster.told(anew, 2)]:
                want("going on" in of_one, f"the task does not go on: {of_one}")
            told.append(f"{done} of {whole} blocks were kept of the killed one")
            # One that is told to stop keeps what it says that it keeps, and goes on with that on another node.
            work.check()
            work = site.work(kind, 2)
            job = work.submit(cluster, tasks="0")
            work.midst(0)
            cluster.run("scancel", "--batch", "--signal=TERM", f"{job}_0")
            cluster.wait(job)
            other = f"--exclude={cluster.job(f'{job}_0')['node']}"
            again = work.submit(cluster, other, tasks="0,1")
            cluster.wait(again)
            kept = re.search(r"(\d+) of \d+ blocks are done, and kept", cluster.told(job, 0))
            want(kept, f"the task does not say what is kept: {cluster.told(job, 0)}")
            told_again = cluster.told(again, 0)
            on_with = f"going on with a run that was ended: {kept[1]} of"
            want(on_with in told_again, f"{kept[0]}, but on another node: {told_again}")
            work.check()
    return ", ".join(told)


def node(site):
    """A node is lost with its tasks, and Slurm runs them elsewhere."""
    told = []
    with site.cluster(rate=SLOW, cpus=2) as cluster:
        works = [site.work(kind, 4) for kind in site.kinds()]
        jobs = [work.submit(cluster) for work in works]
        for work in works:
            work.midst(0, 1, 2, 3)
        lost = cluster.job(f"{jobs[0]}_1")["node"]
        cluster.stop_node(lost)
        if site.quick:
            cluster.give_up(lost)
        started = time.monotonic()
        states = cluster.wait(*jobs)
        want(states == {"COMPLETED": 4 * len(works)}, f"the tasks ended so: {states}")
        again = sum(job["restarts"] != "0" for job in cluster.jobs(*jobs))
        want(again > 0, "no task was requeued")
        told.append(f"{again} tasks run again, {seconds(started)} after the loss")
        for work in works:
            work.check()
    return ", ".join(told)


def twice(site):
    """Only the slurmd of a node is lost: a second copy of its task runs while the first one still writes."""
    overlaps = []
    with site.cluster(rate=SLOW // 2) as cluster:
        for kind in site.kinds():
            work = site.work(kind, 3)
            job = work.submit(cluster, script=TIMED.format(work.writing()))
            work.midst(1)
            lost = cluster.job(f"{job}_1")["node"]
            cluster.kill_daemon(lost)
            time.sleep(0.5)
            cluster.give_up(lost)
            states = cluster.wait(job)
            want(states == {"COMPLETED": 3}, f"the tasks ended so: {states}: {cluster.told(job, 1)}")
            until(lambda: cluster.told(job, 1).count("end ") == 2, 60, lambda: f"both copies end: {cluster.told(job, 1)}")
            told = cluster.told(job, 1)
            starts = [float(at) for at in re.findall(r"^start (\S+)", told, re.MULTILINE)]
            ends = re.findall(r"^end (\d+) (\S+)", told, re.MULTILINE)
            want(all(code == "0" for code, _ in ends), f"the copies ended so: {ends}: {told}")
            overlap = min(float(at) for _, at in ends) - max(starts)
            want(overlap > 0, f"the copies did not run at the same time: {told}")
            overlaps.append(f"{overlap:.1f} s")
            processes = work.status()["tasks"][1]["processes"]
            want(processes == 2, f"status knows of {processes} processes")
            work.check()
            cluster.start_daemon(lost)
            cluster.take_back(lost)
    return f"two copies at once for {', '.join(overlaps)}"


def late(site):
    """A copy of a task on a lost node stands still until the output is published, and only then writes on."""
    codes = []
    with site.cluster(rate=SLOW) as cluster:
        for kind in site.kinds():
            work = site.work(kind, 3)
            job = work.submit(cluster, script=TIMED.format(work.writing()))
            work.midst(1)
            lost = cluster.job(f"{job}_1")["node"]
            want(cluster.signal(lost, site.lithify, signal.SIGSTOP) == 1, f"there is no lithify on {lost}")
            cluster.kill_daemon(lost)
            time.sleep(0.5)
            cluster.give_up(lost)
            states = cluster.wait(job)
            want(states == {"COMPLETED": 3}, f"the tasks ended so: {states}: {cluster.told(job, 1)}")
            code, told = work.finish()
            want(code == 0, f"finish ends with {code}: {told}")
            work.compare("while a copy of a task stands still")
            cluster.signal(lost, site.lithify, signal.SIGCONT)
            until(lambda: cluster.told(job, 1).count("end ") == 2, 60, lambda: f"both copies end: {cluster.told(job, 1)}")
            codes += re.findall(r"^end (\d+)", cluster.told(job, 1), re.MULTILINE)[1:]
            work.compare("after a late copy of a task has ended")
            work.check()
            cluster.start_daemon(lost)
            cluster.take_back(lost)
    return f"nothing is changed by late copies, which end with {', '.join(codes)}"


def stale(site):
    """A late copy of a task writes on while the same output is made anew by another plan: it changes nothing of that."""
    told = []
    with site.cluster(rate=SLOW) as cluster:
        for kind in site.kinds():
            work = site.work(kind, 3, request=ALONE if kind == "zarr" else None)
            job = work.submit(cluster, tasks=1)
            work.midst(1)
            where = cluster.job(f"{job}_1")["node"]

            def between(where=where, work=work):
                """Stops it, where that is not within a file of its own: such a file is gone when it goes on."""
                want(cluster.signal(where, site.lithify, signal.SIGSTOP) == 1, f"there is no lithify on {where}")
                if not any(work.hidden.glob("tasks/1/*/unfinished/*")):
                    return True
                cluster.signal(where, site.lithify, signal.SIGCONT)
                return False

            until(between, 10, "it is between two files", every=0.001)
            work.all_here(work.plan)
            # What is wanted now has the same sizes, and other bytes.
            request = [word.replace("pad=4001", "pad=4001 value=9") for word in work.request]
            again, other = work.place / "plan-2", work.place / OUTPUTS[kind].replace("out", "other")
            work.make_plan(again, request, "--overwrite")
            work.all_here(again, finish=False)
            # Long enough for what it is in the midst of, and too short for all of it.
            cluster.signal(where, site.lithify, signal.SIGCONT)
            time.sleep(1)
            cluster.signal(where, site.lithify, signal.SIGKILL)
            cluster.wait(job)
            work.all_here(again)
            site.must("convert", *work.inputs, *request, "-o", other)
            differ = sorted(differing(other, work.output))
            want(not differ, f"of the second plan, {', '.join(differ[:5])} are what the first one's late task has written")
            told.append(work.output.name)
            shutil.rmtree(work.place)
    return f"{', '.join(told)} made anew while a task of before writes on"


def preempt(site):
    """A job of higher priority takes the nodes: tasks stop in order, are requeued, and go on; steps of srun end with 75."""
    told = []
    # Without a time of grace, scripts are told and requeued. With one, only steps of srun are told, at its begin. One that stops
    # is the end of its job, which has to see to it itself that it is run again. SLURM_JOB_ID will not do for that: in one task of
    # an array it is the number of the array, all of which would be requeued.
    alone = "exec {}"
    itself = "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
    stepped = f"srun {{}}; code=$?; echo code $code; [ $code != {STOPPED} ] || scontrol requeue {itself}; exit $code"
    for script, grace in [(alone, 0), (stepped, 10)]:
        with site.cluster(rate=SLOW // 2, grace=grace) as cluster:
            for kind in site.kinds():
                work = site.work(kind, 4)
                job = work.submit(cluster, script=script.format(work.writing()))
                work.midst(0, 1, 2, 3)
                urgent = cluster.sbatch("sleep 1", "-p", "urgent", "-N", "4")
                states = cluster.wait(urgent, job)
                want(states == {"COMPLETED": 5}, f"the jobs ended so: {states}: {cluster.told(job, 0)}")
                restarts = [task["restarts"] for task in cluster.jobs(job)]
                want(restarts.count("1") == 4, f"the tasks were requeued so often: {restarts}")
                if grace:
                    codes = [re.findall(r"^code (\d+)", cluster.told(job, task), re.MULTILINE) for task in range(4)]
                    want(codes == [[str(STOPPED), "0"]] * 4, f"the steps ended with {codes}: {cluster.told(job, 0)}")
                told.append(work.output.name)
                work.check()
    return f"4 tasks each of {', '.join(told)} gone on after preemption"


def resubmit(site):
    """Two of eight tasks fail, `finish` names them, and `--array=3,7` does them."""
    with site.cluster() as cluster:
        for kind in site.kinds():
            work = site.work(kind, 8)
            first = work.submit(cluster, script=f"[ $((SLURM_ARRAY_TASK_ID % 4)) != 3 ] || exit 9\nexec {work.writing()}")
            ending = cluster.sbatch(f"exec {work.line('finish', work.plan)}", *after(first))
            states = cluster.wait(first, ending)
            want(states == {"CANCELLED": 1, "COMPLETED": 6, "FAILED": 2}, f"the jobs ended so: {states}")
            work.unfinished("3,7")
            again = work.submit(cluster, tasks="3,7")
            states = cluster.wait(again)
            want(states == {"COMPLETED": 2}, f"the tasks ended so: {states}: {cluster.told(again, 3)}")
            work.check()
    return "`finish` names 3,7, which are then done"


def loud(site):
    """A script for one of four tasks, run without srun, refuses to do a part in silence."""
    with site.cluster() as cluster:
        work = site.work("npy", 4)
        jobs = [cluster.sbatch(work.writing(), "-n", "4"), cluster.sbatch(work.writing())]
        cluster.wait(*jobs)
        for job in jobs:
            code = int(cluster.job(job)["code"]) >> 8
            want(code == 2, f"without srun it ends with {code}: {cluster.told(job)}")
        told = cluster.told(jobs[0]).strip()
        work.unfinished("0-3")
    return f"exit code 2: {told.splitlines()[0] if told else 'nothing is told'}"


def ranks(site):
    """The ranks of one srun are the tasks."""
    with site.cluster(cpus=2) as cluster:
        for kind in site.kinds():
            work = site.work(kind, 8)
            done = cluster.srun("-n", 8, *site.command("write", work.plan, "--task", "auto", "--threads", 1))
            want(done.returncode == 0, f"srun ends with {done.returncode}: {done.stderr}")
            want("SLURM_PROCID" in done.stderr, f"no rank says where it has its number from: {done.stderr}")
            work.check()
            # Inside of a batch script, which sees rank 0 of its own.
            work = site.work(kind, 4)
            job = cluster.sbatch(f"srun {work.writing()}", "-n", "4")
            states = cluster.wait(job)
            want(states == {"COMPLETED": 1}, f"the job ended so: {states}: {cluster.told(job)}")
            work.check()
            # Too few ranks would leave tasks; too many do no harm.
            work = site.work(kind, 4)
            done = cluster.srun("-n", 3, *site.command("write", work.plan, "--task", "auto"))
            want(done.returncode == 2, f"with 3 ranks for 4 tasks, srun ends with {done.returncode}: {done.stderr}")
            work.unfinished("0-3")
            done = cluster.srun("-n", 6, *site.command("write", work.plan, "--task", "auto"))
            want(done.returncode == 0, f"with 6 ranks for 4 tasks, srun ends with {done.returncode}: {done.stderr}")
            work.check()
    return "8 ranks, 4 of a batch script, 6 for 4 tasks; 3 for 4 tasks are refused"


def levels(site):
    """srun inside of an array: ranks within tasks."""
    told = []
    with site.cluster() as cluster:
        for kind in site.kinds():
            work = site.work(kind, 8)
            job = cluster.sbatch(f"srun {work.writing()}", "-n", "4", "--array=0-1")
            states = cluster.wait(job)
            if states == {"COMPLETED": 2}:
                told.append("`auto` knows both levels")
            else:
                codes = {int(task["code"]) >> 8 for task in cluster.jobs(job)}
                want(codes == {2}, f"the jobs ended with {codes}: {cluster.told(job, 0)}")
                told.append("`auto` refuses")
                each = work.writing(task="TASK").replace("TASK", "$((4 * SLURM_ARRAY_TASK_ID + SLURM_PROCID))")
                job = cluster.sbatch(f"srun sh -c '{each}'", "-n", "4", "--array=0-1")
                states = cluster.wait(job)
                want(states == {"COMPLETED": 2}, f"the jobs ended so: {states}: {cluster.told(job, 0)}")
            work.check()
    return f"{told[0]}; 2 × 4 tasks"


def caches(site):
    """Nodes with page caches of their own write rows of odd width at the same time."""
    rounds = 3 if site.quick else 15
    with site.cluster(split=True) as cluster:
        for number in range(rounds):
            for kind in site.kinds():
                work = site.work(kind, 4, FEW)
                words = ["write", work.plan, "--task", "auto", "--threads", 1 + number % 2]
                done = cluster.srun("-n", 4, *site.command(*words))
                want(done.returncode == 0, f"srun ends with {done.returncode}: {done.stderr}")
                work.check()
        # The nodes have to see different things, or nothing was tried.
        mapped = site.shared / "mapped"
        mapped.write_bytes(bytes(1000 * 1001))
        cluster.srun("-n", 4, "python3", "-c", MAPPED, check=True)
        quarters = (bytes([rank + 1]) * 250 * 1001 for rank in range(4))
        want(mapped.read_bytes() != b"".join(quarters), "the caches of the nodes are one")
    return f"{rounds} rounds of 4 nodes, nothing is lost"


def memory(site):
    """Where memory is polled, or limited by control groups, tasks stay within their `--mem`."""
    told = []
    for kill in ["poll", "cgroup"]:
        try:
            with site.cluster(kill=kill) as cluster:
                for kind in site.kinds():
                    work = site.work(kind, 4)
                    job = work.submit(cluster, "--mem=64", script=f"exec {work.line('write', work.plan, '--task', 'auto')}")
                    states = cluster.wait(job)
                    want(states == {"COMPLETED": 4}, f"{kill}: the tasks ended so: {states}: {cluster.told(job, 0)}")
                    work.check()
                # It has to be a limit, or nothing was tried.
                greedy = cluster.sbatch("python3 -c 'import time; a = b\"x\" * (300 << 20); time.sleep(5)'", "--mem=64")
                states = cluster.wait(greedy)
                want(states != {"COMPLETED": 1}, f"{kill}: nothing is limited")
            told.append(kill)
        except Skipped as why:
            told.append(f"not by {kill}: {why}")
    return f"64 MiB are enough for 26 MiB of output a task: {', '.join(told)}"


def signals(site):
    """Each signal that may come ends a task in order, with 75, and it goes on; so does what `--signal=B:USR1@…` sends."""
    with site.cluster(rate=SLOW, cpus=2) as cluster:
        work = site.work("npy", 6)
        job = work.submit(cluster)
        for task, name in enumerate(SIGNALS):
            until(lambda task=task: work.blocks(task)[0] > 0, 60, f"task {task} is in its midst")
            cluster.run("scancel", "--batch", f"--signal={name}", f"{job}_{task}")
        cluster.wait(job)
        codes = {name: int(cluster.job(f"{job}_{task}")["code"]) >> 8 for task, name in enumerate(SIGNALS)}
        want(set(codes.values()) == {STOPPED}, f"tasks that got signals ended with {codes}")
        work.unfinished("0-5")
        again = work.submit(cluster)
        states = cluster.wait(again)
        want(states == {"COMPLETED": 6}, f"the tasks ended so, submitted again: {states}: {cluster.told(again, 0)}")
        work.check()
    if site.quick:
        return f"{len(SIGNALS)} signals"
    with site.cluster(rate=SLOW // 10, nodes=2) as cluster:
        work = site.work("npy", 2)
        job = work.submit(cluster, "-t", "1", "--signal=B:USR1@50")
        cluster.wait(job)
        codes = {int(task["code"]) >> 8 for task in cluster.jobs(job)}
        want(codes == {STOPPED}, f"the tasks ended with {codes}: {cluster.told(job, 0)}")
        done, whole = work.blocks()
        want(0 < done < whole, f"{done} of {whole} blocks are done")
    with site.cluster(nodes=2) as cluster:
        cluster.wait(work.submit(cluster))
        work.check()
    return f"{len(SIGNALS)} signals; --signal=B:USR1@50: {STOPPED} with {done} of {whole} blocks"


def again(site):
    """Scans, plans and finishes are killed at any moment, and run again, as after the loss of a node; two finish at once."""
    kills = 0
    for _ in range(1 if site.quick else 4):
        for kind in site.kinds():
            work = site.work(kind, 3, FEW, planned=False)
            for task in range(3):
                shares = ["-o", work.profiles, "--tasks", 3, "--task", task]
                kills += killed(site, "scan", *work.inputs, *work.request, *shares)
            kills += killed(site, "plan", *work.inputs, *work.request, *work.planning, "--profiles", work.profiles)
            for task in range(3):
                kills += killed(site, "write", work.plan, "--task", task)
            kills += killed(site, "finish", work.plan)
            work.check()
            work = site.work(kind, 3, FEW)
            work.all_here(work.plan, finish=False)
            ends = [site.start("finish", work.plan) for _ in range(3)]
            told = [end.communicate(timeout=60)[1] for end in ends]
            codes = [end.returncode for end in ends]
            want(0 in codes and set(codes) <= {0, 1}, f"three that finish at once end with {codes}: {told}")
            work.check()
    return f"{kills} kills"


def killed(site, *words):
    """Kills a command at moments that come later and later, until one gets to its end: how many did not."""
    kills, wait = 0, 0.0
    while True:
        process = site.start(*words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=wait)
        process.kill()
        _, told = process.communicate()
        if process.returncode != -signal.SIGKILL:
            want(process.returncode == 0, f"after {kills} kills, {words[0]} ends with {process.returncode}: {told}")
            return kills
        kills += 1
        wait += site.random.uniform(0, 0.02)


def missed(site):
    """`finish` fails where the marker of one task is missing, and `status` tells what is true, while tasks run and after."""
    with site.cluster(rate=SLOW) as cluster:
        work = site.work("npy", 4)
        whole = work.blocks()[1]
        want(work.blocks() == (0, whole), f"before anything is done: {work.status()}")
        job = work.submit(cluster, tasks="0,1,3")
        seen = [0]
        while not all(task["state"] == "COMPLETED" for task in cluster.jobs(job)):
            status = work.status()
            tasks = [task["done"] for task in status["tasks"]]
            want(sum(tasks) == status["done"], f"the tasks are not the whole: {status}")
            want(seen[-1] <= status["done"] <= whole, f"{status['done']} of {whole} blocks are done after {seen[-1]}")
            seen.append(status["done"])
            code, told = work.finish()
            want(code == 1, f"finish ends with {code} while tasks run: {told}")
            want(len(seen) < 600, "the tasks take for ever")
            time.sleep(0.2)
        want(len(set(seen)) > 3, f"status saw only {sorted(set(seen))}")
        done, of_task = work.blocks(2)
        want(done == 0 and work.blocks()[0] == whole - of_task, f"after three tasks: {work.status()}")
        work.unfinished("2")
        cluster.wait(work.submit(cluster, tasks="2"))
        want(work.blocks() == (whole, whole), f"after all tasks: {work.status()}")
        # What says that a task is done is lost; all else is there.
        (work.hidden / "tasks/1/done").unlink()
        incomplete = [task["task"] for task in work.status()["tasks"] if not task["complete"]]
        want(incomplete == [1], f"without the mark of task 1: {work.status()}")
        work.unfinished("1")
        cluster.wait(work.submit(cluster, tasks="1"))
        work.check()
    return f"{len(set(seen))} different numbers of {whole} blocks were seen"


TESTS = {
    test.__name__: test
    for test in [
        *(array, script, requeue, node, twice, late, stale, preempt, resubmit, loud, ranks, levels, caches, memory, signals),
        *(again, missed),
    ]
}
QUICK = ["array", "script", "resubmit", "loud", "ranks", "caches", "twice"]
