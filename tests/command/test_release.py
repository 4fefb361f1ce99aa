"""What is installed is named by its hash; wheel and sdist hold all there is, always the same."""

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from deliveries import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_extras import COMMANDS, words_of

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
REQUIREMENTS = ROOT / "requirements"
LOCKED_EXTRAS = ("dev", "spark", "bench", "docs")
PACKAGES = ("engine", "pipelines", "mynapoint")
EXTRAS_OF_USERS = [name for name in PROJECT["optional-dependencies"] if name not in LOCKED_EXTRAS]


def pinned(file: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^ ;\\\n]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def requirements_of(extra: str | None) -> list[Requirement]:
    """What the project or an extra asks for, extras within extras resolved."""
    if extra is None:
        return [Requirement(text) for text in PROJECT["dependencies"]]
    found = []
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name == PROJECT["name"]:
            found += [inner for name in requirement.extras for inner in requirements_of(name)]
        else:
            found.append(requirement)
    return found


@pytest.mark.parametrize("extra", [None, *LOCKED_EXTRAS])
def test_what_make_installs_is_what_the_project_asks_for(extra: str | None) -> None:
    versions = pinned(REQUIREMENTS / f"{extra or 'run'}.txt")
    for requirement in requirements_of(None) + (requirements_of(extra) if extra else []):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement}: run make lock"
        assert requirement.specifier.contains(version), f"{requirement}: run make lock"


def test_every_extra_is_installed_for_development_or_by_itself() -> None:
    versions = pinned(REQUIREMENTS / "dev.txt")
    for extra in EXTRAS_OF_USERS:
        for requirement in requirements_of(extra):
            assert canonicalize_name(requirement.name) in versions, f"{extra}: {requirement}"


def test_the_lists_agree_with_each_other_and_with_the_constraints() -> None:
    versions = pinned(ROOT / "constraints.txt")
    for file in sorted(REQUIREMENTS.glob("*.txt")):
        for name, version in pinned(file).items():
            assert versions.setdefault(name, version) == version, f"{file.name}: {name}"


def test_everything_that_is_installed_has_a_hash() -> None:
    for file in sorted(REQUIREMENTS.glob("*.txt")):
        entries = re.split(r"\n(?=[\w.-]+==)", file.read_text(encoding="utf-8"))[1:]
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries), file.name


def test_the_bill_of_materials_is_of_what_a_wheel_needs() -> None:
    bom = json.loads((REQUIREMENTS / "sbom.cdx.json").read_text(encoding="utf-8"))
    listed = {component["name"]: component["version"] for component in bom["components"]}
    assert listed == pinned(REQUIREMENTS / "run.txt"), "run make lock"
    assert bom["metadata"]["component"]["version"] == PROJECT["version"]
    refs = {component["bom-ref"] for component in bom["components"]}
    assert all(refs.issuperset(entry["dependsOn"]) for entry in bom["dependencies"])


def build(source: Path, out: Path) -> list[Path]:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(out)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return sorted(out.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel and the sdist."""
    return build(ROOT, tmp_path_factory.mktemp("built"))


def test_wheel_and_sdist_are_the_same_bytes_from_another_copy(
    built: list[Path], tmp_path: Path
) -> None:
    # The sdist unpacked is a copy without git, with other times and in another folder.
    _, sdist = built
    subprocess.run(["tar", "-xf", sdist, "-C", tmp_path], check=True)
    (copy,) = tmp_path.iterdir()
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    again = build(copy, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def test_a_wheel_has_every_file_of_its_packages_and_its_bill_of_materials(
    built: list[Path],
) -> None:
    wheel, _ = built
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in inside if ".dist-info/" not in name} == files
    about = f"mynapoint-{PROJECT['version']}.dist-info"
    assert f"{about}/sboms/sbom.cdx.json" in inside


@pytest.mark.slow
@pytest.mark.parametrize("extra", [None, *EXTRAS_OF_USERS])
def test_a_wheel_alone_or_with_an_extra_runs_its_commands_in_an_empty_environment(
    extra: str | None, built: list[Path], six_nights: Path, tmp_path: Path
) -> None:
    """Needs the package index."""
    wheel, _ = built
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    asked = f"mynapoint[{extra}]" if extra else "mynapoint"
    constraint = f"--constraint={ROOT / 'constraints.txt'}"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", constraint, f"{asked} @ {wheel.as_uri()}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    serving = ("browse", "seal")  # these wait for somebody: their help loads what they are made of
    for number, line in enumerate(line for line in COMMANDS if COMMANDS[line] == extra):
        folder = tmp_path / str(number)
        folder.mkdir()
        words = words_of(line, six_nights, folder)
        ended = subprocess.run(
            [
                environment / "bin" / "mynapoint",
                *(f"{words[0]} --help".split() if words[0] in serving else words),
            ],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ended.returncode in (0, 1), f"{line}: {ended.stderr}"
        assert "error" not in ended.stderr
