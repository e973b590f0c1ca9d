"""What trials share: training parts of the folds, encoded once per link and smoothing."""

from collections import OrderedDict
from threading import Lock

MOST_BYTES = 2**29  # four smoothings and the identity on five folds of 1e5 rows and 20 columns


class Encodings:
    """Arrays and encoded rows by key; those used last are kept. Safe to share between threads.

    A copy in another process starts empty.

    Parameters
    ----------
    most_bytes : int, default=536870912
        Sum of the `nbytes` of what is kept.
    """

    def __init__(self, most_bytes=MOST_BYTES):
        self.most_bytes = most_bytes
        self._kept: OrderedDict = OrderedDict()
        self._lock = Lock()

    def get(self, key, make):
        """The value of a key, by `make()` where there is none.

        Two threads may make the same at the same moment.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            self._kept[key] = value
            while sum(one.nbytes for one in self._kept.values()) > self.most_bytes:
                self._kept.popitem(last=False)
        return value

    def __reduce__(self):
        return Encodings, (self.most_bytes,)
