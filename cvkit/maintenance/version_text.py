"""Versions in words, for a terminal."""

from __future__ import annotations

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.data import checkpoints
from cvkit.errors import CvkitError
from cvkit.maintenance import gate_results, versions
from cvkit.maintenance.versions import Version


def status(config: Config) -> str:
    """The versions, what the gate said of each, and who was champion when, as text for a terminal."""
    champions = champion_file.read(config.workspace)
    follows = champions is not None and champions.over(config.written.model.weights, config.written.reference)
    known = versions.every(config)
    unusable = ""
    if champions is not None and follows:
        serving = champions.last.version
    else:
        serving, unusable = _named_in_file(config)
    lines = [f"{'version':14} {'kind':12} {'from':14} {'made':17} gate"]
    lines += [_line(version, serving) for version in known]
    if not known:
        lines = ["no versions yet: the weights that cvkit.yml names become the first"]
    if serving and serving not in {version.name for version in known} and follows:
        lines.append(f"The champion's folder {serving} is gone: `cvkit retrain rollback` goes back to the one before.")
    if unusable:
        lines.append(f"cvkit.yml names weights that cannot be used: {unusable}")
    if champions is None:
        return "\n".join([*lines, "", "Nothing was promoted yet: cvkit.yml names the champion."])
    if not follows:
        lines.append("cvkit.yml was changed since the last promotion, so it names the champion itself.")
    lines += ["", "Champions, oldest first:"]
    for one in champions.log:
        how = f"{one.how}, although the gate had not passed it" if one.forced else one.how
        lines.append(f"  {one.when:%Y-%m-%d %H:%M} UTC {one.version} {how}, by {one.by}: {one.why}")
    return "\n".join(lines)


def _line(version: Version, champion: str) -> str:
    mark = "*" if version.name == champion else " "
    about = f"{version.kind:12} {version.parent or '-':14} {version.made:%Y-%m-%d %H:%M}"
    return f"{mark}{version.name:13} {about}  {_judged(version)}"


def _judged(version: Version) -> str:
    try:
        result = gate_results.read(version.folder)
    except CvkitError:
        return "its result is damaged"
    return "-" if result is None else f"{result.outcome} beside {result.champion}"


def _named_in_file(config: Config) -> tuple[str, str]:
    """Name of the version whose weights cvkit.yml names, and what keeps them from being used."""
    name = ""
    try:
        name = config.written.version
        checkpoints.check(config.resolve(config.written.model.weights))
    except CvkitError as error:
        return name, f"{error.where}: {error.found or error.problem}"
    return name, ""
