#!/usr/bin/env python3
"""Three workers and a coordinator on hosts of their own, over a bucket: one worker is killed, one is cut off for a minute.

hosts.py BINARY [NATS-SERVER]. With a server they meet at a queue, which restarts while a worker is away; without one the
coordinator pushes to the workers. The hosts are network namespaces on a bridge, so it needs root, `ip` and `unshare`, and runs apart from the
machine's own network. The lake must end with the bytes of an ingest by one machine, the registry must have seen at most
the fleet's pace, and no document may have been asked for again beyond the bound. Exits with 3 where it cannot run.
"""

import collections
import hashlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HUB = "10.77.0.1"
PACKAGES = 2_000
# The fleet's pace in requests a second. All documents take more than a minute, so a worker can be away for that long.
RATE = 20
# The requests that may be in flight, or received and not staged, in a process that ends: see pipeline/worker/bounds.rs.
LOST_AT_MOST = 256
CUT_OFF_SECONDS = 60
# With a queue the pace is kept by the request, not only on the whole.
WINDOW_SECONDS = 10

here = pathlib.Path(__file__).parent
folder = pathlib.Path(tempfile.mkdtemp(prefix="hosts-"))
children = []
seen = []


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def host(name, number):
    """Makes a host with the address 10.77.0.NUMBER on the bridge."""
    ip("netns", "add", name)
    ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", f"to-{name}", "master", "bridge", "up")
    ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
    ip("-n", name, "link", "set", "eth0", "up")
    ip("-n", name, "link", "set", "lo", "up")


def start(command, on=None, **options):
    if on:
        # Each host has a name and processes of its own: by these the program tells machines apart.
        apart = ["unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command = ["ip", "netns", "exec", on, *apart, "sh", "-c", 'hostname "$0"; exec "$@"', on, *command]
    child = subprocess.Popen(command, text=True, cwd=folder, **options)
    children.append(child)
    return child


def forward(port, to, watches):
    """Serves a port of loopback on the bridge. Notes the requests that pass."""
    listener = socket.create_server((HUB, port))

    def pump(source, sink, is_request):
        try:
            while data := source.recv(65_536):
                if is_request:
                    now = time.monotonic()
                    seen.extend((now, path) for path in re.findall(rb"^GET (\S+) HTTP", data, re.MULTILINE))
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept():
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", to))
            threading.Thread(target=pump, args=(near, far, watches), daemon=True).start()
            threading.Thread(target=pump, args=(far, near, False), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def documents():
    """How often each document was asked for."""
    names = (path for _, path in list(seen) if not path.startswith((b"/_", b"/?")) and path != b"/")
    return collections.Counter(names)


def shards(lake):
    """The digests of the shards of a lake on disk, without those that have times in them."""
    files = sorted(lake.rglob("*.parquet"))
    return {
        str(file.relative_to(lake)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.parent.name != "outcomes"
    }


def start_queue(server):
    return start([server, "-js", "-a", HUB, "-p", "4222", "-sd", str(folder / "queue")], stderr=subprocess.DEVNULL)


def most_in_a_window():
    """The most requests that were seen in any WINDOW_SECONDS."""
    times = sorted(at for at, _ in seen)
    most = first = 0
    for number, at in enumerate(times):
        while times[first] < at - WINDOW_SECONDS:
            first += 1
        most = max(most, number - first + 1)
    return most


def by_time():
    """The requests of each five seconds."""
    begun = min(at for at, _ in seen)
    counts = collections.Counter(int(at - begun) // 5 for at, _ in seen)
    return [counts[place] for place in range(max(counts) + 1)]


def wait_for(what, holds, child):
    while not holds():
        assert child.poll() is None, f"it ended before {what}"
        time.sleep(0.05)


def main(binary, nats):
    ip("link", "set", "lo", "up")
    ip("link", "add", "bridge", "type", "bridge")
    ip("addr", "add", f"{HUB}/24", "dev", "bridge")
    ip("link", "set", "bridge", "up")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)

    sample = start([binary, "sample", "--port", "4873", "--packages", str(PACKAGES)], stdin=subprocess.PIPE,
                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    s3 = start([sys.executable, str(here / "s3_server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    s3_port = int(s3.stdout.readline())
    while True:
        try:
            socket.create_connection(("127.0.0.1", 4873)).close()
            break
        except OSError:
            assert sample.poll() is None, "the registry ended"
            time.sleep(0.05)
    forward(4873, 4873, True)
    forward(9000, s3_port, False)
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    os.environ.update(keys, ALL_DOCS_ENDPOINT=f"http://{HUB}:9000", NO_PROXY="*")
    bucket = subprocess.run([sys.executable, "-c", BUCKET], env=os.environ)
    assert bucket.returncode == 0
    lake, origin = "s3://lakes/fleet", f"sample=http://{HUB}:4873"
    common = ["--lake", lake, "--origin", origin, "--rate", str(RATE)]
    queue = start_queue(nats) if nats else None
    meet = ["--queue", f"nats://{HUB}:4222"] if nats else []

    workers = {}
    for number, name in enumerate(["one", "two", "three"], start=11):
        host(name, number)
        environment = {**os.environ, "ALL_DOCS_RUNTIME_DIR": str(folder / name), "ALL_DOCS_SCRATCH": str(folder / name)}
        (folder / name).mkdir()
        workers[name] = start([binary, "worker", "--listen", f"10.77.0.{number}:8080", *meet, *common], on=name,
                              env=environment, stdout=subprocess.DEVNULL, stderr=open(folder / f"{name}.log", "w"))
    host("coordinator", 20)
    for number in (11, 12, 13):
        while True:
            try:
                socket.create_connection((f"10.77.0.{number}", 8080), timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
    urls = ",".join(f"http://10.77.0.{number}:8080" for number in (11, 12, 13))
    (folder / "coordinator").mkdir()
    environment = {**os.environ, "ALL_DOCS_RUNTIME_DIR": str(folder / "coordinator")}
    begun = time.monotonic()
    ingest = start([binary, "ingest", *(meet or ["--workers", urls]), "--partition-rows", "100", *common], on="coordinator",
                   env=environment, stdout=subprocess.DEVNULL, stderr=open(folder / "coordinator.log", "w"))

    wait_for("200 documents were asked for", lambda: sum(documents().values()) > 200, ingest)
    workers["one"].kill()
    wait_for("400 documents were asked for", lambda: sum(documents().values()) > 400, ingest)
    ip("link", "set", "to-two", "down")
    cut_off = time.monotonic()
    if queue:
        wait_for("600 documents were asked for", lambda: sum(documents().values()) > 600, ingest)
        queue.kill()
        queue.wait()
        start_queue(nats)
    wait_for("it was cut off for a minute", lambda: time.monotonic() - cut_off > CUT_OFF_SECONDS, ingest)
    ip("link", "set", "to-two", "up")
    code = ingest.wait(timeout=900)
    took = time.monotonic() - begun
    assert code in (0, 6), f"the ingest ended with {code}"

    asked = documents()
    again = sum(asked.values()) - len(asked)
    assert again <= 2 * LOST_AT_MOST, f"{again} documents were asked for again"
    requests = len(seen)
    print(f"requests in each 5 s: {by_time()}", file=sys.stderr)
    # A second's worth may go out at once, and a machine learns of the others within seconds.
    assert requests <= RATE * (took + 10), f"{requests} requests in {took:.0f} s"
    if nats:
        most = most_in_a_window()
        assert most <= RATE * (WINDOW_SECONDS + 1), f"{most} requests in {WINDOW_SECONDS} s"

    proof = subprocess.run([binary, "verify", "--lake", lake], capture_output=True, text=True)
    assert proof.returncode == 0, proof.stdout + proof.stderr
    subprocess.run([binary, "copy", lake, str(folder / "fleet")], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([binary, "ingest", "--lake", str(folder / "alone"), "--origin", origin, "--partition-rows", "100"],
                   check=False, stderr=subprocess.DEVNULL)
    fleet, alone = shards(folder / "fleet"), shards(folder / "alone")
    assert len(alone) > 100
    assert fleet == alone, sorted(set(fleet.items()) ^ set(alone.items()))[:10]
    print(f"{len(fleet)} shards with the bytes of one machine's; {requests} requests in {took:.0f} s at {RATE} a second; "
          f"{again} documents asked for again")


BUCKET = """
import os, urllib.request
request = urllib.request.Request(os.environ["ALL_DOCS_ENDPOINT"] + "/lakes", method="PUT",
                                 headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request"})
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
"""

if __name__ == "__main__":
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        print("needs root, ip and unshare", file=sys.stderr)
        sys.exit(3)
    if os.environ.get("ALL_DOCS_HOSTS") != "apart":
        os.environ["ALL_DOCS_HOSTS"] = "apart"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--fork", "--pid", "--kill-child", "--mount-proc",
                              sys.executable, __file__, *sys.argv[1:]])
    try:
        main(str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2] if len(sys.argv) > 2 else None)
        shutil.rmtree(folder)
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}", file=sys.stderr)
        raise
    finally:
        for child in children:
            child.kill()
