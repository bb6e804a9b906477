"""What happens to speech before the encoder: filter, gate, gain control, limiter, key. All pure, chunk by chunk as in one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stream import gate, leveller, limiter, tx
from stream.demo import CLIP
from stream.engine import Encoder
from stream.front import Conditioning, Front
from stream.highpass import HighPass
from stream.keying import Keying, Mode
from stream.profile import PROFILES
from stream.sender import Sender
from tests.conftest import SAMPLE_RATE_HZ, speech_like

MICROPHONE = Conditioning(80.0, gain_control=True)


def decibels(pcm: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(pcm.astype(np.float64) ** 2) + 1e-20))


def loudness_db(pcm: np.ndarray) -> float:
    """Mean power of 0.4 s blocks that are not 10 dB below the mean: the gate of ITU-R BS.1770, without its weighting."""
    power = np.lib.stride_tricks.sliding_window_view(pcm.astype(np.float64) ** 2, 6400)[::1600].mean(axis=1)
    return float(10 * np.log10(power[power > power.mean() / 10].mean()))


def through(step: Callable[[Any, Any], tuple[Any, Any]], state: Any, pcm: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    out, start = [], 0
    for size in itertools.cycle(sizes):
        if start >= len(pcm):
            return np.concatenate(out)
        y, state = step(pcm[start : start + size], state)
        out.append(y)
        start += size
    raise AssertionError


@pytest.mark.parametrize(
    ("step", "state", "sizes"),
    [
        (HighPass(), HighPass.start(), (1, 64, 7, 1280, 333)),
        (gate.gate, gate.start(), (320, 1280, 640)),
        (limiter.limit, limiter.start(), (80, 1280, 160)),
    ],
    ids=("high-pass", "gate", "limiter"),
)
def test_chunks_equal_the_whole(step: Any, state: Any, sizes: tuple[int, ...]) -> None:
    pcm = 4 * speech_like(1.28, level=0.5)
    assert np.allclose(through(step, state, pcm, sizes), through(step, state, pcm, (len(pcm),)), atol=1e-6)


@pytest.mark.parametrize("step", [HighPass(), gate.gate, limiter.limit], ids=("high-pass", "gate", "limiter"))
def test_no_output_knows_the_future(step: Any) -> None:
    start = {"gate": gate.start, "limit": limiter.start}.get(getattr(step, "__name__", ""), HighPass.start)()
    pcm, changed = speech_like(0.64), speech_like(0.64)
    changed[6400:] = 0.9
    assert np.array_equal(step(pcm, start)[0][:6400], step(changed, start)[0][:6400])


def test_the_high_pass_is_the_plain_recursion() -> None:
    high_pass, pcm = HighPass(120.0), speech_like(0.3)
    b0, b1, b2, a1, a2 = high_pass._coefficients
    expected, history = [], [0.0] * 4
    for sample in pcm.astype(np.float64):
        value = b0 * sample + b1 * history[0] + b2 * history[1] - a1 * history[2] - a2 * history[3]
        history = [sample, history[0], value, history[2]]
        expected.append(value)
    assert np.allclose(high_pass(pcm, HighPass.start())[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("hz", "low_db", "high_db"), [(20, -40, -22), (50, -10, -7), (80, -3.5, -2.5), (300, -0.1, 0.1), (4000, -0.1, 0.1)]
)
def test_the_high_pass_takes_out_rumble_and_leaves_speech(hz: float, low_db: float, high_db: float) -> None:
    sine = np.sin(2 * np.pi * hz / SAMPLE_RATE_HZ * np.arange(2 * SAMPLE_RATE_HZ)).astype(np.float32)
    filtered = HighPass(80.0)(sine, HighPass.start())[0]
    assert low_db <= decibels(filtered[SAMPLE_RATE_HZ:]) - decibels(sine[SAMPLE_RATE_HZ:]) <= high_db


def test_the_limiter_holds_its_ceiling_without_a_click() -> None:
    rng = np.random.default_rng(0)
    pcm = (rng.standard_normal(SAMPLE_RATE_HZ // 80 * 80) * np.repeat(rng.choice([0.01, 0.3, 5.0], 200), 80)).astype(np.float32)
    assert np.abs(limiter.limit(pcm, limiter.start())[0]).max() <= limiter.CEILING + 1e-6
    steady = (0.5 * np.sin(2 * np.pi * 200 / SAMPLE_RATE_HZ * np.arange(SAMPLE_RATE_HZ))).astype(np.float32)
    steady[8000:8400] *= 4  # a burst, cut where the sine is zero
    limited = limiter.limit(steady, limiter.start())[0]
    slope = 2 * np.pi * 200 / SAMPLE_RATE_HZ
    assert np.abs(np.diff(limited)).max() < 1.3 * slope * limiter.CEILING  # as smooth as the loudest sine that fits
    quiet = 0.1 * steady
    assert np.array_equal(limiter.limit(quiet, limiter.start())[0][80:], quiet[:-80])  # 5 ms later, untouched


def condition(pcm: np.ndarray, front: Front) -> np.ndarray:
    return np.concatenate([front(pcm[k : k + 1280])[0] for k in range(0, len(pcm) - 1279, 1280)])


def test_speech_of_any_level_leaves_equally_loud() -> None:
    """Real speech with its peak at -40 to 0 dB of full scale: a spread of at most 1 dB, 0.1 dB once the level is learnt."""
    clip = soundfile.read(CLIP, dtype="float32")[0]
    whole, learnt = [], []
    for peak_db in range(-40, 1, 5):
        heard = condition(clip / np.abs(clip).max() * np.float32(10 ** (peak_db / 20)), Front(MICROPHONE))
        assert np.abs(heard).max() <= limiter.CEILING + 1e-6
        whole.append(loudness_db(heard))
        learnt.append(loudness_db(heard[2 * SAMPLE_RATE_HZ :]))
    assert np.ptp(whole) < 1.0 and np.ptp(learnt) < 0.1
    assert abs(np.mean(learnt) - leveller.TARGET_DB) < 1.5


@pytest.mark.parametrize("change_db", [-30, -18, 10, 20])
def test_gain_follows_a_voice_that_changes(change_db: float) -> None:
    clip = soundfile.read(CLIP, dtype="float32")[0]
    clip /= 8 * np.abs(clip).max()  # 30 dB below it is still within reach of the highest gain
    heard = condition(np.concatenate([clip, clip * np.float32(10 ** (change_db / 20))]), Front(MICROPHONE))
    assert abs(loudness_db(heard[-5 * SAMPLE_RATE_HZ :]) - loudness_db(heard[: len(clip)][-5 * SAMPLE_RATE_HZ :])) < 3


def test_gain_rests_in_pauses_and_survives_a_slammed_door() -> None:
    rng = np.random.default_rng(0)
    room = (1e-4 * rng.standard_normal(20 * SAMPLE_RATE_HZ)).astype(np.float32)
    front = Front(MICROPHONE)
    condition(speech_like(6.0, level=0.05), front)
    before_db = front.gain_db
    condition(room, front)
    assert abs(front.gain_db - before_db) < 1
    front = Front(MICROPHONE)
    condition(np.concatenate([room[:SAMPLE_RATE_HZ], rng.uniform(-1, 1, 1600).astype(np.float32), room]), front)
    heard = condition(np.concatenate([speech_like(6.0, level=0.005), room[:48000]]), front)
    assert loudness_db(heard[2 * SAMPLE_RATE_HZ : 6 * SAMPLE_RATE_HZ]) > leveller.TARGET_DB - 6


def test_the_gate_turns_down_the_room_and_leaves_speech() -> None:
    rng = np.random.default_rng(1)
    room = (3e-3 * rng.standard_normal(10 * SAMPLE_RATE_HZ)).astype(np.float32)
    spoken = room.copy()
    spoken[6 * SAMPLE_RATE_HZ : 7 * SAMPLE_RATE_HZ] += speech_like(1.0, level=0.3)
    heard = gate.gate(spoken, gate.start())[0]
    pause, speech = slice(4 * SAMPLE_RATE_HZ, 6 * SAMPLE_RATE_HZ), slice(6 * SAMPLE_RATE_HZ, 7 * SAMPLE_RATE_HZ)
    assert decibels(heard[pause]) - decibels(spoken[pause]) < -12
    assert abs(decibels(heard[speech]) - decibels(spoken[speech])) < 0.5


def test_keys() -> None:
    vox, ptt, always = (Keying(mode) for mode in (Mode.VOX, Mode.PTT, Mode.OPEN))
    assert [vox.on_air(speech) for speech in (True, False)] == [True, False]
    assert [always.on_air(speech) for speech in (True, False)] == [True, True]
    assert not ptt.on_air(True)
    ptt.toggle()
    assert ptt.on_air(False)
    ptt.toggle()
    assert not ptt.on_air(True)


@pytest.mark.parametrize("mode", Mode)
def test_the_time_out_timer_ends_a_transmission_until_it_pauses(mode: Mode) -> None:
    said: list[str] = []
    keying = Keying(mode, 1.6, said.append)
    keying.pressed = True
    assert [keying.on_air(True) for _ in range(40)] == [True] * 20 + [False] * 20
    assert len(said) == 1 and "--max-talk-s" in said[0] and keying.timed_out
    if mode is Mode.PTT:
        keying.toggle()
        assert not keying.on_air(True)
        keying.toggle()
        opened = False
    else:
        assert not any(keying.on_air(False) for _ in range(12))
        opened = keying.on_air(False)
    assert opened == (mode is Mode.OPEN)  # that frame counts
    assert [keying.on_air(True) for _ in range(21)] == [True] * (20 - opened) + [False] * (1 + opened)


def test_nothing_but_what_the_key_lets_through_is_encoded() -> None:
    front = Front(MICROPHONE, Keying(Mode.PTT))
    frame = speech_like(0.08)
    assert not front(frame)[0].any() and not front(frame)[1]
    front.keying.toggle()
    assert front(frame)[0].any() and front(frame)[1]


def test_a_sender_keyed_by_hand_sends_whole_talk_spurts(encoder: Encoder) -> None:
    sent: list[np.ndarray] = []
    front = Front(keying=Keying(Mode.PTT))
    sender = Sender(encoder, PROFILES["fast"], 0, front=front, sent=sent.append)
    assert sender.push(speech_like(1.28)) == []
    front.keying.toggle()
    assert len(sender.push(speech_like(0.64))) == 2
    front.keying.toggle()
    assert len(sender.push(speech_like(3.2))) == 1  # that ends the talk spurt
    assert len(sent) == 3 and all(len(samples) == 5120 for samples in sent) and not sent[2].any()
    assert np.allclose(np.concatenate(sent[:2]), speech_like(0.64))


def test_voice_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "quiet.wav", speech_like(4.0, level=0.01), SAMPLE_RATE_HZ, "FLOAT")
    common = [
        "--in",
        str(tmp_path / "quiet.wav"),
        "--out",
        str(tmp_path / "air"),
        "-f",
        "-p",
        "fast",
        "--stats",
        str(tmp_path / "s"),
    ]
    for number, (options, packets) in enumerate(((["--agc"], 14), (["--key", "open", "--max-talk-s", "1.28"], 5))):
        folder = tmp_path / f"record{number}"
        assert tx.main([*common, "--record", str(folder), *options]) == 0
        assert json.loads((tmp_path / "s").read_text())["packets"] <= packets
        (kept,) = folder.glob("sent-*.wav")
        loud = soundfile.read(kept)[0]
        assert len(loud) == json.loads((tmp_path / "s").read_text())["packets"] * 4 * 1280
        assert (np.abs(loud).max() > 0.1) == ("--agc" in options)
    assert "--max-talk-s" in capsys.readouterr().err
    assert tx.main([*common, "--key", "ptt"]) == 2
    assert "--mic" in capsys.readouterr().err


def on_air(pcm: np.ndarray, conditioning: Conditioning | None = None) -> tuple[list[bool], Front]:
    """Which frames of a source are sent by voice detection."""
    front = Front(conditioning, Keying(Mode.VOX))
    return [front(pcm[k : k + 1280])[1] for k in range(0, len(pcm) - 1279, 1280)], front


def hum(hertz: float, level: float, count: int) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(count) / SAMPLE_RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize(
    "conditioning", [None, MICROPHONE, Conditioning(20.0), Conditioning(gain_control=True, gate=True)], ids=str
)
@pytest.mark.parametrize("kind", ["offset", "negative offset", "large offset", "drifting offset", "rumble"])
def test_what_is_below_speech_does_not_hide_it(conditioning: Conditioning | None, kind: str) -> None:
    """Of files as of microphones: an offset of a tenth of full scale once looked like a room as loud as that."""
    voice = np.tile(soundfile.read(CLIP, dtype="float32")[0], 4)[: 30 * SAMPLE_RATE_HZ]
    below = {
        "offset": 0.1,
        "negative offset": -0.1,
        "large offset": 0.5,
        "drifting offset": np.linspace(-0.2, 0.3, len(voice), dtype=np.float32),
        "rumble": hum(12.0, 0.1, len(voice)),
    }
    clean, _ = on_air(voice, conditioning)
    heard, _ = on_air((voice + below[kind]).astype(np.float32), conditioning)
    assert sum(heard) >= 0.97 * sum(clean) and np.mean(np.array(heard) != np.array(clean)) < 0.05


def test_an_offset_alone_is_silence_from_the_first_frame_on() -> None:
    for offset in (0.01, 0.1, -0.7):
        heard, front = on_air(np.full(10 * SAMPLE_RATE_HZ, offset, np.float32))
        assert not any(heard) and "nothing was loud enough" in front.too_quiet


def test_the_gain_does_not_follow_an_offset() -> None:
    voice = 0.05 * np.tile(soundfile.read(CLIP, dtype="float32")[0], 2)
    gains_db = [
        on_air((voice + offset).astype(np.float32), Conditioning(gain_control=True))[1].gain_db for offset in (0.0, 0.1, 0.5)
    ]
    assert gains_db == pytest.approx([gains_db[0]] * 3, abs=0.5)


@pytest.mark.parametrize("level_db", [-30, -50, -60, -65, -68, -70])
def test_gain_control_reaches_down_to_minus_seventy_decibels(level_db: float) -> None:
    voice = soundfile.read(CLIP, dtype="float32")[0]
    quiet = voice * 10 ** ((level_db - decibels(voice)) / 20)
    quiet = (np.round(quiet * 32767) / 32767).astype(np.float32)  # what 16 bits leave of it
    front = Front(Conditioning(80.0, gain_control=True), Keying(Mode.VOX))
    out, sent = zip(*(front(quiet[k : k + 1280]) for k in range(0, len(quiet) - 1279, 1280)), strict=True)
    assert np.mean(sent) > 0.7 and front.too_quiet == ""
    assert loudness_db(np.concatenate(out)[3 * SAMPLE_RATE_HZ :]) == pytest.approx(leveller.TARGET_DB, abs=3)


@pytest.mark.parametrize(
    ("level_db", "options", "cure"), [(-67, [], "--agc"), (-85, ["--agc"], "record louder"), (-67, ["--agc"], "")]
)
def test_what_is_too_quiet_to_be_sent_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], level_db: float, options: list[str], cure: str
) -> None:
    voice = soundfile.read(CLIP, dtype="float32")[0]
    soundfile.write(tmp_path / "quiet.wav", voice * 10 ** ((level_db - decibels(voice)) / 20), SAMPLE_RATE_HZ, "FLOAT")
    assert tx.main(["--in", str(tmp_path / "quiet.wav"), "--out", str(tmp_path / "air"), *options]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "nothing was loud enough" in line]
    assert len(lines) == (1 if cure else 0) and all(cure in line and " dB of full scale" in line for line in lines)
    assert bool((tmp_path / "air").stat().st_size) == (not cure)
