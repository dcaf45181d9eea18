#!/bin/bash
# The units are what systemd understands, and have the lines that the promises hang on: a service manager's defaults would break them.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import os, re, shutil, subprocess, sys, tempfile

# unit: lines it must have, and keys it must not have
MUST = {
    "drover-worker.service": [
        "Type=notify", "User=drover-worker", "KillMode=process", "SendSIGKILL=no", "Delegate=yes", "DelegateSubgroup=drover-agent", "OOMPolicy=continue", "OOMScoreAdjust=-500",
        "TasksMax=infinity", "StateDirectory=drover-worker", "Restart=always", "StartLimitIntervalSec=0",
        "ConditionPathExists=/etc/drover/worker.conf"],
    "drover-master.service": [
        "Type=notify", "User=drover", "Restart=on-failure", "StartLimitIntervalSec=0", "ExecReload=/bin/kill -HUP $MAINPID",
        "ExecStart=/usr/sbin/drover-master --config /etc/drover/master.yaml --database-unit",
        "StateDirectory=drover", "StateDirectoryMode=0750", "RuntimeDirectory=drover", "RuntimeDirectoryPreserve=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
        "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes", "ProtectControlGroups=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service",
        "Wants=network-online.target drover-postgresql.service", "After=network-online.target drover-postgresql.service"],
    "drover-postgresql.service": [
        "Type=notify", "User=drover", "KillMode=mixed", "KillSignal=SIGINT", "Restart=always", "StartLimitIntervalSec=0", "OOMPolicy=continue",
        "ExecCondition=/usr/sbin/drover-master --config /etc/drover/master.yaml --needs-database",
        "ExecStart=/usr/sbin/drover-master --config /etc/drover/master.yaml --database-only",
        "StateDirectory=drover", "StateDirectoryMode=0750", "RuntimeDirectory=drover-postgresql", "RuntimeDirectoryMode=0700"],
}
SANDBOX = r"Private|Protect|Restrict|NoNewPrivileges|SystemCall|Capability|LockPersonality|Memory|ReadOnly|Inaccessible|DynamicUser|RootDirectory"
MUST_NOT = {
    # A build may do all that its user may; nothing that would end with the service.
    "drover-worker.service": SANDBOX + r"|RuntimeMaxSec|ExecStop|TimeoutStopFailure",
    # Bound to each other, a restart of one would be one of both.
    "drover-master.service": r"Requires|BindsTo|PartOf|KillMode|ExecStop",
    "drover-postgresql.service": r"Requires|BindsTo|PartOf|PropagatesStopTo",
}
bad = 0


def say(unit, line, what):
    global bad
    bad += 1
    print(f".pkg/units/{unit}:{line}: {what}")


for unit, wanted in MUST.items():
    lines = [x.rstrip("\n") for x in open(f".pkg/units/{unit}", encoding="utf-8")]
    for w in wanted:
        if lines.count(w) != 1:
            say(unit, 1, f"must have the line {w}")
    for n, line in enumerate(lines, 1):
        if re.match(f"({MUST_NOT[unit]})\\w*=", line) and line not in wanted:
            say(unit, n, f"{line}: breaks what docs/design.md promises")

# What systemd itself says; it wants the programs to be there, so it gets ours.
if not shutil.which("systemd-analyze"):
    sys.exit("systemd-analyze is missing: .ci/deps check installs it")
with tempfile.TemporaryDirectory() as folder:
    for unit in MUST:
        text = re.sub(r"/usr/s?bin/drover-", "/bin/true #", open(f".pkg/units/{unit}", encoding="utf-8").read())
        open(os.path.join(folder, unit), "w", encoding="utf-8").write(text.replace(" #", " "))
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", *(os.path.join(folder, u) for u in MUST)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning", "LANG": "C.UTF-8"})
    for line in p.stdout.splitlines():
        if "Unknown key" in line and "'DelegateSubgroup'" in line:
            continue  # systemd before 254 passes it over
        if folder in line or any(u in line for u in MUST):  # of the machine's own units we say nothing
            say(os.path.basename(line.split(":")[0]), 1, line)
    if p.returncode and not bad:
        print(p.stdout)
        bad = 1
sys.exit(1 if bad else 0)
PY
