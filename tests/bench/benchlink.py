"""Figures of a worker and its link alone: the master is a Python program over TLS on loopback, there is no database. What Python takes of the processors is in them."""
import hashlib
import os
import subprocess
import time

from benchsite import LOG_MIB, emit, rss_peak_reset, status
from fakemaster import Bench, Log, records

FILE_BYTES, PUTS_IN_FLIGHT = 512 << 20, 8
SMALL_FILES, SMALL_AT_ONCE = 20000, 500
COMMANDS, COMMANDS_IN_FLIGHT, SINK_WINDOW = 400, 8, 4 << 20


def files():
    """A file there and back, and many small ones, over TLS on loopback. The other end is Python's ssl: what it takes of the processors is in the figure."""
    data, step = os.urandom(FILE_BYTES), 1 << 20
    digest = hashlib.sha256(data).hexdigest()
    head = records(("path", "f"), ("size", len(data)), ("mode", "644"), ("sum", digest))
    with Bench(tls=True) as bench:
        link = bench.connect()
        began, unanswered = time.monotonic(), 0
        for off in range(0, len(data), step):
            if unanswered == PUTS_IN_FLIGHT:
                link.expect("done", tag="ok")
                unanswered -= 1
            link.send("put", off // step, off, len(head), blob=head + data[off:off + step])
            unanswered += 1
        for _ in range(unanswered):
            told = link.expect("done", tag="ok").blob
        emit("file_put", len(data) / 1e6 / (time.monotonic() - began), "MB/s")
        assert b"complete=1" in told, told
        began, got = time.monotonic(), 0
        link.send("get", 1, 0, len(data), blob=records(("path", "f")))
        while (m := link.recv()).verb == "data":
            got += len(m.blob)
        emit("file_get", got / 1e6 / (time.monotonic() - began), "MB/s")
        assert got == len(data), m
        trees(link)


def trees(link):
    bodies, contents = [], os.urandom(1000)
    head = records(("path", "t"))
    for first in range(0, SMALL_FILES, SMALL_AT_ONCE):
        bodies.append(head + b"".join(records(("name", f"d{i // 100}/f{i}"), ("type", "file"), ("mode", "644"), ("size", len(contents))) + contents for i in range(first, first + SMALL_AT_ONCE)))
    began = time.monotonic()
    for i, body in enumerate(bodies):
        link.send("puttree", i, len(head), blob=body)
        if i >= PUTS_IN_FLIGHT:
            link.expect("done", tag="ok")
    for _ in range(min(PUTS_IN_FLIGHT, len(bodies))):
        link.expect("done", tag="ok")
    emit("small_files_put", SMALL_FILES / (time.monotonic() - began), "/s")
    began, after, got = time.monotonic(), None, 0
    while True:
        _, told, entries = link.get_tree("t", 16 << 20, after)
        got += sum(e[1] == "file" for e in entries)
        if told["complete"] == b"1":
            break
        after = entries[-1][0]
    emit("small_files_get", got / (time.monotonic() - began), "/s")
    assert got == SMALL_FILES, got

def commands(genlog):
    """Short commands one after the other and eight at a time, then much output, over TLS and without a database. The other end is Python's, which inflates and checks all that comes."""
    with Bench(tls=True) as bench:
        link = bench.connect()
        for at_once, n in ((1, COMMANDS), (COMMANDS_IN_FLIGHT, 2 * COMMANDS)):
            began, started, ended = time.monotonic(), 0, 0
            while ended < n:
                while started < n and started - ended < at_once:
                    started += 1
                    link.run(f"{at_once}-{started}", ["/bin/true"])
                m = link.recv()
                if m.verb == "exit":
                    assert m["code"] in ("0", 0), m
                    link.send("forget", m["cmd"])
                    ended += 1
            emit(f"commands_{at_once}", n / (time.monotonic() - began), "/s")
        large, log = os.path.join(bench.folder, "large"), Log()
        with open(large, "wb") as f:
            subprocess.run([genlog, str(LOG_MIB)], stdout=f, check=True)
        os.sync()
        log.keep = False
        rss_peak_reset(bench.worker.process.pid)
        began = time.monotonic()
        link.run("9-1", ["cat", large], limit=SINK_WINDOW)
        minder = bench.worker.minder("9-1")
        most = 0
        while log.exit is None:
            m = link.recv()
            if m.verb == "out":
                link.take_out(m, log, SINK_WINDOW)
                most = most if len(log.borders) % 16 else max(most, status(minder, "VmHWM"))
            elif m.verb == "exit":
                log.end(m)
        emit("output_to_sink", log.length / 1e6 / (time.monotonic() - began), "MB/s")
        assert log.length == LOG_MIB << 20, log.length
        emit("rss_agent_busy", status(bench.worker.process.pid, "VmHWM") / 1024, "MiB")
        emit("rss_minder_busy", most / 1024, "MiB")
