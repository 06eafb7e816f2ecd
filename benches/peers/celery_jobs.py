"""Celery on Redis: adds jobs, then finishes them. Prints the seconds of both as JSON.

    celery_jobs.py REDIS-PORT JOBS

Celery has no way to add many jobs together (a `group` sends one by one), so as many processes as there are cores add them,
each over a connection that it keeps. Workers (`solo`: a pool of processes is slower for jobs that do nothing), as many as
there are cores too, fetch ahead, acknowledge early, and keep no results and no events.
"""

import json
import multiprocessing
import os
import sys
import time

from celery import Celery

PORT, JOBS = int(sys.argv[1]), int(sys.argv[2])
CORES = os.cpu_count()
left = multiprocessing.Value("q", JOBS)
begun, finished = multiprocessing.Value("d", 0), multiprocessing.Value("d", 0)
BODY = {
    "action_type": "Read", "resource_type": "Posts", "entity_id": 42, "access_token": "tok-00042", "user_id": "user-42",
    "occurred_at": 1763812799000, "expires_in": 300, "payload": {"author_id": 7},
}

app = Celery("peer", broker=f"redis://127.0.0.1:{PORT}/0")
app.conf.update(
    task_ignore_result=True,
    task_send_sent_event=False,
    worker_prefetch_multiplier=1000,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_enable_remote_control=False,
    broker_transport_options={"priority_steps": [0, 1, 2], "queue_order_strategy": "priority"},
)


@app.task(name="read")
def read(event):
    with left.get_lock():
        if left.value == JOBS:
            begun.value = time.monotonic()
        left.value -= 1
        if left.value == 0:
            finished.value = time.monotonic()


def add(first):
    with app.producer_or_acquire() as producer:
        for n in range(first, JOBS, CORES):
            read.apply_async(({**BODY, "entity_id": n},), producer=producer, priority=n % 3)


def work(_):
    app.Worker(pool_cls="solo", loglevel="ERROR", without_gossip=True, without_mingle=True, without_heartbeat=True).start()


def in_processes(does):
    processes = [multiprocessing.Process(target=does, args=(n,)) for n in range(CORES)]
    for process in processes:
        process.start()
    return processes


began = time.monotonic()
for process in in_processes(add):
    process.join()
added = time.monotonic() - began
workers = in_processes(work)
while not finished.value:
    time.sleep(0.05)
for process in workers:
    process.terminate()
print(json.dumps({"added": added, "finished": finished.value - begun.value}))
