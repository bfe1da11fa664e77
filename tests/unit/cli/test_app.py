import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from voxray.cli import app
from voxray.doctor import sample_clip


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"voxray {version('voxray')}\n"


HEAVY = ("torch", "transformers", "ray", "pyarrow", "scipy", "datasets", "pandas")


@pytest.mark.parametrize("words", [["transcribe", "CLIP", "--words"], ["models"], ["doctor"], ["--version"]])
def test_a_command_imports_nothing_that_the_base_install_lacks(words: list[str]) -> None:
    code = (
        "import sys, typer.main\n"
        "from voxray.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    argv = [str(sample_clip()) if w == "CLIP" else w for w in words]
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"
