"""clari-export: a trained codec becomes encoder.onnx and decoder.onnx.

    clari-export --weights codec/weights/base.safetensors --name base --out stream/models/base

Weights are rounded to what ships; then the graphs are compared with the network over 200 chained frames in packets of all sizes,
and graphs that disagree are not written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from codec.network.precision import round_to_shipped
from codec.revision import git_revision
from export.graphs import Codec, DecoderStep, EncoderStep, decoder_id
from export.onnx_file import pack_weights, set_metadata, to_onnx
from export.parity import Parity, ParityError, compare
from stream.errors import FileError, run_command
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from stream.options import command_parser

DESCRIPTION = """Turn a trained codec into encoder.onnx and decoder.onnx, if they compute what it computes.

examples:
  clari-export --weights codec/weights/base.safetensors --name mine --out stream/models/mine"""
ATTRIBUTION = "ear: Moonshine, Useful Sensors, MIT; voice: hibari, after Kokoro-82M, Apache-2.0; everything else: clari, Apache-2.0"
LARGEST_TOTAL_BYTES = 40_000_000
EXAMPLE_FRAMES, MOST_FRAMES = 8, 64  # of the packet that is traced, and of any
BITS_PER_FRAME = 16


def multiply_adds_per_s(codec: Codec) -> float:
    """Multiply-adds for one second of speech through encoder and decoder in packets of 640 ms, products and convolutions."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        codes, _ = codec.encode(torch.zeros(1, EXAMPLE_FRAMES * SAMPLES_PER_FRAME), codec.encoder_state(1))
        codec.decode(codes, torch.zeros(1, EXAMPLE_FRAMES), codec.decoder_state(1))
    return float(counter.get_total_flops() / 2 * SAMPLE_RATE_HZ / (EXAMPLE_FRAMES * SAMPLES_PER_FRAME))


def export(codec: Codec, name: str, trained: dict[str, str], out: Path) -> Parity:
    """Round the weights to what ships, write `out`/encoder.onnx and `out`/decoder.onnx.

    trained: what is known of the training: `training`, `training_revision` and `configuration` (JSON) of the metadata.

    Raises:
        ParityError: graphs and network disagree, or the files would be too large; nothing was written.
    """
    assert isinstance(codec, nn.Module)
    codec.eval().requires_grad_(False)
    round_to_shipped(codec)
    encoder_step, decoder_step = EncoderStep(codec), DecoderStep(codec)
    frames = torch.export.Dim("frames", min=1, max=MOST_FRAMES)
    pcm = torch.zeros(1, EXAMPLE_FRAMES * SAMPLES_PER_FRAME)
    codes = torch.zeros(1, EXAMPLE_FRAMES, CODE_DIMENSIONS, dtype=torch.int64)
    lost = torch.zeros(1, EXAMPLE_FRAMES, dtype=torch.bool)
    encoder = to_onnx(
        encoder_step,
        (pcm, encoder_step.packed.zeros()),
        ({1: SAMPLES_PER_FRAME * frames}, None),
        ["pcm", "state"],
        ["codes", "state_out"],
    )
    decoder = to_onnx(
        decoder_step,
        (codes, lost, decoder_step.packed.zeros()),
        ({1: frames}, {1: frames}, None),
        ["codes", "lost", "state"],
        ["pcm", "state_out"],
    )
    common = {
        "name": name,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "samples_per_frame": SAMPLES_PER_FRAME,
        "bits_per_frame": BITS_PER_FRAME,
        "code_dimensions": CODE_DIMENSIONS,
        "code_levels": CODE_LEVELS,
        "packet_causal": True,
        "delay_samples": codec.delay_samples,
        "shift_samples": codec.shift_samples,
        "memory_frames": codec.memory_frames,
        "decoder_id": decoder_id(codec),
        "attribution": ATTRIBUTION,
        **{key: trained.get(key, "unknown") for key in ("training", "training_revision")},
        "configuration": trained.get("configuration", "{}"),
        "revision": git_revision(),
    }
    for graph, step, role in ((encoder, encoder_step, "encoder"), (decoder, decoder_step, "decoder")):
        pack_weights(graph)
        set_metadata(graph, {**common, "role": role, "state_name": "state", "state_size": step.packed.size})
    parity = compare(encoder, decoder, encoder_step, decoder_step)
    parity.check()
    files = {"encoder.onnx": encoder.SerializeToString(), "decoder.onnx": decoder.SerializeToString()}
    total = sum(map(len, files.values()))
    if total > LARGEST_TOTAL_BYTES:
        raise ParityError(f"both graphs take {total / 1e6:.1f} MB, at most {LARGEST_TOTAL_BYTES / 1e6:.0f}; train a smaller model")
    out.mkdir(parents=True, exist_ok=True)
    for file_name, content in files.items():
        (out / file_name).write_bytes(content)
    return parity


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("clari-export", DESCRIPTION)
    parser.add_argument("--weights", metavar="FILE", type=Path, required=True, help="safetensors file of a trained codec")
    parser.add_argument("--name", required=True, help="name written into the graphs, chosen by clari-tx --model")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for encoder.onnx and decoder.onnx")
    return parser


def export_weights(weights: Path, name: str, out: Path) -> None:
    """Export a trained codec and print what was proven.

    Raises:
        ClariError: the weights are missing or damaged, or the graphs disagree with the network.
        FileError: the folder cannot be written.
    """
    from codec.network.weights import load_codec

    codec, trained = load_codec(weights)
    try:
        parity = export(codec, name, trained, out)
    except OSError as error:
        raise FileError(f"cannot write {out}: {(error.strerror or 'error').lower()}; choose another --out") from None
    parameters = sum(parameter.numel() for parameter in codec.parameters())
    sizes = [(out / file).stat().st_size / 1e6 for file in ("encoder.onnx", "decoder.onnx")]
    print(
        f"200 chained frames in packets of mixed sizes: all codes are equal, samples differ by {parity.pcm_difference:.2g}\n"
        f"{out}: encoder {sizes[0]:.1f} MB, decoder {sizes[1]:.1f} MB, {parameters / 1e6:.1f} M parameters, "
        f"{multiply_adds_per_s(codec) / 1e6:.0f} M multiply-adds per second of speech"
    )


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = build_parser().parse_args(argv)
        export_weights(args.weights, args.name, args.out)
        return 0

    return run_command("clari-export", command)


if __name__ == "__main__":
    raise SystemExit(main())
