"""The package's frame: what is installed, what imports what, what `--help` costs."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import stn_tf

FOLDERS = {"stn_tf": "stn_tf", "export": "stn_tf.export", "serving": "stn_tf.serving",
           "cli": "stn_tf.cli"}  # fmt: skip
# A layer may import itself and those to its left.
LAYERS = ["stn_tf", "stn_tf.export", "stn_tf.serving", "stn_tf.cli"]


def sources(root: Path) -> dict[str, Path]:
    """Module name -> file."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def layer_of(module: str) -> int:
    return max(
        index
        for index, name in enumerate(LAYERS)
        if module == name or module.startswith(name + ".")
    )


def test_setup_cfg_lists_every_package(root: Path) -> None:
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {name for name, path in sources(root).items() if path.name == "__init__.py"}
    assert listed == found


def test_imports_point_one_way(root: Path) -> None:
    wrong = []
    for module, path in sources(root).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                names = [node.module or ""]
                names += [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                assert name.split(".")[0] not in ("export", "serving", "cli"), path
                if name.split(".")[0] == "stn_tf" and layer_of(name) > layer_of(module):
                    wrong.append(f"{module} imports {name}")
    assert not wrong


def imported(path: Path) -> set[str]:
    """The modules that a file imports, and the names that it imports from them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", ["training", "data", "models", "paper", "plots"])
def test_rooms_know_no_more_than_they_need(room: str, root: Path) -> None:
    """Training knows no network and no data, and these know no training."""
    others = {"training", "data", "models", "paper", "experiments", "recipe", "plots", "native"}
    # The paper uses training and data like anybody.
    may = {"training", "data", "recipe"} if room == "paper" else set()
    wrong = [
        f"{path.relative_to(root)} imports {name}"
        for path in (root / "stn_tf" / room).rglob("*.py")
        for name in imported(path)
        for other in others - may - {room}
        if f"{name}.".startswith(f"stn_tf.{other}.")
    ]
    assert not wrong


def test_only_the_experiments_know_the_paper(root: Path) -> None:
    users = {
        ".".join(module.split(".")[:2])
        for module, path in sources(root).items()
        if any(f"{name}.".startswith("stn_tf.paper.") for name in imported(path))
    }
    assert users == {"stn_tf.experiments", "stn_tf.paper"}


@pytest.mark.parametrize(
    "module",
    ["stn_tf.experiments", "stn_tf.experiments.settings", "stn_tf.training", "stn_tf.data",
     "stn_tf.paper", "stn_tf.recipe"],
)  # fmt: skip
def test_settings_need_no_tensorflow(module: str, root: Path) -> None:
    script = (
        f"import sys, {module}\n"
        "from stn_tf.experiments import load_experiment\n"
        "load_experiment('folder'), load_experiment('mnist-rts', ['schedule=paper'])\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "command", [["-c", "import stn_tf; stn_tf.__version__"], ["-m", "stn_tf.cli.main", "--help"]]
)
def test_light_start(command: list[str], root: Path) -> None:
    script = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try:\n"
        "    exec(sys.argv[1]) if sys.argv[0] == '-c' else runpy.run_module(sys.argv.pop(1), "
        "run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    heavy = {'tensorflow', 'keras', 'numpy', 'matplotlib', 'onnxruntime', 'rich'}\n"
        "    heavy &= set(sys.modules)\n"
        "    print('heavy:', sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=root, capture_output=True, text=True
    )
    assert "heavy: []" in done.stdout, done.stdout + done.stderr


def test_public_names_load() -> None:
    for name in stn_tf.__all__:
        assert getattr(stn_tf, name) is not None
    assert set(stn_tf.__all__) <= set(dir(stn_tf))
    with pytest.raises(AttributeError, match="has no attribute 'grid_sampler'"):
        stn_tf.grid_sampler  # noqa: B018
    assert stn_tf.__version__.count(".") == 2
