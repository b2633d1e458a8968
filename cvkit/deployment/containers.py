"""Containers: the same set-up for Docker Compose and for Kubernetes, as examples to start from."""

from __future__ import annotations

from typing import Any

from cvkit import __version__
from cvkit.deployment import names
from cvkit.deployment.alerting import SCRAPE, Settings

IMAGE = f"cvkit:{__version__}"
IMAGES = {
    "prometheus": "prom/prometheus:v2.55.1",
    "alertmanager": "prom/alertmanager:v0.27.0",
    "pushgateway": "prom/pushgateway:v1.10.0",
    "grafana": "grafana/grafana:11.6.0",  # that whose dashboards the SDK in pyproject.toml writes
}
WORKSPACE = "/workspace"
PORT = 9108
RECORDER_PORT = 9101
CALLED_EVERY = "*/10 * * * *"  # `cvkit run --due` does nothing where nothing is due
LONGEST_RUN = 6 * 3600  # seconds after which a round that hangs is ended; the next takes up what was left
NAME = "cvkit"
MARKS = {"app.kubernetes.io/name": NAME}
RECORDING = {"app.kubernetes.io/component": "cvkit-recorder"}

DOCKERFILE = """\
# docker build -t {image} -f deploy/Dockerfile .     in cvkit's checkout
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt /src && rm -rf /src && useradd --create-home cvkit
USER cvkit
ENTRYPOINT ["cvkit"]
"""


def dockerfile() -> str:
    """An image of cvkit."""
    return DOCKERFILE.format(image=IMAGE)


def compose() -> Settings:
    """docker-compose.yml: cvkit beside Prometheus, Alertmanager, Pushgateway and Grafana, on this machine only.

    The workspace is not mounted read-only: SQLite's newest rows stand in a file that readers share with the writer.
    """
    mounted = {"volumes": [f"${{CVKIT_WORKSPACE:?the folder of cvkit.yml}}:{WORKSPACE}"]}
    ours = {"image": IMAGE, "restart": "unless-stopped", **mounted}
    return {
        "services": {
            "cvkit": {**ours, "command": ["metrics", "serve", "--config", WORKSPACE, "--address", f"0.0.0.0:{PORT}"],
                      "ports": [f"127.0.0.1:{PORT}:{PORT}"]},
            "recorder": {  # an example: an image of yours that runs the model beside a `cvkit.Recorder`
                **ours, "image": "${RECORDER_IMAGE:-recorder}", "profiles": ["recorder"],
                "ports": [f"127.0.0.1:{RECORDER_PORT}:{RECORDER_PORT}"],
            },
            "cvkit-schedule": {**ours, "command": ["schedule", "--config", WORKSPACE]},
            "prometheus": _service("prometheus", 9090, [
                "./prometheus.yml:/etc/prometheus/prometheus.yml:ro",
                "./cvkit-rules.yml:/etc/prometheus/cvkit-rules.yml:ro",
                "./cvkit-recording.yml:/etc/prometheus/cvkit-recording.yml:ro",
                "prometheus:/prometheus",
            ]),
            "alertmanager": {**_service("alertmanager", 9093, [
                "./alertmanager.yml:/etc/alertmanager/alertmanager.yml:ro", "alertmanager:/alertmanager",
            ]), "secrets": ["slack-url"]},
            "pushgateway": _service("pushgateway", 9091, []),
            "grafana": {**_service("grafana", 3000, [
                "./grafana/provisioning:/etc/grafana/provisioning:ro",
                "./grafana/dashboards:/etc/grafana/dashboards:ro",
                "grafana:/var/lib/grafana",
            ]), "secrets": ["slack-url"]},
        },
        "volumes": {"prometheus": {}, "alertmanager": {}, "grafana": {}},
        "secrets": {"slack-url": {"file": "./slack-url"}},
    }  # fmt: skip


def kubernetes(rules: Settings, shared: Settings) -> dict[str, list[Settings]]:
    """Resources by file: the metrics and who scrapes them, the recorders', the CronJob, and the operator's rules."""
    return {
        "kustomization.yaml": [
            {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
             "resources": ["metrics.yaml", "recorder.yaml", "cronjob.yaml", "rules.yaml"]}
        ],
        "metrics.yaml": [_claim(), _deployment(), _service_of_metrics(), _monitor()],
        "recorder.yaml": [_monitor_of_recorders()],
        "cronjob.yaml": [_cron_job()],
        "rules.yaml": [_resource("monitoring.coreos.com/v1", "PrometheusRule",
                                 {"groups": [*shared["groups"], *rules["groups"]]})],
    }  # fmt: skip


def _service(name: str, port: int, volumes: list[str]) -> Settings:
    made: Settings = {"image": IMAGES[name], "restart": "unless-stopped", "ports": [f"127.0.0.1:{port}:{port}"]}
    return {**made, "volumes": volumes} if volumes else made


def _resource(version: str, kind: str, spec: Settings, name: str = NAME) -> Settings:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": MARKS}, "spec": spec}


def _claim() -> Settings:
    """The workspace. Several nodes need ReadWriteMany, and a history on PostgreSQL (`history` in cvkit.yml)."""
    size = {"requests": {"storage": "50Gi"}}
    return _resource("v1", "PersistentVolumeClaim", {"accessModes": ["ReadWriteOnce"], "resources": size})


def _deployment() -> Settings:
    serve = ["metrics", "serve", "--config", WORKSPACE, "--address", f"0.0.0.0:{PORT}"]
    probe = {"httpGet": {"path": "/", "port": "metrics"}, "periodSeconds": 30}
    container = {**_container("metrics", serve, "250m", "512Mi"), "readinessProbe": probe, "livenessProbe": probe,
                 "ports": [{"name": "metrics", "containerPort": PORT}]}  # fmt: skip
    return _resource("apps/v1", "Deployment", {
        "replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": MARKS},
        "template": {"metadata": {"labels": MARKS}, "spec": _pod(container)},
    })  # fmt: skip


def _service_of_metrics() -> Settings:
    port = {"name": "metrics", "port": PORT, "targetPort": "metrics"}
    return _resource("v1", "Service", {"selector": MARKS, "ports": [port]})


def _monitor() -> Settings:
    """The operator's scrape; its job is called as in prometheus.yml."""
    end = {"port": "metrics", "path": "/metrics", "interval": SCRAPE, "honorLabels": True,
           "relabelings": [{"targetLabel": "job", "replacement": names.JOB}]}  # fmt: skip
    return _resource("monitoring.coreos.com/v1", "ServiceMonitor",
                     {"selector": {"matchLabels": MARKS}, "endpoints": [end]})  # fmt: skip


def _monitor_of_recorders() -> Settings:
    """The operator's scrape of pods of yours that run a model: they have this label, and a port called `recorder`."""
    end = {"port": "recorder", "path": "/metrics", "interval": SCRAPE,
           "relabelings": [{"targetLabel": "job", "replacement": names.RECORDER_JOB}]}  # fmt: skip
    spec = {"selector": {"matchLabels": RECORDING}, "podMetricsEndpoints": [end]}
    return _resource("monitoring.coreos.com/v1", "PodMonitor", spec, "cvkit-recorder")


def _cron_job() -> Settings:
    pod = {**_pod(_container("run", ["run", "--due", "--config", WORKSPACE], "1", "4Gi")), "restartPolicy": "Never"}
    job = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": LONGEST_RUN,
        "template": {"metadata": {"labels": {"app.kubernetes.io/name": "cvkit-run"}}, "spec": pod},
    }
    return _resource("batch/v1", "CronJob", {
        "schedule": CALLED_EVERY, "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 300,
        "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 3, "jobTemplate": {"spec": job},
    }, "cvkit-run")  # fmt: skip


def _container(name: str, arguments: list[str], cores: str, memory: str) -> Settings:
    locked = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "name": name, "image": IMAGE, "args": arguments, "securityContext": locked,
        "resources": {"requests": {"cpu": cores, "memory": memory}, "limits": {"memory": memory}},
        "volumeMounts": [{"name": "workspace", "mountPath": WORKSPACE}],
    }  # fmt: skip


def _pod(container: Settings) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "workspace", "persistentVolumeClaim": {"claimName": NAME}}],
    }  # fmt: skip
