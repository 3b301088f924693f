"""The tree drawn in the docstring of `stn_tf.errors` is the tree there is."""

import inspect
import re

from stn_tf import errors


def test_the_drawn_tree_is_complete() -> None:
    lines = re.findall(r"^ {4}([│├└─ ]*)(\w+)( \(also ValueError\))?", errors.__doc__, re.MULTILINE)
    drawn = {}
    path: list[str] = []
    for branch, name, also in lines:
        depth = len(branch) // 4
        path = [*path[:depth], name]
        parents = {path[-2]} if depth else {"Exception"}
        drawn[name] = parents | ({"ValueError"} if also else set())
    found = {
        name: {base.__name__ for base in error.__bases__}
        for name, error in inspect.getmembers(errors, inspect.isclass)
    }
    assert drawn == found
    assert len(found) >= 8
