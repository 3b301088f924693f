import signal
import threading

import pytest

from stn_tf.training.interrupt import Interrupted, StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_noted_and_the_second_raised(number):
    before = signal.getsignal(number)
    notes = []
    with StopRequest(notes.append) as stop:
        assert not stop
        signal.raise_signal(number)
        assert stop
        assert stop.number == number
        assert len(notes) == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_other_threads_leave_signals_alone():
    seen = []

    def body():
        with StopRequest() as stop:
            seen.append((bool(stop), signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_interrupted_says_where_it_stopped():
    error = Interrupted(7, signal.SIGTERM)
    assert str(error) == "Stopped after step 7 by SIGTERM."
    assert isinstance(error, KeyboardInterrupt)
