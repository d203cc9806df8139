"""Run the tests with other versions of Python, torch and DGL, each in a virtual environment of its own.

Run as a script, or by `make compat`: `python tests/compatibility.py [NAME ...] [--tests PATH ...]`.
Environments and logs lie in build/compat; a table of versions and outcomes goes to stdout. What cannot be
installed is a line of the table, too. Exit status 1: a test failed, or nothing could be run.
"""

import argparse
import configparser
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "compat"
SHOWN = ("torch", "dgl", "numpy", "numba", "scipy", "h5py", "click")
VERSIONS = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
# Without what starts many trainings or takes long: training, experiments, fuzz, docs.
QUICK = ("model", "data", "cache", "preprocess", "prediction", "plots", "cli")
# The log names each test, and where in the code one stands that takes so many seconds.
PYTEST = ("-v", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=600")


@dataclass(frozen=True)
class Setting:
    """Versions to try.

    Parameters
    ----------
    python : str
        Release of the interpreter.
    oldest : bool
        Whether to install the lowest versions that setup.cfg allows, in place of those of constraints.txt.
    forced : tuple of str
        What to install at last whatever the others ask for.
    """

    python: str
    oldest: bool = False
    forced: tuple[str, ...] = ()


SETTINGS = {
    "oldest": Setting("3.10", oldest=True),
    "dgl-2.1": Setting("3.11", forced=("dgl==2.1.0", "pandas")),
    "python-3.12": Setting("3.12"),
}


class SettingError(Exception):
    """Reason why a setting could not be tried."""


def lower_bounds(python: str) -> list[str]:
    """Return the lowest version of every requirement in setup.cfg for a release of Python."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"] + setup["options.extras_require"]["chem"]
    bounds = []
    for line in lines.split("\n"):
        requirement, _, condition = line.partition(";")
        found = re.match(r"([\w-]+)>=([\d.]+)", requirement.strip())
        above = re.search(r'python_version\s*>=\s*"3\.(\d+)"', condition)
        if found and not (above and int(above[1]) > int(python.partition(".")[2])):
            bounds.append(f"{found[1]}=={found[2]}")
    return bounds


def interpreter(release: str) -> str:
    """Return a Python of a release that runs."""
    known = sorted(Path.home().glob(f".pyenv/versions/{release}.*/bin/python"))
    for candidate in [shutil.which(f"python{release}"), *map(str, known)]:
        if candidate and subprocess.run([candidate, "--version"], capture_output=True).returncode == 0:
            return candidate
    raise SettingError(f"there is no Python {release} here")


def run(log: Path, *command: str | Path, folder: Path = ROOT) -> str:
    """Run a command, write what it says to a log, and return it; SettingError if it fails."""
    said = []
    with (
        log.open("a", buffering=1) as stream,
        subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        stream.write(f"$ {' '.join(map(str, command))}\n")
        for line in process.stdout:
            stream.write(line)
            said.append(line)
    if process.returncode > 1 or process.returncode < 0:
        raise SettingError(
            f"exit status {process.returncode} of {Path(command[0]).name}, see {log.relative_to(ROOT)}"
        )
    return "".join(said)


def install(name: str, setting: Setting, log: Path) -> Path:
    """Make the environment of a setting, and return its Python."""
    environment = FOLDER / name
    python = environment / "bin" / "python"
    if not python.exists():
        run(log, interpreter(setting.python), "-m", "venv", environment)
    constraints = ROOT / "constraints.txt"
    if setting.oldest:
        constraints = FOLDER / f"{name}.constraints.txt"
        constraints.write_text("\n".join(lower_bounds(setting.python)) + "\n")
    pip = (python, "-m", "pip", "install", "--quiet")
    for command in [
        (*pip, "--constraint", constraints, "--editable", ".[chem,test]"),
        *[(*pip, "--no-deps", package) for package in setting.forced],
    ]:
        if "ERROR" in (said := run(log, *command)):
            lines = [line for line in said.splitlines() if line.startswith("ERROR")]
            raise SettingError(f"cannot be installed: {lines[-1].removeprefix('ERROR: ')}")
    return python


def try_out(name: str, setting: Setting, tests: list[str]) -> dict[str, str]:
    """Install and test a setting; a row of the table."""
    log = FOLDER / f"{name}.log"
    log.unlink(missing_ok=True)
    began = time.monotonic()
    row = {"setting": name, "Python": setting.python} | dict.fromkeys(SHOWN, "")
    try:
        python = install(name, setting, log)
        row |= dict(zip(SHOWN, run(log, python, "-c", VERSIONS, *SHOWN).split(), strict=True))
        said = run(log, python, "-m", "pytest", *PYTEST, *tests)
        row["outcome"] = said.strip().splitlines()[-1].strip("= ")
    except SettingError as failure:
        row["outcome"] = f"not run: {failure}"
    row["minutes"] = f"{(time.monotonic() - began) / 60:.0f}"
    return row


def main() -> None:
    """Try the settings, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETTINGS)}; default: all")
    parser.add_argument("--tests", nargs="+", help="what pytest runs; default: all but the slowest folders")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(SETTINGS):
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(SETTINGS)}")
    alone = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests").glob("test_*.py"))
    tests = chosen.tests or [*(f"tests/{name}" for name in QUICK), *alone]
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in chosen.names or SETTINGS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows.append(try_out(name, SETTINGS[name], tests))
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")
    ran = [row["outcome"] for row in rows if not row["outcome"].startswith("not run")]
    sys.exit(not ran or any("failed" in outcome or "error" in outcome for outcome in ran))


if __name__ == "__main__":
    main()
