"""Export: the written graphs compute what the network computes, or nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from codec import stage1 as train
from codec.data.corpus import pack
from codec.model import Codec
from codec.network.precision import round_to_shipped
from codec.weights import SHIPPED, assemble
from export import command
from export.command import export
from export.digits import join_products
from export.graphs import DecoderStep, EncoderStep, PackedState, decoder_id
from export.onnx_file import pack_weights, unpack_weights
from export.parity import LARGEST_PCM_DIFFERENCE, Parity, ParityError, compare
from stream.engine import load_decoder, load_encoder
from tests.codec.test_layers import SMALL
from tests.codec.tiny import arguments
from tests.conftest import speech_like

FLOAT, HALF, BYTE = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8


def small_codec(seed: int = 0) -> Codec:
    torch.manual_seed(seed)
    codec = Codec(SMALL).eval().requires_grad_(False)
    round_to_shipped(codec, codec.large_matrices())
    return codec


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Codec, Path, Parity]:
    codec, out = small_codec(), tmp_path_factory.mktemp("export") / "tiny"
    return codec, out, export(codec, "tiny", "a test", out)


def test_parity_over_chained_frames_is_shown(exported: tuple[Codec, Path, Parity]) -> None:
    parity = exported[2]
    assert parity.equal_codes >= 0.995
    assert parity.pcm_difference < 1e-5 and parity.state_difference < 1e-4


def test_the_runtime_loads_what_export_wrote(exported: tuple[Codec, Path, Parity]) -> None:
    codec, out, _ = exported
    encoder, decoder = load_encoder(str(out)), load_decoder(str(out))
    assert (encoder.meta.name, encoder.meta.training) == ("tiny", "a test")
    assert encoder.meta.decoder_id == decoder.meta.decoder_id == decoder_id(codec)
    assert encoder.meta.delay_samples == codec.delay_samples
    assert {file.name for file in out.iterdir()} == {"encoder.onnx", "decoder.onnx"}


def test_chained_onnx_steps_equal_the_whole_offline_call(exported: tuple[Codec, Path, Parity]) -> None:
    codec, out, _ = exported
    pcm = speech_like(4.0)
    sending, hearing = load_encoder(str(out)).stream(), load_decoder(str(out)).stream()
    codes = np.stack([sending.encode(frame) for frame in pcm.reshape(-1, 1280)])
    lost = np.zeros(len(codes), bool)
    lost[[7, 8, 9, 30]] = True
    heard = np.concatenate([hearing.decode(None if gone else frame) for frame, gone in zip(codes, lost, strict=True)])
    with torch.no_grad():
        whole, _ = codec.encode(torch.from_numpy(pcm)[None], codec.encoder_state(1))
        assert (whole[0].numpy() == codes).mean() >= 0.995
        flags = torch.from_numpy(lost).float()[None]
        direct, _ = codec.decode(torch.from_numpy(codes.astype(np.int64))[None], flags, codec.decoder_state(1))
    assert np.abs(direct[0].numpy() - heard).max() < 1e-5


def test_weights_are_stored_in_few_bytes_without_loss(exported: tuple[Codec, Path, Parity]) -> None:
    codec, out, _ = exported
    model = onnx.load(out / "decoder.onnx", load_external_data=False)
    kinds = {kind: [item for item in model.graph.initializer if item.data_type == kind] for kind in (FLOAT, HALF, BYTE)}
    blocks = sum(SMALL.decoder_blocks)
    assert len(kinds[BYTE]) == 2 * blocks  # two matrices each
    assert len(kinds[HALF]) > 10
    assert [list(item.dims) for item in kinds[FLOAT] if np.prod(item.dims) > 5000] == [[514, 480]]  # the transform's basis is exact
    assert pack_weights(model) == 0  # what is left survives no rounding
    join_products(model)
    trained = unpack_weights(model)
    assert not any(item.data_type in (HALF, BYTE) for item in model.graph.initializer)
    assert len(trained) == len(kinds[HALF])  # the steps of those in bytes count among them
    weights = [onnx.numpy_helper.to_array(item) for item in model.graph.initializer if item.name in trained]
    expected = codec.mel_codec.decoder.stack.layers[0].expand.weight.numpy()
    assert any(np.array_equal(each, expected.T) or np.array_equal(each, expected) for each in weights)
    onnx.checker.check_model(model)
    assert pack_weights(model) > 0
    again = [item for item in model.graph.initializer if item.data_type == BYTE]
    assert len(again) == len(kinds[BYTE])


def test_graphs_hold_no_names_of_the_exporting_machine(exported: tuple[Codec, Path, Parity]) -> None:
    for name in ("encoder.onnx", "decoder.onnx"):
        content = (exported[1] / name).read_bytes()
        assert b"site-packages" not in content and str(Path(command.__file__).parent.parent).encode() not in content


def test_graphs_that_disagree_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "pack_weights", spoil_last)
    with pytest.raises(ParityError, match="disagree"):
        export(small_codec(), "tiny", "a test", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def spoil_last(model: onnx.ModelProto) -> int:
    """Change one weight matrix of the graph."""
    item = max((i for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT), key=lambda i: int(np.prod(i.dims)))
    item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item) * np.float32(1.5), item.name))
    return 0


def test_graphs_that_are_too_large_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LARGEST_TOTAL_BYTES", 1000)
    with pytest.raises(ParityError, match="train a smaller model"):
        export(small_codec(), "tiny", "a test", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_shipped_weights_are_those_of_the_shipped_graphs() -> None:
    codec, _, training = assemble(*[SHIPPED / "base.safetensors"] * 2)
    shipped = load_decoder("base").meta
    assert (shipped.decoder_id, shipped.training) == (decoder_id(codec), training)  # a new encoder for them finds its receivers


def test_the_decoder_id_follows_the_decoder_alone() -> None:
    codec, other = small_codec(), small_codec()
    with torch.no_grad():
        next(other.mel_codec.encoder.parameters()).add_(1)
    assert decoder_id(codec) == decoder_id(other)
    with torch.no_grad():
        other.vocoder.head.bias.add_(1)
    assert decoder_id(codec) != decoder_id(other)


def test_state_packs_into_one_row_and_back() -> None:
    codec = small_codec()
    packed = PackedState(codec.decoder_state(1))
    row = torch.arange(float(sum(packed.sizes)))[None]
    assert torch.equal(packed.pack(packed.unpack(row)), row)


def test_comparison_finds_a_wrong_state() -> None:
    codec = small_codec()
    from export.onnx_file import to_onnx

    encoder, decoder = EncoderStep(codec), DecoderStep(codec)
    pcm, codes, lost = torch.zeros(1, 1280), torch.zeros(1, 8, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.bool)
    encoder_graph = to_onnx(encoder, (pcm, encoder.initial_state()), ["pcm", "state"], ["codes", "state_out"])
    decoder_graph = to_onnx(decoder, (codes, lost, decoder.initial_state()), ["codes", "lost", "state"], ["pcm", "state_out"])
    other = small_codec(seed=5)
    parity = compare(encoder_graph, decoder_graph, EncoderStep(other), DecoderStep(other))
    assert parity.pcm_difference > LARGEST_PCM_DIFFERENCE or parity.equal_codes < 0.9
    with pytest.raises(ParityError):
        parity.check()


def test_the_command_exports_two_runs(tmp_path: Path, corpus_manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack([corpus_manifest], tmp_path / "speech", workers=1)
    for task in ("codec", "vocoder"):
        assert train.main(arguments(task, tmp_path / "speech", tmp_path / task, 2)) == 0
    capsys.readouterr()
    runs = ["--codec", str(tmp_path / "codec"), "--vocoder", str(tmp_path / "vocoder")]
    assert command.main([*runs, "--name", "small", "--out", str(tmp_path / "model")]) == 0
    printed = capsys.readouterr().out
    assert "200 chained frames" in printed and "% of the codes are equal" in printed
    assert load_encoder(str(tmp_path / "model")).meta.training == "codec step 2, vocoder step 2"
    assert command.main(["--codec", str(tmp_path / "none"), *runs[2:], "--name", "x", "--out", str(tmp_path / "no")]) == 1
    assert "train it first" in capsys.readouterr().err
