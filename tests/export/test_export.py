"""Export: the written graphs compute what the network computes, or nothing is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch

from export import command
from export.command import export
from export.graphs import DecoderStep, EncoderStep, PackedState, decoder_id
from export.onnx_file import COUNTS, STEPS, pack_weights
from export.parity import FRAMES, LARGEST_PCM_DIFFERENCE, Parity, ParityError, compare, packet_sizes
from stream.engine import load_decoder, load_encoder
from stream.errors import ModelError
from tests.conftest import speech_like
from tests.export.stand_in import StandIn

FLOAT, HALF, BYTE = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8
TRAINED = {"training": "a test", "training_revision": "abc", "configuration": '{"steps": 3}'}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[StandIn, Path, Parity]:
    codec, out = StandIn(), tmp_path_factory.mktemp("export") / "tiny"
    return codec, out, export(codec, "tiny", TRAINED, out)


def test_parity_over_chained_packets_is_shown(exported: tuple[StandIn, Path, Parity]) -> None:
    assert exported[2].unequal_codes == 0
    assert exported[2].pcm_difference < 1e-5
    sizes = packet_sizes()
    assert sum(sizes) == FRAMES and {1, 4, 8, 12} <= set(sizes)


def test_the_runtime_loads_what_export_wrote(exported: tuple[StandIn, Path, Parity]) -> None:
    codec, out, _ = exported
    encoder, decoder = load_encoder(str(out)), load_decoder(str(out))
    meta = encoder.meta
    assert (meta.name, meta.training, meta.training_revision) == ("tiny", "a test", "abc")
    assert json.loads(meta.configuration) == {"steps": 3}
    assert "Moonshine" in meta.attribution and "hibari" in meta.attribution
    assert meta.clari_format == 2 and meta.packet_causal
    assert meta.decoder_id == decoder.meta.decoder_id == decoder_id(codec)
    assert (meta.delay_samples, meta.shift_samples, meta.memory_frames) == (1600, 320, 100)
    assert {file.name for file in out.iterdir()} == {"encoder.onnx", "decoder.onnx"}


@pytest.mark.parametrize("frames", [1, 4, 8, 12])
def test_streams_of_the_runtime_equal_the_network(exported: tuple[StandIn, Path, Parity], frames: int) -> None:
    codec, out, _ = exported
    packets = speech_like(0.08 * 8 * frames).reshape(8, frames * 1280)
    sending, hearing = load_encoder(str(out)).stream(), load_decoder(str(out)).stream()
    codes = np.concatenate([sending.encode(packet) for packet in packets])
    state, expected = codec.encoder_state(1), []
    with torch.no_grad():
        for packet in packets:
            one, state = codec.encode(torch.from_numpy(packet)[None], state)
            expected.append(one[0].numpy())
        assert np.array_equal(np.concatenate(expected), codes)
        lost = np.arange(len(codes)) % 5 == 3
        flags = torch.from_numpy(lost).float()[None]
        direct, _ = codec.decode(torch.from_numpy(codes.astype(np.int64))[None], flags, codec.decoder_state(1))
    heard = np.concatenate([hearing.decode(None if gone else frame) for frame, gone in zip(codes, lost, strict=True)])
    assert np.abs(direct[0].numpy() - heard).max() < 1e-5


def test_codes_see_their_whole_packet_and_nothing_after_it(exported: tuple[StandIn, Path, Parity]) -> None:
    encoder, pcm = load_encoder(str(exported[1])), speech_like(4 * 0.64).reshape(4, -1)

    def codes(packets: np.ndarray) -> np.ndarray:
        stream = encoder.stream()
        return np.stack([stream.encode(packet) for packet in packets])

    before, changed = codes(pcm), pcm.copy()
    changed[2, -1280:] = 0.5 * np.random.default_rng(0).standard_normal(1280)
    after = codes(changed)
    assert np.array_equal(after[:2], before[:2])
    assert not np.array_equal(after[2, :-1], before[2, :-1])  # frames before the one that was changed


def test_weights_are_stored_in_few_bytes_without_loss(exported: tuple[StandIn, Path, Parity]) -> None:
    codec, out, _ = exported
    model = onnx.load(out / "encoder.onnx", load_external_data=False)
    stored = {item.name: item for item in model.graph.initializer}
    counts = [name for name, item in stored.items() if item.data_type == BYTE]
    assert len(counts) == 2 * 6 + 1 + 2 * 2  # of each transformer layer, of the way to the frames of the code, of each block
    assert any(item.data_type == HALF for item in stored.values())
    assert not [name for name, item in stored.items() if item.data_type == FLOAT and np.prod(item.dims) > 256]
    expected = codec.ear.layers[1].expand.weight.numpy()
    products = [
        onnx.numpy_helper.to_array(stored[name]) * onnx.numpy_helper.to_array(stored[name.removesuffix(COUNTS) + STEPS])
        for name in counts
    ]
    assert any(np.array_equal(each, expected.T) or np.array_equal(each, expected) for each in products)
    assert pack_weights(model) == 0  # what is left survives no rounding
    onnx.checker.check_model(model)


def test_graphs_hold_no_names_of_the_exporting_machine(exported: tuple[StandIn, Path, Parity]) -> None:
    for name in ("encoder.onnx", "decoder.onnx"):
        content = (exported[1] / name).read_bytes()
        assert b"site-packages" not in content and str(Path(command.__file__).parent.parent).encode() not in content


def written_before(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let export find graphs that it has written instead of tracing the network again, which takes seconds."""

    def read(step: object, *rest: object) -> onnx.ModelProto:
        return onnx.load(folder / ("encoder.onnx" if isinstance(step, EncoderStep) else "decoder.onnx"), load_external_data=False)

    monkeypatch.setattr(command, "to_onnx", read)


def test_graphs_that_disagree_are_not_written(
    exported: tuple[StandIn, Path, Parity], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_before(monkeypatch, exported[1])
    monkeypatch.setattr(command, "pack_weights", spoil_last)
    with pytest.raises(ParityError, match="disagree"):
        export(StandIn(), "tiny", TRAINED, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def spoil_last(model: onnx.ModelProto) -> int:
    """Change one weight matrix of the graph."""
    item = max((i for i in model.graph.initializer if i.data_type == BYTE), key=lambda i: int(np.prod(i.dims)))
    item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item) // 2, item.name))
    return 0


def test_graphs_that_are_too_large_are_not_written(
    exported: tuple[StandIn, Path, Parity], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_before(monkeypatch, exported[1])
    monkeypatch.setattr(command, "LARGEST_TOTAL_BYTES", 1000)
    with pytest.raises(ParityError, match="train a smaller model"):
        export(StandIn(), "tiny", TRAINED, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_decoder_id_follows_the_receiver_alone() -> None:
    codec, other = StandIn(), StandIn()
    with torch.no_grad():
        next(other.ear.parameters()).add_(1)
        next(other.positions.parameters()).add_(1)
    assert decoder_id(codec) == decoder_id(other)
    with torch.no_grad():
        next(other.voice.parameters()).add_(1)
    assert decoder_id(codec) != decoder_id(other)


def test_state_packs_into_one_row_and_back_and_begins_with_zeros() -> None:
    initial = (torch.zeros(1, 3), (torch.full((1, 2, 2), 0.5), ()))
    packed = PackedState(initial)
    assert packed.size == 7 and torch.equal(packed.pack(initial), packed.zeros())
    assert torch.equal(packed.unpack(packed.zeros())[1][0], initial[1][0])
    row = torch.arange(7.0)[None]
    assert torch.equal(packed.pack(packed.unpack(row)), row)


def test_comparison_finds_another_network(exported: tuple[StandIn, Path, Parity]) -> None:
    graphs = [onnx.load(exported[1] / f"{role}.onnx", load_external_data=False) for role in ("encoder", "decoder")]
    other = StandIn(seed=5).eval()
    parity = compare(*graphs, EncoderStep(other), DecoderStep(other))
    assert parity.pcm_difference > LARGEST_PCM_DIFFERENCE and parity.unequal_codes > 100
    with pytest.raises(ParityError):
        parity.check()


def test_the_command_exports_a_weights_file(
    exported: tuple[StandIn, Path, Parity], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written_before(monkeypatch, exported[1])

    def load(path: Path) -> tuple[StandIn, dict[str, str]]:
        if path.name != "mine.safetensors":
            raise ModelError(f"{path} holds no clari weights; train first")
        return StandIn(), TRAINED

    network = ModuleType("codec.network.weights")
    network.load_codec = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "codec.network.weights", network)
    where = ["--name", "small", "--out", str(tmp_path / "model")]
    assert command.main(["--weights", "mine.safetensors", *where]) == 0
    printed = capsys.readouterr().out
    assert "200 chained frames" in printed and "all codes are equal" in printed
    assert load_encoder(str(tmp_path / "model")).meta.training == "a test"
    assert command.main(["--weights", "none.safetensors", *where]) == ModelError.exit_code
    assert "train first" in capsys.readouterr().err
