"""A signal to stop is noted while something must not be interrupted, and then obeyed."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from uad_bench.system.signals import interrupts_noted


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_obeyed_at_the_end(sent):
    before = signal.signal(sent, signal.default_int_handler)
    noted = []

    def work() -> None:
        with interrupts_noted() as interrupt:
            os.kill(os.getpid(), sent)
            noted.append(interrupt.is_asked)

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert signal.getsignal(sent) is signal.default_int_handler
    finally:
        signal.signal(sent, before)
    assert noted == [True]


def test_a_signal_that_does_something_else_is_left_alone():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
    try:
        with interrupts_noted() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not interrupt.is_asked
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [True]


def test_a_thread_that_no_signal_interrupts_notes_none():
    found = []

    def work() -> None:
        with interrupts_noted() as interrupt:
            found.append(interrupt.is_asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
