"""The shipped graphs: what they say of themselves, that they are causal and chunked as trained, and wrong files."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from stream.engine import MODELS, Decoder, Encoder, load_encoder, model_names
from stream.errors import ModelError
from stream.frame import SAMPLES_PER_FRAME
from stream.profile import PROFILES
from tests.conftest import speech_like


def encode(encoder: Encoder, pcm: np.ndarray, frames: int = 8) -> np.ndarray:
    """Codes of samples in packets of so many frames."""
    stream = encoder.stream()
    return np.concatenate([stream.encode(packet) for packet in pcm.reshape(-1, frames * 1280)])


def decode(decoder: Decoder, codes: np.ndarray, lost: set[int] = frozenset()) -> np.ndarray:
    stream = decoder.stream()
    return np.stack([stream.decode(None if k in lost else frame) for k, frame in enumerate(codes)])


def test_metadata_tells_all(encoder: Encoder, decoder: Decoder) -> None:
    meta = encoder.meta
    assert (meta.sample_rate_hz, meta.samples_per_frame, meta.bits_per_frame) == (16000, 1280, 16)
    assert 0 <= meta.shift_samples == meta.delay_samples - 1280 <= 2080  # 80 ms, and at most 130 more
    assert meta.decoder_id == decoder.meta.decoder_id
    assert meta.training and meta.training != "untrained"
    assert isinstance(json.loads(meta.configuration), dict)


def test_shipped_graphs_are_small_and_hold_everything() -> None:
    assert "base" in model_names()
    for name in model_names():
        files = list((MODELS / name).iterdir())
        assert {file.name for file in files} == {"encoder.onnx", "decoder.onnx"}  # no external data
        assert sum(file.stat().st_size for file in files) <= 40_000_000


@pytest.mark.parametrize("frames", [profile.frames for profile in PROFILES.values()])
def test_no_code_depends_on_what_comes_after_its_packet(encoder: Encoder, frames: int) -> None:
    pcm = speech_like(0.08 * 4 * frames)
    before = encode(encoder, pcm, frames)
    for packet in (1, 3):
        changed, cut = pcm.copy(), packet * frames
        changed[cut * 1280 :] = speech_like(0.08 * 4 * frames, seed=9)[cut * 1280 :]
        after = encode(encoder, changed, frames)
        assert np.array_equal(after[:cut], before[:cut])
        assert not np.array_equal(after[cut:], before[cut:])


def test_the_decoder_graph_is_causal(decoder: Decoder) -> None:
    codes = np.random.default_rng(0).integers(0, 4, (40, 8)).astype(np.uint8)
    before = decode(decoder, codes)
    changed = codes.copy()
    changed[20:] = 3 - changed[20:]
    after, holed = decode(decoder, changed), decode(decoder, codes, lost=set(range(20, 25)))
    for other in (after, holed):
        assert np.array_equal(other[:20], before[:20])
        assert not np.array_equal(other[20:25], before[20:25])


def test_streams_of_one_graph_do_not_disturb_each_other(encoder: Encoder) -> None:
    first, second = speech_like(1.6, seed=1), speech_like(1.6, seed=2)
    streams = encoder.stream(), encoder.stream()
    pairs = zip(first.reshape(-1, 5 * 1280), second.reshape(-1, 5 * 1280), strict=True)
    mixed = np.array([[streams[0].encode(a), streams[1].encode(b)] for a, b in pairs])
    assert np.array_equal(np.concatenate(mixed[:, 0]), encode(encoder, first, 5))
    assert np.array_equal(np.concatenate(mixed[:, 1]), encode(encoder, second, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_wild_samples_do_not_poison_the_state(encoder: Encoder, value: float) -> None:
    stream = encoder.stream()
    stream.encode(np.full(1280, value, np.float32))
    later = np.concatenate([stream.encode(packet) for packet in speech_like(16.0).reshape(-1, 4 * 1280)])
    calm = encoder.stream()
    calm.encode(np.zeros(1280, np.float32))
    expected = np.concatenate([calm.encode(packet) for packet in speech_like(16.0).reshape(-1, 4 * 1280)])
    assert np.array_equal(later[-20:], expected[-20:])


def test_decoding_many_frames_at_once_gives_the_same_samples(decoder: Decoder) -> None:
    codes = np.random.default_rng(2).integers(0, 4, (24, 8)).astype(np.uint8)
    lost = np.arange(24) % 5 == 4
    stream = decoder.stream()
    together = np.concatenate([stream.decode_many(codes[:1], lost[:1]), stream.decode_many(codes[1:], lost[1:])])
    apart = decode(decoder, codes, set(np.flatnonzero(lost)))
    assert np.abs(together - apart.reshape(-1)).max() < 1e-5
    assert np.abs(decoder.stream().decode_many(codes) - decode(decoder, codes).reshape(-1)).max() < 1e-5


def test_output_stays_in_range_for_any_codes(decoder: Decoder) -> None:
    codes = np.random.default_rng(1).integers(0, 4, (60, 8)).astype(np.uint8)
    pcm = decode(decoder, codes, lost=set(range(10, 40)))
    assert np.isfinite(pcm).all() and np.abs(pcm).max() <= 1


def test_wrong_models_are_named_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model 'none'"):
        load_encoder("none")
    garbage = tmp_path / "garbage"
    garbage.mkdir()
    (garbage / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="no usable ONNX graph"):
        load_encoder(str(garbage))
    with pytest.raises(ModelError, match="the decoder of"):
        load_encoder(str(MODELS / "base" / "decoder.onnx"))


def foreign_graph(path: Path, metadata: dict[str, str]) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", value[:1], value[1:]), opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9
    )
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())


def test_a_foreign_graph_is_refused(tmp_path: Path) -> None:
    foreign_graph(tmp_path / "encoder.onnx", {})
    with pytest.raises(ModelError, match="no clari graph"):
        load_encoder(str(tmp_path))


def test_another_format_or_frame_is_refused(tmp_path: Path) -> None:
    shipped = onnx.load(MODELS / "base" / "encoder.onnx", load_external_data=False)
    metadata = {item.key: item.value for item in shipped.metadata_props}
    foreign_graph(tmp_path / "encoder.onnx", {**metadata, "clari_format": "3"})
    with pytest.raises(ModelError, match="format 3"):
        load_encoder(str(tmp_path))
    foreign_graph(tmp_path / "encoder.onnx", {**metadata, "clari_format": "[]"})
    with pytest.raises(ModelError, match="no clari graph"):
        load_encoder(str(tmp_path))
    foreign_graph(tmp_path / "encoder.onnx", {**metadata, "samples_per_frame": "640"})
    with pytest.raises(ModelError, match="another frame"):
        load_encoder(str(tmp_path))


LOUDEST = """
<ir_version: 9, opset_import: ["": 20]>
loudest (float[1, N] pcm, float[1, 1] state) => (int64[1, F, 8] codes, float[1, 1] state_out)
<int64[3] by_frame = {1, -1, 1280}, int64[1] samples = {2}, int64[1] frames = {1}, float[8] none = {0, 0, 0, 0, 0, 0, 0, 0}> {
    parts = Reshape(pcm, by_frame)
    level = ReduceMax(parts, samples)
    state_out = ReduceMax(pcm, frames)
    both = Add(state_out, state)
    many = Mul(level, none)
    values = Add(many, both)
    codes = Cast<to = 7>(values)
}
"""  # every code is the loudest sample of its packet and of the one before, as a whole number


@pytest.fixture
def loudest(tmp_path: Path, encoder: Encoder) -> Encoder:
    """An encoder of format 2 that sees whole packets."""
    model = onnx.parser.parse_model(LOUDEST)
    meta = replace(encoder.meta, clari_format=2, packet_causal=True, state_size=1, memory_frames=12)
    for key, value in asdict(meta).items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    (tmp_path / "encoder.onnx").write_bytes(model.SerializeToString())
    return load_encoder(str(tmp_path))


def packet(frames: int, loudest: float) -> np.ndarray:
    pcm = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    pcm[-1] = loudest
    return pcm


def test_a_packet_of_any_length_goes_in_at_once(loudest: Encoder) -> None:
    stream = loudest.stream()
    assert loudest.meta.packet_causal
    for frames, before in ((4, 0), (8, 1), (1, 1), (12, 1)):
        codes = stream.encode(packet(frames, 1.0))
        assert codes.dtype == np.uint8 and np.array_equal(codes, np.full((frames, 8), 1 + before))


def test_left_out_frames_are_cut_out_until_more_are_than_the_encoder_remembers(loudest: Encoder) -> None:
    stream = loudest.stream()
    stream.encode(packet(4, 1.0))
    stream.skip(8)
    assert stream.encode(packet(4, 1.0)).max() == 2
    stream.skip(8)
    stream.skip(4)
    assert stream.encode(packet(4, 1.0)).max() == 1  # it has begun anew
