"""The front of a sender: what happens to 80 ms of speech before the encoder hears it. No clock, no thread.

    high-pass -> voice activity -> noise gate -> gain control -> limiter -> key

A microphone needs all of it; a file is sent as it is. Only the limiter delays, by 5 ms. Whoever measures, the detector of
speech, the gate or the gain, looks at filtered samples in any case: an offset or hum would look like a loud room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream import gate, leveller, limiter
from stream.frame import FRAME_S, Pcm
from stream.highpass import CUT_OFF_HZ, HighPass, State
from stream.keying import Keying, Mode
from stream.vad import QUIETEST_SPEECH_DB, VoiceActivity

UNKNOWN_QUIETEST_DB = -68.0  # before the speaker's level is known: a voice may be quiet
SPEECH_RANGE_DB = 31.0  # below that level nothing is speech: -55 dB after gain control, where the detector draws the line
FORGOTTEN_S = 5.0  # without speech near the level that is known, which may have been that of a slammed door


@dataclass(frozen=True)
class Conditioning:
    """What is done to the samples. The default is nothing."""

    high_pass_hz: float = 0.0  # 0: none
    gate: bool = False
    gain_control: bool = False


class Front:
    """Conditioning and keying of one stream, with their state."""

    def __init__(self, conditioning: Conditioning | None = None, keying: Keying | None = None):
        self.keying = keying or Keying(Mode.OPEN)
        self._conditioning = conditioning or Conditioning()
        self._high_pass = HighPass(self._conditioning.high_pass_hz) if self._conditioning.high_pass_hz else None
        self._high_pass_state = HighPass.start()
        self._ear = HighPass(CUT_OFF_HZ)
        self._ear_state: State | None = None
        self._activity = VoiceActivity()
        self._unmeasured_s = 0.0  # since speech that was a measure of the speaker's level
        self._gate_state = gate.start()
        self._level_state = leveller.start()
        self._limit_state = limiter.start()
        self.delay_samples = limiter.DELAY_SAMPLES if self._conditioning.gain_control else 0

    @property
    def gain_db(self) -> float:
        """What gain control adds now."""
        return self._level_state.gain_db

    @property
    def too_quiet(self) -> str:
        """What to say of a source that held nothing loud enough to be sent; empty if it did, or if the level does not decide."""
        if self.keying.mode is not Mode.VOX or self._activity.heard:
            return ""
        quietest_db, cure, loudest_db = QUIETEST_SPEECH_DB, "add --agc to amplify it", self._activity.loudest_db
        if self._conditioning.gain_control:
            quietest_db, cure = UNKNOWN_QUIETEST_DB, "record louder"
        if loudest_db > quietest_db:
            return f"nothing stood out of a background of up to {loudest_db:.0f} dB; send everything with --key open"
        return (
            f"nothing was loud enough to be sent: the loudest had {loudest_db:.0f} dB of full scale, and below "
            f"{quietest_db:.0f} dB nothing counts as speech; {cure}, or send everything with --key open"
        )

    def __call__(self, frame: Pcm) -> tuple[Pcm, bool]:
        """Samples [1280] of the source -> samples [1280] for the encoder, and whether they go on air."""
        x = np.nan_to_num(frame, nan=0.0, posinf=0.0, neginf=0.0)  # one NaN would stay in a filter for good
        measured = self._measured(x)
        if self._high_pass:
            x, self._high_pass_state = self._high_pass(x, self._high_pass_state)
        speech = self._activity.active(x if measured is None else measured, self._quietest_db())
        if self._conditioning.gate:
            x, self._gate_state = gate.gate(x, self._gate_state, measured)
        if self._conditioning.gain_control:
            x, self._level_state = leveller.level(x, speech, self._level_state, measured)
            known = speech and not self._level_state.quiet_s
            self._unmeasured_s = 0.0 if known else self._unmeasured_s + FRAME_S
            x, self._limit_state = limiter.limit(x, self._limit_state)
        on_air = self.keying.on_air(speech)
        return (x if on_air or self.keying.mode is Mode.VOX else np.zeros_like(x)), on_air

    def _measured(self, x: Pcm) -> Pcm | None:
        """Samples [N] without what is below speech, or None where the conditioning sees to that.

        The filter knows an offset from the first of them on.
        """
        if self._conditioning.high_pass_hz >= CUT_OFF_HZ:
            return None
        state = self._ear.settled(float(x[0])) if self._ear_state is None else self._ear_state
        filtered, self._ear_state = self._ear(x, state)
        return filtered

    def _quietest_db(self) -> float:
        """The level below which nothing is speech: with gain control it goes with the speaker's own."""
        if not self._conditioning.gain_control:
            return QUIETEST_SPEECH_DB
        speech_db = self._level_state.level_db
        if speech_db is None or self._unmeasured_s > FORGOTTEN_S:
            return UNKNOWN_QUIETEST_DB
        return speech_db - SPEECH_RANGE_DB
