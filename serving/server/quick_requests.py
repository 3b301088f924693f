"""Which requests are over so soon that a thread for them would cost more than they do.

Handing a request to a thread and back takes Python as long as a small model takes to compute it.
What is known to be quick is answered where it was read; everything else has a thread, so that
nobody waits for it.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

# Whoever comes meanwhile waits as long.
_QUICK_SECONDS = 1e-3
# Longer than that a quick request takes by chance alone, if the machine is busy.
_SURPRISE_SECONDS = 4e-3
# For so many requests nothing else is tried.
_BARRED_REQUESTS = 1000
# What is known rises by so much a request at most: a busy machine makes no slow model.
_RISE = 1.02
_KINDS = 1024


@dataclass
class _Kind:
    # None until it seems to be quick.
    seconds: float | None = None
    surprises: int = 0
    barred: int = 0


class QuickRequests:
    """Remembers how long requests of each kind take; for one thread."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()

    def includes(self, kind: Hashable) -> bool:
        """Whether a request of this kind, which is whatever makes requests alike, is quick."""
        known = self._kinds.get(kind)
        return known is not None and known.seconds is not None

    def took(self, kind: Hashable, seconds: float, cpu_seconds: float, *, threaded: bool) -> None:
        """Notes how long a request took.

        Args:
            kind: As for `includes`.
            seconds: From the beginning of its computation to the end.
            cpu_seconds: How long its thread computed: not how long it waited for other threads.
            threaded: Whether it had a thread of its own.
        """
        known = self._kinds.setdefault(kind, _Kind())
        self._kinds.move_to_end(kind)
        if len(self._kinds) > _KINDS:
            self._kinds.popitem(last=False)
        surprise = seconds > _SURPRISE_SECONDS
        if threaded:
            if known.barred:
                known.barred -= 1
            elif known.seconds is None and cpu_seconds < _QUICK_SECONDS and not surprise:
                known.seconds = cpu_seconds
            return
        # It has not become unknown meanwhile: who is not threaded waits for nobody.
        assert known.seconds is not None
        known.seconds = min(seconds, known.seconds * _RISE)
        known.surprises = known.surprises + 1 if surprise else 0
        if known.seconds > _QUICK_SECONDS or known.surprises == 2:
            self._kinds[kind] = _Kind(barred=_BARRED_REQUESTS)
