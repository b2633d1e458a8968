"""Hosts: what has `cvkit run --due` run without containers, by systemd and by Airflow, as examples to start from.

systemd's units are templates: one set serves any number of workspaces, named by their path.
"""

from __future__ import annotations

from cvkit.deployment.containers import CALLED_EVERY, LONGEST_RUN, WORKSPACE

PROGRAM = "/opt/cvkit/bin/cvkit"  # of a virtual environment that root owns
SECRETS = "/etc/cvkit/%i.env"  # NAME=VALUE a line, for `secret: env:NAME`; root's alone
PAUSE = "10min"  # as CALLED_EVERY

HARDENED = f"""\
User=cvkit
WorkingDirectory=%f
EnvironmentFile=-{SECRETS}
Environment=HOME=%S/cvkit
StateDirectory=cvkit
UMask=0027
Nice=10
# The workspace and /var/lib/cvkit can be written, nothing else.
ReadWritePaths=%f
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
SystemCallArchitectures=native
SystemCallFilter=@system-service
# Models on a GPU: take this line out.
PrivateDevices=yes
"""

RUN = f"""\
# One round of the schedule; cvkit-run@.timer starts it.
[Unit]
Description=cvkit run --due of %f
Wants=network-online.target
After=network-online.target
RequiresMountsFor=%f

[Service]
Type=oneshot
ExecStart={PROGRAM} run --due --config %f
TimeoutStartSec={LONGEST_RUN}s
{HARDENED}"""

TIMER = f"""\
# systemctl enable --now cvkit-run@$(systemd-escape --path /srv/line-7).timer
[Unit]
Description=cvkit run --due of %f, every {PAUSE}

[Timer]
OnCalendar=*:0/10
Persistent=true
RandomizedDelaySec=30

[Install]
WantedBy=timers.target
"""

STAY = f"""\
# In place of the timer: systemctl enable --now cvkit-schedule@$(systemd-escape --path /srv/line-7).service
[Unit]
Description=cvkit schedule of %f
Wants=network-online.target
After=network-online.target
RequiresMountsFor=%f
StartLimitIntervalSec=0

[Service]
ExecStart={PROGRAM} schedule --config %f
Restart=always
RestartSec=60
# A report that has begun is finished first.
KillMode=mixed
TimeoutStopSec=2100
{HARDENED}
[Install]
WantedBy=multi-user.target
"""

DAG = f'''\
"""One round of the schedule every ten minutes; Airflow needs no catch-up and no retries, as cvkit's ledger has both."""

import os
import shlex
from datetime import datetime, timedelta, timezone

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

WORKSPACE = os.environ.get("CVKIT_WORKSPACE", "{WORKSPACE}")

with DAG(
    dag_id="cvkit-run-due",
    schedule="{CALLED_EVERY}",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["cvkit"],
) as dag:
    BashOperator(
        task_id="run_due",
        bash_command=f"cvkit run --config {{shlex.quote(WORKSPACE)}} --due",
        append_env=True,
        retries=0,
        execution_timeout=timedelta(seconds={LONGEST_RUN}),
    )
'''


def files() -> dict[str, str]:
    """The text of each file by path."""
    return {
        "systemd/cvkit-run@.service": RUN,
        "systemd/cvkit-run@.timer": TIMER,
        "systemd/cvkit-schedule@.service": STAY,
        "airflow/run_due.py": DAG,
    }
