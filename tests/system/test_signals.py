"""A signal to stop is noted while something must not be interrupted, and then obeyed."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from uad_bench.kernels import can_compile, compiled
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


@pytest.mark.skipif(not can_compile(), reason="nothing is compiled here")
def test_a_signal_while_a_kernel_is_compiled_is_obeyed_after_it(tmp_path, monkeypatch):
    import numba
    from numba.core import event

    @compiled
    def kernel(number):
        return 2 * number

    class Once(event.Listener):
        is_sent = False

        def on_start(self, event):
            if not self.is_sent:
                self.is_sent = True
                signal.raise_signal(signal.SIGINT)

        def on_end(self, event):
            pass

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert kernel._machine_code.signatures == []
    with event.install_listener("numba:run_pass", Once()), pytest.raises(KeyboardInterrupt):
        kernel(3)
    assert len(kernel._machine_code.signatures) == 1
    assert kernel(3) == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
