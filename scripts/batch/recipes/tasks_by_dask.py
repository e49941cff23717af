"""The tasks of a plan by Dask.

usage: python tasks_by_dask.py PLAN TASKS
"""

import os
import subprocess
import sys

from dask.distributed import Client, LocalCluster

LITHIFY = os.environ.get("LITHIFY", "lithify")


def write(plan, task):
    """Does one task. It may be run anywhere, again, or twice at the same time."""
    subprocess.run([LITHIFY, "write", plan, "--task", str(task), "--threads", "1"], check=True)


if __name__ == "__main__":
    plan, tasks = sys.argv[1], int(sys.argv[2])
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather(client.map(write, [plan] * tasks, range(tasks), pure=False, retries=2))
    subprocess.run([LITHIFY, "finish", plan], check=True)
