"""Building and serving a workspace's site: what `cvkit site` calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.exceptions import Abort, ConfigurationError, PluginError

from cvkit.config import Config
from cvkit.documentation import notebook_format
from cvkit.documentation.site import shell
from cvkit.errors import ConfigError, CvkitError, ReportError
from cvkit.storage import lock, remove_tree, storage_error, swap_back, swap_in

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

Say = Callable[[str], None]

log = logging.getLogger(__name__)

NO_ADDRESS = (
    "Hint: the entries of feed.xml have no links, as nobody said where the site is: set `site_url` in mkdocs.yml, or "
    "`alerts: {site: ...}` in cvkit.yml"
)


def build(config: Config, strict: bool = False, *, warn: Say = log.warning, hint: Say = log.info) -> Path:
    """Build the workspace's site and return its folder, which changes only once the whole site is there.

    `warn` hears, once each, what MkDocs warns of, such as links to pages that are not there: nobody's typo shall keep
    an old status page before people's eyes. `hint` hears what could be better.
    Raises ConfigError where mkdocs.yml cannot be used, ReportError where a page cannot be built or, with `strict`,
    where MkDocs warns of something, BusyError where another process is building it.
    """
    from mkdocs.commands.build import build as build_site

    with lock(config.workspace / "locks" / "site.lock", "building this site"), _listening() as told:
        settings = _mkdocs_settings(config, strict, told)
        _drop_damaged(config.workspace / ".cache")
        site = Path(settings.site_dir)
        part = site.with_name(f".{site.name}.part")
        swap_back(site)
        remove_tree(part)
        settings.site_dir = str(part)
        if plugin := settings.plugins.get("cvkit"):
            plugin.earlier = site
        settings.plugins.on_startup(command="build", dirty=False)
        try:
            build_site(settings)
        except (Abort, PluginError) as error:
            raise _explain(error, told) from error
        except OSError as error:
            raise storage_error(error) from error
        finally:
            settings.plugins.on_shutdown()
        swap_in(part, site)
    for words in dict.fromkeys(told):
        warn(f"The site was built in spite of: {words}")
    if not (settings.site_url or config.alerts.site):
        hint(NO_ADDRESS)
    return site


def check(config: Config) -> None:
    """Raise ConfigError where mkdocs.yml cannot be used."""
    with _listening() as told:
        _mkdocs_settings(config, False, told)


def serve(config: Config, address: str = "127.0.0.1:8000") -> None:
    """Serve the site at `address` (host:port) until interrupted, building it anew when something changes.

    Raises ConfigError where mkdocs.yml or the address cannot be used.
    """
    from mkdocs.commands.serve import serve as serve_site

    with _listening() as told:
        _mkdocs_settings(config, False, told, dev_addr=address)
    log = logging.getLogger("mkdocs")
    handler, level = logging.StreamHandler(), log.level
    handler.addFilter(_matters)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        serve_site(str(config.workspace / "mkdocs.yml"), dev_addr=address)
    except (OSError, OverflowError) as error:  # a port above 65535
        raise ConfigError(
            "the address cannot be served",
            found=f"{address}: {getattr(error, 'strerror', '') or error}",
            remedy="choose another port",
        ) from error
    except (Abort, PluginError) as error:
        raise _explain(error, []) from error
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _matters(record: logging.LogRecord) -> bool:
    """Not a line for each report, nor that the page that stands for all of them is empty to MkDocs."""
    usual = "jupyter" in record.name or shell.ADDRESS in record.getMessage()
    return record.levelno > logging.INFO or not usual


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what MkDocs warns of, instead of letting it write to the terminal."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    log, listener = logging.getLogger("mkdocs"), Listener(logging.WARNING)
    propagated, log.propagate = log.propagate, False
    log.addHandler(listener)
    try:
        yield told
    finally:
        log.removeHandler(listener)
        log.propagate = propagated


def _mkdocs_settings(config: Config, strict: bool, told: list[str], **others: Any) -> MkDocsConfig:
    from mkdocs.config import load_config as load_mkdocs

    file = config.workspace / "mkdocs.yml"
    if not (lighter := _without_notebooks(file)):
        notebook_format.nbformat()  # before mkdocs-jupyter, which would load it
    try:
        return load_mkdocs(str(file), strict=strict, **lighter, **others)
    except (Abort, ConfigurationError, TypeError) as error:  # MkDocs stumbles over a file that is one number
        raise ConfigError(
            "the site's settings cannot be used", where=str(file), found="; ".join(told) or str(error),
            remedy="correct that file; `cvkit init` writes one that works",
        ) from error  # fmt: skip


def _without_notebooks(file: Path) -> dict[str, Any]:
    """The setting `plugins` without mkdocs-jupyter, where it would have nothing to do but take seconds to load.

    It renders notebooks that people put among their pages, such as docs/mine.ipynb; reports do without it. Nothing
    where there are such, where its settings are others than cvkit's, or where the file cannot be read so.
    """
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.utils.yaml import get_yaml_loader, yaml_load

    try:
        with file.open("rb") as text:
            told = yaml_load(text, get_yaml_loader(config=MkDocsConfig()))
    except (OSError, ConfigurationError, TypeError):
        return {}  # whoever loads it next says what is wrong
    if not isinstance(told, dict):
        return {}
    plugins = told.get("plugins")
    docs = file.parent / str(told.get("docs_dir", "docs"))
    if not isinstance(plugins, list) or any(docs.rglob("*.ipynb")):
        return {}
    rest = [one for one in plugins if not _only_notebooks(one)]
    return {"plugins": rest} if len(rest) < len(plugins) else {}


def _only_notebooks(plugin: object) -> bool:
    told = plugin.get("mkdocs-jupyter") if isinstance(plugin, dict) else None
    return isinstance(told, dict) and told.get("include") == ["*.ipynb"] and bool(told.get("include_source"))


def _explain(error: BaseException, told: list[str]) -> CvkitError:
    """Our own error behind one of MkDocs, or a new one with everything MkDocs said."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CvkitError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return ReportError(
        "the site could not be built", found="; ".join(told) or str(error),
        remedy="correct the page it names; the site that was there is untouched",
    )  # fmt: skip


def _drop_damaged(cache: Path) -> None:
    """Delete what mkdocs-jupyter's cache holds of a build that a full disk or a kill cut off: it would break the next.

    Such files end before their JSON does.
    """
    for file in cache.rglob("*.json"):
        with file.open("rb") as content:
            content.seek(max(0, file.stat().st_size - 1))
            if content.read() != b"}":
                file.unlink()
