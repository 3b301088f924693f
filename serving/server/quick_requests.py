"""Which requests are over so soon that a thread for them would cost more than they do.

Handing a request to a thread and back takes Python as long as a small model takes to compute it.
What is known to be quick is answered where it was read; everything else has a thread, so that
nobody waits for it.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

# Whoever comes meanwhile waits as long.
_QUICK_SECONDS = 0.5e-3
# What was to be quick and takes longer than that is not taken for quick again for a while.
_SURPRISE_SECONDS = 4e-3
_BARRED_REQUESTS = 1000
# What is known rises by so much a request at most: a busy machine makes no slow model.
_RISE = 1.02
_KINDS = 1024


@dataclass
class _Kind:
    seconds: float
    barred: int = 0


class QuickRequests:
    """Remembers how long requests of each kind take; for one thread."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()

    def includes(self, kind: Hashable) -> bool:
        """Whether a request of this kind, which is whatever makes requests alike, is quick."""
        known = self._kinds.get(kind)
        return known is not None and known.seconds < _QUICK_SECONDS and not known.barred

    def took(self, kind: Hashable, seconds: float, *, expected: bool) -> None:
        """Notes how long a request took.

        Args:
            kind: As for `includes`.
            seconds: From the beginning of its computation to the end.
            expected: Whether it was expected to be quick.
        """
        known = self._kinds.setdefault(kind, _Kind(seconds))
        self._kinds.move_to_end(kind)
        known.seconds = min(seconds, known.seconds * _RISE)
        if expected and seconds > _SURPRISE_SECONDS:
            known.barred = _BARRED_REQUESTS
        elif known.barred:
            known.barred -= 1
        if len(self._kinds) > _KINDS:
            self._kinds.popitem(last=False)
