"""Compiles the native sampler while building; everything else stands in setup.cfg."""

import importlib.util
import json
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

_NATIVE = Path("stn_tf", "native")


def _compiler_module():
    # By its path: importing stn_tf.native would need TensorFlow.
    spec = importlib.util.spec_from_file_location("native_build", _NATIVE / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildWithNative(build_py):
    """Copies the Python files, then compiles beside them."""

    def run(self):
        super().run()
        folder = _NATIVE if self.editable_mode else Path(self.build_lib) / _NATIVE
        _compiler_module().build_or_explain(folder)

    def get_outputs(self, include_bytecode=1):
        native = Path(self.build_lib) / _NATIVE
        made = [str(path) for path in native.glob("*.so")] + [str(native / "build.json")]
        return super().get_outputs(include_bytecode) + made


class PlatformWheel(bdist_wheel):
    """One wheel for all Pythons: the libraries use no part of Python."""

    def run(self):
        self.run_command("build")
        record = Path(self.get_finalized_command("build_py").build_lib) / _NATIVE / "build.json"
        self.root_is_pure = not json.loads(record.read_text())["built"]
        super().run()

    def get_tag(self):
        _, _, platform = super().get_tag()
        return ("py3", "none", platform)


setup(cmdclass={"build_py": BuildWithNative, "bdist_wheel": PlatformWheel})
