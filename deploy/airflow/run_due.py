"""One round of the schedule every ten minutes; Airflow needs no catch-up and no retries, as cvkit's ledger has both."""

import os
import shlex
from datetime import datetime, timedelta, timezone

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

WORKSPACE = os.environ.get("CVKIT_WORKSPACE", "/workspace")

with DAG(
    dag_id="cvkit-run-due",
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["cvkit"],
) as dag:
    BashOperator(
        task_id="run_due",
        bash_command=f"cvkit run --config {shlex.quote(WORKSPACE)} --due",
        append_env=True,
        retries=0,
        execution_timeout=timedelta(seconds=21600),
    )
