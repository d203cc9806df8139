"""Build the wheel, install it in a fresh environment and use it from another folder.

Run as a script: `python tests/wheel_check.py`. The fresh environment finds the dependencies installed
beside this interpreter; pip installs what the wheel declares beyond them.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def run(*command: str | Path, folder: Path) -> str:
    """Run a command in a folder and return what it prints; its failure is ours."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, stdout=subprocess.PIPE, text=True, timeout=900
    )
    if done.returncode:
        sys.exit(f"exit status {done.returncode} from: {' '.join(str(part) for part in command)}")
    return done.stdout


def main() -> None:
    """Check the wheel; exit with a message where something is wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, folder=folder)
        (wheel,) = folder.glob("*.whl")
        venv.create(folder / "fresh", with_pip=True)
        python = folder / "fresh" / "bin" / "python"
        site = Path(
            run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip()
        )
        # A path file adds the folder itself, but not the editable installs that lie in it.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        before = {entry.name for entry in site.iterdir()}
        run(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", wheel, folder=folder)
        run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, folder=folder)
        tops = {
            entry for entry in {entry.name for entry in site.iterdir()} - before if ".dist-info" not in entry
        }
        if tops != {"gradformer_dgl"}:
            sys.exit(f"the wheel put {sorted(tops)} at the top of site-packages")

        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        where = run(python, "-c", "import gradformer_dgl.cache as c; print(c.__file__)", folder=elsewhere)
        if not where.startswith(str(site)):
            sys.exit(f"the installed package was not used, but {where}")
        command = folder / "fresh" / "bin" / "gradformer-dgl"
        dataset, options = ("MUTAG", ["--data-root", DATA]) if DATA.is_dir() else ("NCI-TPSA", [])
        run(command, "preprocess", dataset, *options, folder=elsewhere)
        printed = run(command, "train", dataset, *options, "--epochs", "2", "--runs", "2", folder=elsewhere)
        result = json.loads(printed.splitlines()[-1])
        again = json.loads(run(command, "evaluate", f"runs/{dataset}", folder=elsewhere).splitlines()[-1])
        if result["mean"] != again["mean"]:
            sys.exit(f"evaluate gives {again['mean']}, training gave {result['mean']}")
        print(f"wheel: {dataset} {result['metric']} {result['mean']:.4g} after 2 epochs, evaluated the same")


if __name__ == "__main__":
    main()
