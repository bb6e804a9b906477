"""Keying: when the sender is on air. Pure: one decision a frame, from voice activity and a switch.

    vox    while there is speech            open   always            ptt   while the switch is pressed

A time-out timer ends a transmission that never pauses, so that an open microphone cannot hold the link for good. It
opens again once the switch is released, or without a switch after a second without speech.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

from stream.frame import FRAME_S

PAUSE_S = 1.0
EXACT = 1e-6  # of a frame: quotients of seconds are not


class Mode(StrEnum):
    """What puts the sender on air."""

    VOX = "vox"
    OPEN = "open"
    PTT = "ptt"


class Keying:
    """The key of one sender."""

    def __init__(self, mode: Mode = Mode.VOX, max_talk_s: float = 0.0, notify: Callable[[str], None] = lambda line: None):
        """`max_talk_s`: the longest transmission; 0: no limit. notify: gets a line when the timer ends one."""
        self.mode = mode
        self.pressed = False  # whoever watches the switch sets it
        self.timed_out = False
        self._max_talk_s, self._notify = max_talk_s, notify
        self._most_frames = int(max_talk_s / FRAME_S + EXACT) if max_talk_s else math.inf
        self._talk_frames = self._pause_frames = 0

    @property
    def state(self) -> str:
        """`open`, `vox`, `ptt on`, `ptt off`, or `timed out` for whichever of them."""
        if self.timed_out:
            return "timed out"
        return f"ptt {'on' if self.pressed else 'off'}" if self.mode is Mode.PTT else self.mode.value

    def toggle(self) -> None:
        """Press the switch, or release it."""
        self.pressed = not self.pressed

    def release(self) -> None:
        """Let the switch go, if it is pressed."""
        self.pressed = False

    def on_air(self, speech: bool) -> bool:
        """Whether the next frame, which holds speech or not, is sent."""
        wanted = {Mode.VOX: speech, Mode.OPEN: True, Mode.PTT: self.pressed}[self.mode]
        self._pause_frames = 0 if speech else self._pause_frames + 1
        if self.timed_out:
            released = not self.pressed if self.mode is Mode.PTT else self._pause_frames * FRAME_S >= PAUSE_S
            self.timed_out = not released
            self._talk_frames = int(released and wanted)
            return released and wanted
        self._talk_frames = self._talk_frames + 1 if wanted else 0
        if self._talk_frames > self._most_frames:
            self.timed_out = True
            again = "release the key" if self.mode is Mode.PTT else "pause for a second"
            self._notify(f"off air after {self._max_talk_s:g} s of --max-talk-s; {again} to talk again")
        return wanted and not self.timed_out
