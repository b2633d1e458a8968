"""Files: everything that `cvkit deploy` writes, by path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cvkit.config import Config
from cvkit.deployment import alerting, containers, dashboards, grafana, hosts
from cvkit.storage import write_text

HEADER = "# Written by `cvkit deploy` from cvkit.yml: change that and write this again.\n"
PROVISIONING = "grafana/provisioning"


def files(config: Config, url: str) -> dict[str, str]:
    """The text of each file; `url` is where people reach Grafana."""
    rules, shared = alerting.rules(config, url), alerting.shared_rules(config, url)
    settings: Mapping[str, Any] = {
        "prometheus.yml": alerting.prometheus(),
        "cvkit-rules.yml": rules,
        "cvkit-recording.yml": shared,
        "alertmanager.yml": alerting.alertmanager(config),
        f"{PROVISIONING}/datasources/cvkit.yml": grafana.datasources(),
        f"{PROVISIONING}/dashboards/cvkit.yml": grafana.providers(),
        f"{PROVISIONING}/alerting/contact-points.yml": grafana.contact_points(),
        f"{PROVISIONING}/alerting/rules.yml": grafana.alert_rules(config, url),
        "docker-compose.yml": containers.compose(),
    }
    resources = containers.kubernetes(rules, shared)
    return {
        **{path: HEADER + _yaml([content]) for path, content in settings.items()},
        **{f"kubernetes/{name}": HEADER + _yaml(parts) for name, parts in resources.items()},
        "grafana/dashboards/fleet.json": dashboards.fleet(),
        "grafana/dashboards/model.json": dashboards.model(),
        "Dockerfile": containers.dockerfile(),
        **hosts.files(),
    }


def write(config: Config, folder: Path, url: str) -> list[Path]:
    """Write the files below `folder`, each whole or not at all; what else lies there stays."""
    made = files(config, url)
    for path, text in made.items():
        write_text(folder / path, text)
    return [folder / path for path in made]


def _yaml(documents: list[Any]) -> str:
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Says the same thing twice rather than pointing at it: readers of these files need no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
