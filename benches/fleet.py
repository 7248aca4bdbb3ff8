#!/usr/bin/env python3
"""A worker's memory and the time of a partition, and the throughput of one, two and four workers.

benches/fleet.py BINARY PACKUMENTS [SHARE]. BINARY is a release build, PACKUMENTS a file of packuments, one a line, and SHARE
the part of a core that each worker gets (0.25), by the cgroup `cpu` of version 1, so it needs root. The sample registry serves
the documents on the same machine, each after 5 ms. The lake is a folder on its disk.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

REGISTRY = "http://127.0.0.1:4873"
GROUPS = pathlib.Path("/sys/fs/cgroup/cpu")
FAULTS = "[[faults]]\nkind = \"packument\"\naction = { slow = { before_headers_ms = 5, between_chunks_ms = 0, chunk_bytes = 1048576 } }\n"
children = []


def start(command, folder, share=None):
    prepare = None
    if share:
        group = GROUPS / f"all-docs-{len(children)}"
        group.mkdir(exist_ok=True)
        (group / "cpu.cfs_period_us").write_text("20000")
        (group / "cpu.cfs_quota_us").write_text(str(int(20000 * share)))
        prepare = lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    log = open(folder / f"{len(children)}.log", "w")
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log,
                             preexec_fn=prepare)
    children.append(child)
    return child


def wait_for(url):
    while True:
        try:
            return urllib.request.urlopen(url).read()
        except OSError:
            time.sleep(0.05)


def peak_mb(child):
    status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1000


def end(workers):
    for worker in workers:
        worker.terminate()
        worker.wait()


def worker(binary, folder, lake, port, share=None, items=2):
    runtime = folder / f"runtime-{port}"
    runtime.mkdir(exist_ok=True)
    os.environ["ALL_DOCS_RUNTIME_DIR"] = str(runtime)
    command = [binary, "worker", "--listen", f"127.0.0.1:{port}", "--origin", f"bench={REGISTRY}", "--lake", lake,
               "--partition-rows", "1000", "--rate", "100000", "--items", str(items)]
    return start(command, folder, share)


def main(binary, packuments, share):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fleet-"))
    (folder / "faults.toml").write_text(FAULTS)
    start([binary, "sample", "--port", "4873", "--from", packuments, "--faults", "faults.toml"], folder)
    wait_for(f"{REGISTRY}/")

    one = worker(binary, folder, "single", 8100)
    wait_for("http://127.0.0.1:8100/healthz")

    def post(kind, payload):
        body = json.dumps({"payload": payload}).encode()
        return json.load(urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:8100/work/{kind}", body)))

    items = post("partition-set", {})["data"]["items"]
    for item in items[:5]:
        result = post("partition", item["payload"])
        counts = result["metrics"]["counts"]
        print(f"a partition of {counts['rows_planned']} names, {counts['document_bytes'] / 1e6:.0f} MB: "
              f"{result['duration'] / 1000:.2f} s")
    print(f"peak memory of the worker: {peak_mb(one):.0f} MB")
    end([one])

    base = None
    for count in (1, 2, 4):
        workers = [worker(binary, folder, f"lake-{count}", 8100 + place, share) for place in range(count)]
        for place in range(count):
            wait_for(f"http://127.0.0.1:{8100 + place}/healthz")
        urls = ",".join(f"http://127.0.0.1:{8100 + place}" for place in range(count))
        begun = time.monotonic()
        done = subprocess.run([binary, "ingest", "--workers", urls, "--origin", f"bench={REGISTRY}", "--lake",
                               f"lake-{count}", "--partition-rows", "1000", "--rate", "100000", "--json"],
                              cwd=folder, capture_output=True, text=True)
        took = time.monotonic() - begun
        assert done.returncode in (0, 6), done.stderr
        documents = json.loads(done.stdout)["counts"]["packuments_done"]
        rate = documents / took
        base = base or rate
        peaks = ", ".join(f"{peak_mb(each):.0f}" for each in workers)
        print(f"{count} workers of {share} cores: {documents} documents in {took:.1f} s, {rate:.0f} a second, "
              f"{rate / base:.2f} times one; peaks {peaks} MB")
        end(workers)
        shutil.rmtree(folder / f"lake-{count}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.25)
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()
        for group in GROUPS.glob("all-docs-*"):
            group.rmdir()
