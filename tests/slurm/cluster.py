"""A Slurm of two nodes on this machine, for as long as a test suite lasts; all that it keeps is in one folder.

munged, slurmctld and one slurmd for each node are children of this process, talk over loopback and stop with it. Nodes
n1 and n2 have four processors each, whatever the machine has, and a GPU that is none. It needs
Debian's slurm-wlm and munge.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2")
DAEMONS = ("munged", "slurmctld", "slurmd")
SEARCH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])  # Debian keeps daemons off a user's path
UNFINISHED = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED"}

CONFIGURATION = """
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
MpiDefault=none
TaskPlugin=task/none
ProctrackType=proctrack/linuxproc
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MailProg=/bin/true
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=2000 Gres=gpu:1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=2000 Gres=gpu:1
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=60 State=UP PriorityTier=1
PartitionName=urgent Nodes=n1,n2 MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing_parts() -> list[str]:
    """Programs that a cluster needs and that are not installed."""
    return [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=SEARCH) is None]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until(true: Callable[[], object], seconds: float, what: str, every: float = 0.05) -> None:
    """Wait for something, at most so long; look `every` so many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(every)


def processes(*words: str) -> list[int]:
    """Numbers of processes whose environment has all of these `NAME=value`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (path / "environ").read_bytes().split(b"\0")
            if all(word.encode() in environment for word in words):
                found.append(int(path.name))
    return found


@dataclass
class Cluster:
    """A running cluster: `environment` is what makes Slurm's commands find it."""

    folder: Path
    environment: dict[str, str]

    def processes(self, *words: str) -> list[int]:
        """Processes of this cluster's jobs: another one beside it gives its jobs the same numbers."""
        return processes(f"SLURM_CONF={self.environment['SLURM_CONF']}", *words)

    def run(self, *command: str, cwd: Path | None = None, ok: bool = True, **more: str) -> str:
        """What a command says; `more` are environment variables."""
        done = self.try_to(*command, cwd=cwd, **more)
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, f"{' '.join(command)}: exit {done.returncode}\n{said}"
        return said

    def try_to(self, *command: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        environment = {**self.environment, **more}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)

    def jobs(self, job: str) -> list[dict[str, str]]:
        """What Slurm knows of a job, or of each task of an array."""
        lines = self.run("scontrol", "show", "job", "-o", job).splitlines()
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines if line]

    def states(self, job: str) -> set[str]:
        """States of a job's tasks."""
        return {each["JobState"] for each in self.jobs(job)}

    def wait(self, job: str, seconds: float = 400) -> set[str]:
        """States of a job's tasks when all have come to their end; a job that was put back is let go at once."""

        def over() -> bool:
            found = self.jobs(job)
            for each in found:
                if each["JobState"] == "PENDING" and each["Reason"] == "BeginTime":
                    self.let_go(each["JobId"])
            return not {each["JobState"] for each in found} & UNFINISHED

        # each look is a process of its own, which takes from what the jobs have
        until(over, seconds, f"the end of job {job}", every=0.3)
        time.sleep(0.5)  # a job that is put back can seem to have ended
        until(over, seconds, f"the end of job {job}", every=0.3)
        return self.states(job)

    def let_go(self, job: str) -> None:
        """Start a job that was put back now, and not after the two minutes that Slurm lets it wait.

        But not before its last start is gone: Slurm would take the end of that one for the end of the new one.
        """
        until(lambda: not self.processes(f"SLURM_JOB_ID={job}"), 60, f"the end of what is left of job {job}")
        time.sleep(2)
        self.try_to("scontrol", "update", f"jobid={job}", "StartTime=now")

    def restarts(self, job: str) -> int:
        """How often a job was put back into the queue."""
        return int(self.jobs(job)[0]["Restarts"])


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start it, and stop it in the order that leaves nothing behind: jobs, nodes, controller, munge."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # paths of sockets are short
    folder.chmod(0o755)
    for name in ("state", *NODES):
        (folder / name).mkdir()
    settings = {"host": socket.gethostname().split(".")[0], "ports": free_ports(3), "user": getpass.getuser()}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, **settings))
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "COSMOKERAS_"))}
    cluster = Cluster(folder, {**inherited, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": SEARCH})
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str) -> None:
        with open(folder / f"{name}.log", "wb") as log:
            options = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, "env": cluster.environment}
            started.append(subprocess.Popen(command, **options))

    def idle() -> bool:
        dead = [p.args for p in started if p.poll() is not None]
        logs = "".join(path.read_text()[-1500:] for path in folder.glob("*.log"))
        assert not dead, f"{dead} did not start\n{logs}"
        return len(cluster.try_to("sinfo", "-hN", "-p", "main", "-t", "idle").stdout.split("\n")) > len(NODES)

    try:
        files = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munge.pid", "log-file": "munge-own.log"}
        files["seed-file"] = "munge.seed"
        start("munge", "munged", "-F", "--force", *(f"--{k}={folder}/{v}" for k, v in files.items()))
        until((folder / "munge.sock").exists, 10, "munge")
        start("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            start(node, "slurmd", "-D", "-N", node)
        until(idle, 30, "two idle nodes")
        yield cluster
    finally:
        _stop(cluster, started)
        shutil.rmtree(folder, ignore_errors=True)


def _stop(cluster: Cluster, started: list[subprocess.Popen[bytes]]) -> None:
    cluster.try_to("scancel", "-u", getpass.getuser())
    with suppress(AssertionError):
        busy = ("sinfo", "-h", "-t", "completing,alloc,mix", "-o", "%D")
        until(lambda: cluster.try_to(*busy).stdout.strip() in ("", "0"), 15, "jobs end")
    munge, *others = started or [None]
    for process in (*others[1:], *others[:1], munge):
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    for number in cluster.processes():  # what jobs have left behind
        if number != os.getpid():
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
