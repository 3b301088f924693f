"""docs/results.md says what the kept results say, and nothing else."""

import importlib.util
from pathlib import Path


def test_the_page_is_written_from_the_results(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("page", root / "benchmarks" / "reproduction.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (root / "docs" / "results.md").read_text(encoding="utf-8") == module.page()
