"""What passes through the relay besides voice, and who may be at its ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from channel.relay import main
from stream.content import Voice
from stream.front import Front
from stream.keying import Keying, Mode
from stream.keys import read_key, write_key
from stream.link import ZmqLink
from stream.packet import TYPE_CONTROL, Framing, packet_type
from stream.profile import PROFILES
from stream.receiver import Receiver
from stream.ruler import DECODER_ID, RulerDecoder, RulerEncoder, heard_frame
from stream.sender import Sender
from tests.channel.test_relay import LONG_S, push
from tests.conftest import free_endpoint

FAST = PROFILES["fast"]


@contextmanager
def relay(*options: str) -> Iterator[None]:
    """`clari-channel` until it has been idle for four seconds of the wall: a busy machine may stand still for one."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main([*options, "--speed", "50", "--idle-exit-s", "200"])), daemon=True)
    thread.start()
    yield
    thread.join(LONG_S)
    assert codes == [0]


def test_talk_spurt_ends_and_control_packets_pass_the_relay() -> None:
    """Two talk spurts with silence between them, a station and a text: the receiver knows all of it and reports no loss."""
    sender = Sender(RulerEncoder(), FAST, 2, station="BASE", front=Front(keying=Keying(Mode.VOX)))
    sender.say("on our way")
    loud = np.tile(np.repeat(np.array([0.1, 0.001], np.float32), 1280), 16)
    silence = np.zeros(12 * FAST.frames * 1280, np.float32)
    packets = [*sender.push(np.concatenate([loud, silence, loud])), *sender.finish()]
    kinds = [packet_type(packet) == TYPE_CONTROL for packet in packets]
    news: list[str] = []
    receiver = Receiver(RulerDecoder(), 0.2, Framing(DECODER_ID), news.append)
    inlet, outlet = free_endpoint(), free_endpoint()
    arrived = []
    with ZmqLink.receiver(outlet) as ground, ZmqLink.sender(inlet) as air, relay("--bind", inlet, "--connect", outlet):
        for packet in packets:  # one by one: a burst would overflow the small queues between the processes
            push(air, packet)
            arrived.append(ground.receive(LONG_S))
    assert arrived == packets and 2 < sum(kinds) < len(kinds)
    heard, now_s = [], 0.0
    for packet in arrived:
        assert packet is not None
        content = receiver.framing.parse(packet).content
        if isinstance(content, Voice):
            now_s = content.sequence * FAST.packet_s
        heard += [heard_frame(pcm) for pcm in receiver.play(now_s)]
        receiver.arrive(now_s, packet)
    heard += [heard_frame(pcm) for pcm in receiver.rest()]
    assert "station BASE" in news and "text from BASE: on our way" in news
    assert receiver.stats.concealed_frames == 0
    frames = [frame for frame in heard if frame is not None]
    assert frames == sorted(set(frames)) and len(frames) == 4 * (len(kinds) - sum(kinds))


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, bytes]:
    write_key(str(tmp_path / "key"))
    return str(tmp_path / "key"), read_key(str(tmp_path / "key"))


@pytest.mark.parametrize("stranger_key", [None, bytes(32)], ids=["no key", "another key"])
def test_without_the_key_nothing_gets_into_the_relay(keys: tuple[str, bytes], stranger_key: bytes | None) -> None:
    path, key = keys
    inlet, outlet = free_endpoint(), free_endpoint()
    with (
        ZmqLink.receiver(outlet, curve_key=key) as ground,
        ZmqLink.sender(inlet, curve_key=stranger_key) as stranger,
        ZmqLink.sender(inlet, curve_key=key) as friend,
        relay("--bind", inlet, "--connect", outlet, "--curve", path),
    ):
        stranger.send(b"forged")
        push(friend, b"genuine")
        assert ground.receive(LONG_S) == b"genuine"
        assert stranger.drain(0.3) == 1 and ground.receive(0.3) is None


def test_without_the_key_nothing_comes_out_of_the_relay(keys: tuple[str, bytes]) -> None:
    path, key = keys
    inlet, outlet = free_endpoint(), free_endpoint()
    with (
        ZmqLink.receiver(outlet) as stranger,
        ZmqLink.sender(inlet, curve_key=key) as friend,
        relay("--bind", inlet, "--connect", outlet, "--curve", path),
    ):
        push(friend, b"genuine")
        assert stranger.receive(0.5) is None


def test_a_key_for_a_pipe_or_none_at_all_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = ["--in", "-", "--out", "-", "--packet-bytes", "16", "--packet-s", "0.32"]
    assert main([*pipe, "--curve", "key"]) == 2
    assert main(["--curve", str(tmp_path / "none")]) == 6
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "--key-file" in lines[0] and "clari-keygen" in lines[1]
