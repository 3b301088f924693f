"""Which of the versions on disk are served."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Latest:
    """The highest so many versions, at least one."""

    count: int = 1

    def choose(self, available: Iterable[int]) -> frozenset[int]:
        """Returns those to serve of the versions that there are."""
        return frozenset(sorted(available)[-max(self.count, 1) :])


@dataclass(frozen=True)
class All:
    """Every version."""

    def choose(self, available: Iterable[int]) -> frozenset[int]:
        """Returns those to serve of the versions that there are."""
        return frozenset(available)


@dataclass(frozen=True)
class Specific:
    """Exactly these versions, as far as they exist."""

    versions: frozenset[int]

    def choose(self, available: Iterable[int]) -> frozenset[int]:
        """Returns those to serve of the versions that there are."""
        return self.versions & frozenset(available)


VersionPolicy: TypeAlias = Latest | All | Specific
