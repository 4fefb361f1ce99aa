"""Writes sbom.cdx.json: what the wheel needs to run, as CycloneDX 1.6.

Names and versions are those of run.txt, which has the hashes of their files. Licences and
dependencies come from the installed packages: `make lock` installs them first. There is no time and
nothing random in it, so it is the same for the same run.txt.
"""

import json
import re
import tomllib
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
SBOM = HERE / "sbom.cdx.json"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def pinned(requirements: Path) -> dict[str, str]:
    """The versions that a requirements file pins, by normalised name."""
    found = _PINNED.findall(requirements.read_text(encoding="utf-8"))
    return {canonicalize_name(name): version for name, version in found}


def sbom() -> dict[str, Any]:
    """The bill of materials of what is installed."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = pinned(HERE / "run.txt")
    extras: dict[str, set[str]] = {name: set() for name in versions}
    for requirement in map(Requirement, project["dependencies"]):
        extras[canonicalize_name(requirement.name)] |= requirement.extras
    own = _component(project["name"], project["version"])
    own["licenses"] = [{"expression": project["license"]}]
    needed = [Requirement(text) for text in project["dependencies"]]
    bom: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": [
            _component(name, version) | _licences(name)
            for name, version in sorted(versions.items())
        ],
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": _refs(needed, versions, set())},
            *(
                {
                    "ref": _component(name, version)["bom-ref"],
                    "dependsOn": _refs(_requirements(name), versions, extras[name]),
                }
                for name, version in sorted(versions.items())
            ),
        ],
    }
    digest = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom))
    return (
        {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json"}
        | bom
        | {"serialNumber": f"urn:uuid:{digest}"}
    )


def _component(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{canonicalize_name(name)}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:  # of another system, or of another version of Python
        return []


def _refs(
    requirements: list[Requirement], versions: Mapping[str, str], extras: set[str]
) -> list[str]:
    refs = set()
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        marker = requirement.marker
        is_needed = marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""})
        if is_needed and name in versions:
            refs.add(_component(name, versions[name])["bom-ref"])
    return sorted(refs)


def _licences(name: str) -> dict[str, Any]:
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return {}
    if about.get("License-Expression"):
        return {"licenses": [{"expression": about["License-Expression"]}]}
    named = [
        classifier.rpartition(" :: ")[2]
        for classifier in about.get_all("Classifier") or ()
        if classifier.startswith("License :: OSI Approved")
    ]
    if not named and about.get("License"):
        named = about["License"].splitlines()[:1]
    return {"licenses": [{"license": {"name": licence}} for licence in named]} if named else {}


if __name__ == "__main__":
    SBOM.write_text(f"{json.dumps(sbom(), indent=1, ensure_ascii=False)}\n", encoding="utf-8")
