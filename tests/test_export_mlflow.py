"""The hand-over to a real registry of MLflow's: once for each version, and the aliases are cvkit's champion's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from versions_world import bare, made_up

from cvkit import cli
from cvkit.config import Config, load_config
from cvkit.errors import ConfigError, StorageError
from cvkit.maintenance import export, versions

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of MLflow and alembic
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("mlflow", "alembic")),
        reason="mlflow is not installed (pip install 'cvkit[mlflow]')",
    ),
]
WHO = {"by": "anna", "why": "it gains"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return bare(tmp_path)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry.db"


def aliases(uri: str) -> dict[str, str]:
    """The version of cvkit's that each alias is of."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    names = {str(one.version): one.tags["cvkit"] for one in client.search_model_versions("name = 'parts'")}
    return {alias: names[str(one)] for alias, one in client.get_registered_model("parts").aliases.items()}


def hand_over(config: Config, version: versions.Version, uri: str) -> str:
    return export.register(load_config(config.workspace), version, uri)


def test_the_aliases_follow_promotions_and_rollbacks(config: Config, uri: str) -> None:
    first, second, third = versions.champion(config), made_up(config, "second"), made_up(config, "third")
    assert hand_over(config, second, uri) == "1"
    assert aliases(uri) == {"challenger": second.name}, "the champion is not there yet"
    assert hand_over(config, first, uri) == "2"
    assert aliases(uri) == {"champion": first.name, "challenger": second.name}
    assert [hand_over(config, one, uri) for one in (second, first)] == ["1", "2"], "not registered again"
    versions.promote(config, second.name, **WHO, force=True)
    hand_over(config, second, uri)
    assert aliases(uri) == {"champion": second.name}
    versions.promote(config, third.name, **WHO, force=True)
    hand_over(config, second, uri)
    assert aliases(uri) == {"challenger": second.name}, "the new champion is not there"
    versions.rollback(config, **WHO, to=first.name)
    hand_over(config, second, uri)
    assert aliases(uri) == {"champion": first.name, "challenger": second.name}


def test_what_cannot_be_is_told_in_words(
    config: Config, uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = versions.champion(config)
    for wrong in ("nonsense://x", str(config.workspace / "folder")):
        with pytest.raises(StorageError, match="did not take"):
            export.register(config, first, wrong)
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient", lambda **given: __import__("no_such_driver"))
        with pytest.raises(ConfigError, match="no_such_driver"):
            export.register(config, first, uri)
    assert cli.main(["retrain", "export", first.name, "--mlflow", "", "--config", str(config.path)]) == 2
    assert "no registry is named" in capsys.readouterr().err
