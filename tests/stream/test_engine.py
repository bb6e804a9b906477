"""The shipped graphs: what they say of themselves, that they are causal and chunked as trained, and wrong files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from stream.engine import MODELS, Decoder, Encoder, load_encoder, model_names
from stream.errors import ModelError
from tests.conftest import speech_like


def encode(encoder: Encoder, pcm: np.ndarray) -> np.ndarray:
    stream = encoder.stream()
    return np.stack([stream.encode(frame) for frame in pcm.reshape(-1, 1280)])


def decode(decoder: Decoder, codes: np.ndarray, lost: set[int] = frozenset()) -> np.ndarray:
    stream = decoder.stream()
    return np.stack([stream.decode(None if k in lost else frame) for k, frame in enumerate(codes)])


def test_metadata_tells_all(encoder: Encoder, decoder: Decoder) -> None:
    meta = encoder.meta
    assert (meta.sample_rate_hz, meta.samples_per_frame, meta.bits_per_frame) == (16000, 1280, 16)
    assert meta.look_ahead_samples <= 1280  # 80 ms
    assert meta.delay_samples == 1280 + meta.shift_samples >= 1280 + meta.look_ahead_samples
    assert meta.decoder_id == decoder.meta.decoder_id
    assert meta.training and meta.training != "untrained"


def test_shipped_graphs_are_small_and_hold_everything() -> None:
    assert "base" in model_names()
    for name in model_names():
        files = list((MODELS / name).iterdir())
        assert {file.name for file in files} == {"encoder.onnx", "decoder.onnx"}  # no external data
        assert sum(file.stat().st_size for file in files) <= 32_000_000


def test_the_encoder_graph_is_causal(encoder: Encoder) -> None:
    pcm = speech_like(3.2)
    before = encode(encoder, pcm)
    for frame in (1, 7, 30):
        changed = pcm.copy()
        changed[frame * 1280 :] = speech_like(3.2, seed=9)[frame * 1280 :]
        after = encode(encoder, changed)
        assert np.array_equal(after[:frame], before[:frame])
        assert not np.array_equal(after[frame:], before[frame:])


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
    pairs = zip(first.reshape(-1, 1280), second.reshape(-1, 1280), strict=True)
    mixed = np.array([[streams[0].encode(a), streams[1].encode(b)] for a, b in pairs])
    assert np.array_equal(mixed[:, 0], encode(encoder, first))
    assert np.array_equal(mixed[:, 1], encode(encoder, second))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_wild_samples_do_not_poison_the_state(encoder: Encoder, value: float) -> None:
    stream = encoder.stream()
    stream.encode(np.full(1280, value, np.float32))
    later = np.stack([stream.encode(frame) for frame in speech_like(8.0).reshape(-1, 1280)])
    calm = encoder.stream()
    calm.encode(np.zeros(1280, np.float32))
    expected = np.stack([calm.encode(frame) for frame in speech_like(8.0).reshape(-1, 1280)])
    assert np.array_equal(later[-20:], expected[-20:])


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
    foreign_graph(tmp_path / "encoder.onnx", {**metadata, "clari_format": "2"})
    with pytest.raises(ModelError, match="format 2"):
        load_encoder(str(tmp_path))
    foreign_graph(tmp_path / "encoder.onnx", {**metadata, "samples_per_frame": "640"})
    with pytest.raises(ModelError, match="another frame"):
        load_encoder(str(tmp_path))
