"""A real Slurm cluster on one machine: munged, slurmctld, and a slurmd for each node, as many as are wanted.

Every node has a host name, processes and a scratch directory of its own, and may have a view of its own of the shared directory:
a FUSE mount, with its own page cache and its own locks, as clients of a network file system have. The kernel is one, so what a
cluster shows is what is done in which order, not how fast it is."""

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tortures.common import Failure, Skipped

PROGRAMS = ["munged", "slurmctld", "slurmd", "srun", "bindfs"]
OWNER = "LITHIFY_TEST_OWNER"  # the process that control groups are named after: the one outside, whose number is its own
CONTROL, PORT = "control", 6817
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "DEADLINE", "BOOT_FAIL"}
CGROUPS = Path("/sys/fs/cgroup")
HIERARCHIES = ["memory", "freezer", "cpuset"]

# The first process of a node. It does what it is told on its standard input, and the node ends with that.
NODE = r"""
set -e
node=$1 directory=$2 shared=$3 rate=$4
hostname "$node"
mount --bind "$directory/nodes/$node/local" "$directory/local"
if [ "$rate" != - ]; then
    bindfs -o attr_timeout=0,entry_timeout=0 ${rate:+--write-rate=$rate} "$shared" "$shared"
fi
while read -r told; do
    case $told in
    start) slurmd -D -N "$node" & daemon=$! ;;
    kill) kill -KILL $daemon ;;
    esac
done
"""

CONFIGURATION = """
ClusterName=test
SlurmctldHost={control}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket
SlurmctldPidFile={directory}/slurmctld.pid
SlurmctldLogFile={directory}/log/slurmctld.log
StateSaveLocation={directory}/state
SlurmdPidFile={directory}/nodes/%n/pid
SlurmdLogFile={directory}/log/%n.log
SlurmdSpoolDir={directory}/nodes/%n/spool
SlurmdParameters=config_overrides
TaskProlog={directory}/prolog
MpiDefault=none
PropagateResourceLimits=NONE
ReturnToService=0
JobRequeue=1
MaxArraySize=10001
MinJobAge=3600
KillOnBadExit=0
SlurmctldTimeout=10
SlurmdTimeout=5
KillWait=15
MessageTimeout=10
InactiveLimit=0
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0,sched_min_interval=0,requeue_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU={share}
JobCompType=jobcomp/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=usual Nodes=ALL Default=YES DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=urgent Nodes=ALL DefaultTime=60 PriorityTier=10 PreemptMode=OFF
"""

# How memory that a job takes beyond its `--mem` is noticed.
MEMORY = {
    "none": """
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
""",
    "poll": """
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
""",
    "cgroup": """
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
""",
}

CGROUP = """
CgroupPlugin=cgroup/v1
CgroupMountpoint={directory}/cgroup
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
"""


def missing():
    """Why no cluster can be started here, if that is so."""
    if os.geteuid() != 0:
        return "it needs root, to start a Slurm of its own"
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    absent = [name for name in [*PROGRAMS, "unshare", "setpriv"] if not shutil.which(name, path=path)]
    if absent:
        return f"there is no {', '.join(absent)}"
    if not Path("/dev/fuse").exists():
        return "the kernel has no FUSE"
    if subprocess.run(["unshare", *APART, "true"], capture_output=True).returncode:
        return "no namespaces can be made here"
    return None


APART = ["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def apart(words):
    """Runs a command in namespaces of its own: when it ends, or this process does, in whatever way, all that it has started and
    mounted is gone."""
    remove_cgroups()
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", *APART, *words])

    def end(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # It has been told by the terminal, too.
        process.send_signal(signal.SIGINT)
        return 130
    finally:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.kill()
        process.wait()
        remove_cgroups(os.getpid())


def settle(directory):
    """Makes the namespaces of this process fit for a cluster: a network of its own, and names for the nodes."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    with socket.socket() as any_socket:
        up, setting_flags, setting_address = 0x1 | 0x40, 0x8914, 0x8916
        fcntl.ioctl(any_socket, setting_flags, struct.pack("16sh22x", b"lo", up))
        # Where there is no other address than 127.0.0.1, the C library finds no machine by its name.
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton("127.0.0.2"))
        fcntl.ioctl(any_socket, setting_address, struct.pack("16s16s8x", b"lo:1", address))
    socket.sethostname(CONTROL)
    hosts = directory / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {CONTROL} {' '.join(f'node{number}' for number in range(1, 100))}\n")
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


def cgroup_name(owner):
    """The control group that the groups of a cluster are below; its owner is a process outside of all namespaces."""
    return f"lithify-test-{owner}"


def remove_cgroups(owner=None):
    """Removes the control groups of an owner, and those whose owners are gone."""
    for top in CGROUPS.glob("*/" + cgroup_name("*")):
        process = top.name.rpartition("-")[2]
        if process == str(owner) or not Path("/proc", process).exists():
            deadline = time.monotonic() + 5
            while top.exists() and time.monotonic() < deadline:
                for place, _, _ in os.walk(top, topdown=False):
                    with suppress(OSError):
                        os.rmdir(place)
                time.sleep(0.05 * top.exists())


class Cluster:
    """A cluster, up from entering to leaving it. Only in namespaces that `settle` has seen to, one at a time."""

    def __init__(self, directory, shared, nodes=4, cpus=1, memory=2048, split=False, rate=None, kill="none", grace=0):
        """What it keeps is in a directory that is its own; jobs run in the shared one. `split` gives each node a page cache of
        its own of that; `rate`, which includes it, lets a node write only so many bytes a second there; `kill` is how memory
        beyond `--mem` is noticed: none, poll or cgroup; `grace` is how many seconds a job has that is to make room for a more
        urgent one."""
        self.directory, self.shared, self.cpus, self.memory, self.kill = Path(directory), Path(shared), cpus, memory, kill
        self.view = str(rate) if rate else "" if split else "-"
        self.log, self.grace = self.directory / "log", grace
        self.nodes = {f"node{number}": None for number in range(1, nodes + 1)}
        self.daemons, self.hurried = {}, set()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))},
            "SLURM_CONF": str(self.directory / "slurm.conf"),
        }

    def __enter__(self):
        try:
            self.configure()
            munge = self.directory / "munge"
            self.daemon(
                *("munged", "-F", "--force", f"--socket={munge}/socket", f"--key-file={munge}/key", f"--pid-file={munge}/pid"),
                *(f"--log-file={munge}/log", f"--seed-file={munge}/seed"),
            )
            until(lambda: self.run("munge", "-n", "-S", munge / "socket", check=False).returncode == 0, 20, "munged answers")
            self.daemon("slurmctld", "-D", "-i", "-c")
            for node in self.nodes:
                self.start_node(node)
            idle = dict.fromkeys(self.nodes, "IDLE")
            until(lambda: self.node_states() == idle, 60, lambda: f"all nodes are idle: {self.node_states()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in list(self.nodes):
            self.stop_node(node)
        for process in reversed(self.daemons.values()):
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # What the daemons have left of theirs: children that outlive them.
        for pid in processes_with(f"SLURM_CONF={self.environment['SLURM_CONF']}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.kill == "cgroup":
            for name in HIERARCHIES:
                subprocess.run(["umount", self.directory / "cgroup" / name], capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def configure(self):
        """Writes what the daemons read."""
        if len(str(self.directory)) > 60:
            raise Skipped(f"too long a name for Unix sockets: {self.directory}")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.shared.mkdir(exist_ok=True)
        of_nodes = (f"nodes/{node}/{kind}" for node in self.nodes for kind in ("spool", "local"))
        for name in ["munge", "log", "state", "local", "told", *of_nodes]:
            (self.directory / name).mkdir(parents=True)
        key = self.directory / "munge/key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        scratch = self.directory / "local"
        prolog = self.directory / "prolog"
        prolog.write_text(f"#!/bin/sh\nmkdir -p {scratch}/$SLURM_JOB_ID\necho export SLURM_TMPDIR={scratch}/$SLURM_JOB_ID\n")
        prolog.chmod(0o755)
        lines = CONFIGURATION + MEMORY[self.kill]
        for number, node in enumerate(self.nodes, 1):
            lines += (
                f"NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 Port={PORT + number} CPUs={self.cpus} Boards=1 "
                f"SocketsPerBoard=1 CoresPerSocket={self.cpus} ThreadsPerCore=1 RealMemory={self.memory} State=UNKNOWN\n"
            )
        # Nodes are to be known before partitions.
        lines = "\n".join(sorted(lines.split("\n"), key=lambda line: line.startswith("PartitionName")))
        known = dict(directory=self.directory, control=CONTROL, port=PORT, share=self.memory // self.cpus, grace=self.grace)
        (self.directory / "slurm.conf").write_text(lines.format(**known))
        if self.kill == "cgroup":
            (self.directory / "cgroup.conf").write_text(CGROUP.format(**known))
            self.mount_cgroups()

    def mount_cgroups(self):
        """Lets Slurm see only control groups of its own."""
        owner = os.environ[OWNER]
        for name in HIERARCHIES:
            place, seen = CGROUPS / name / cgroup_name(owner), self.directory / "cgroup" / name
            if not (CGROUPS / name / "cgroup.procs").exists():
                raise Skipped(f"there is no hierarchy of control groups (version 1) for {name}")
            place.mkdir(exist_ok=True)
            if name == "cpuset":
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (place / file).write_text((CGROUPS / name / file).read_text())
            seen.mkdir(parents=True)
            subprocess.run(["mount", "--bind", place, seen], check=True)

    def daemon(self, *words):
        """Starts a daemon."""
        with open(self.log / f"{words[0]}.err", "a") as log:
            self.daemons[words[0]] = subprocess.Popen(
                words, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def start_node(self, node):
        """Switches a node on."""
        words = ["unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with open(self.log / f"{node}.err", "a") as log:
            self.nodes[node] = subprocess.Popen(
                [*words, "bash", "-c", NODE, "node", node, self.directory, self.shared, self.view],
                **dict(env=self.environment, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True),
            )
        self.tell(node, "start")

    def stop_node(self, node):
        """Switches a node off: with all its processes, at once."""
        if process := self.nodes[node]:
            process.kill()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()
            self.nodes[node] = None

    def tell(self, node, word):
        """Has the first process of a node do something."""
        self.nodes[node].stdin.write(word + "\n")
        self.nodes[node].stdin.flush()

    def kill_daemon(self, node):
        """Kills the slurmd of a node. Its tasks run on."""
        self.tell(node, "kill")

    def start_daemon(self, node):
        """Starts the slurmd of a node again."""
        self.tell(node, "start")

    def signal(self, node, program, number):
        """Sends a signal to the processes of a program on a node; gives how many those are."""
        found = 0
        for pid in processes_with(f"SLURMD_NODENAME={node}"):
            with suppress(OSError):
                if str(program).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    os.kill(pid, number)
                    found += 1
        return found

    def give_up(self, node):
        """Has Slurm take a node for lost now, as it does by itself after a time without an answer."""
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def take_back(self, node):
        """Has Slurm use a node again."""
        until(lambda: "IDLE" in self.resumed(node), 60, f"{node} is idle")

    def resumed(self, node):
        """The state of a node that is to be resumed."""
        self.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
        return self.node_states()[node]

    def run(self, *words, check=True, timeout=60, **more):
        """Runs a command that knows the cluster, in the shared directory."""
        try:
            done = subprocess.run(
                list(map(str, words)),
                **dict(cwd=self.shared, env=self.environment, capture_output=True, text=True, timeout=timeout) | more,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"it hangs: {words}") from None
        if check and done.returncode:
            raise Failure(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def srun(self, *words, **more):
        """Runs a job to its end, and gives what `subprocess.run` does."""
        return self.run("srun", "--quiet", *words, **{"check": False, "timeout": 300} | more)

    def sbatch(self, script, *options):
        """Submits a script, and gives its number. What it tells is kept for `told`."""
        array = any(option.startswith("--array") for option in map(str, options))
        place = self.directory / "told" / ("%A-%a" if array else "%j")
        options = ["--parsable", "--open-mode=append", "-o", place, *options]
        done = self.run("sbatch", *options, input=f"#!/bin/bash\n{script}\n")
        return int(done.stdout.split(";")[0])

    def told(self, job, task=None):
        """What a job has told so far."""
        path = self.directory / "told" / (str(job) if task is None else f"{job}-{task}")
        return path.read_text() if path.exists() else ""

    def jobs(self, *jobs):
        """What is known of jobs, an entry for each task: `array` is `17_3`, or `17`."""
        fields = {"array": "JobArrayID", "name": "Name", "state": "State", "why": "Reason", "code": "exit_code"}
        fields |= {"restarts": "RestartCnt", "node": "BatchHost"}
        wanted = ["-j", ",".join(map(str, jobs))] if jobs else []
        done = self.run("squeue", "-h", "-r", "-t", "all", *wanted, "-O", ",".join(f"{name}:40" for name in fields.values()))
        found = []
        for line in done.stdout.splitlines():
            values = (line[at : at + 40].strip() for at in range(0, 40 * len(fields), 40))
            found.append(dict(zip(fields, values)))
        return found

    def states(self, *jobs):
        """How many tasks of jobs are in which state."""
        found = [job["state"] for job in self.jobs(*jobs)]
        return {state: found.count(state) for state in sorted(set(found))}

    def job(self, array):
        """What is known of one job, or task of an array."""
        return next(job for job in self.jobs(str(array).split("_")[0]) if job["array"] == str(array))

    def hurry(self):
        """Starts what Slurm holds back for two minutes because it was requeued. Not at once: in the second in which a job was
        ended, a node takes it for one that it is not to start."""
        for job in self.jobs():
            again = job["array"], job["restarts"]
            if job["state"] == "PENDING" and job["why"] == "BeginTime" and again not in self.hurried:
                self.hurried.add(again)
                self.run("scontrol", "update", f"JobId={job['array']}", "StartTime=now+2", check=False)

    def wait(self, *jobs, timeout=240, quick=True):
        """Waits until jobs are over, or can never start, and gives their states."""

        def over():
            if quick:
                self.hurry()
            return all(job["state"] in OVER or job["why"] == "DependencyNeverSatisfied" for job in self.jobs(*jobs))

        until(over, timeout, lambda: f"jobs {jobs} are over: {self.jobs(*jobs)}")
        return self.states(*jobs)

    def node_states(self):
        """The state of each node."""
        done = self.run("sinfo", "-h", "-N", "-p", "usual", "-o", "%N %T", check=False)
        for name, process in (self.daemons | self.nodes).items():
            if process and process.poll() is not None:
                raise Failure(f"{name} has ended: {(self.log / f'{name}.err').read_text()[-1000:]}")
        return {node: state.upper() for node, state in (line.split() for line in done.stdout.splitlines())}


def processes_with(setting):
    """The processes that have a variable in their environment, but for this one."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if setting.encode() in (place / "environ").read_bytes().split(b"\0") and place.name != str(os.getpid()):
                yield int(place.name)


def until(happens, timeout, what, meanwhile=None, every=0.1):
    """Waits for something."""
    deadline = time.monotonic() + timeout
    while not (found := happens()):
        if meanwhile:
            meanwhile()
        if time.monotonic() > deadline:
            raise Failure(f"after {timeout} s it is not so that {what() if callable(what) else what}")
        time.sleep(every)
    return found
