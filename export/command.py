"""clari-export: a trained codec becomes encoder.onnx and decoder.onnx, and those become smaller.

    clari-export --codec runs/codec --vocoder runs/vocoder --name base --out stream/models/base
    clari-export --int8 base --name base-int8 --out base-int8

The graphs of a trained codec are compared with the network over 200 chained frames first; graphs that disagree are not written.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from codec.config import BITS_PER_FRAME, HOP_SAMPLES
from codec.model import Codec
from codec.weights import assemble
from export.digits import split_products
from export.graphs import DecoderStep, EncoderStep, decoder_id
from export.onnx_file import pack_weights, set_metadata, to_onnx
from export.parity import Parity, ParityError, compare
from export.quantize import cost, quantize
from stream.audio import read_file
from stream.demo import CLIP
from stream.errors import FileError, UsageError, run_command
from stream.frame import CODE_DIMENSIONS, CODE_LEVELS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from stream.options import command_parser

DESCRIPTION = """Turn a trained codec into encoder.onnx and decoder.onnx, if they compute what it computes.

examples:
  clari-export --codec runs/codec --vocoder runs/vocoder --name mine --out stream/models/mine
  clari-export --int8 mine --name mine-int8 --out stream/models/mine-int8    for small processors, and what it costs"""
LARGEST_TOTAL_BYTES = 32_000_000


def multiply_adds_per_s(codec: Codec) -> float:
    """Multiply-adds for one second of speech through encoder and decoder, matrix products and convolutions."""
    frames = SAMPLE_RATE_HZ // SAMPLES_PER_FRAME + 1
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        codes, _ = codec.encode(torch.zeros(1, frames * SAMPLES_PER_FRAME), codec.encoder_state(1))
        codec.decode(codes, torch.zeros(1, frames), codec.decoder_state(1))
    return counter.get_total_flops() / 2 * SAMPLE_RATE_HZ / (frames * SAMPLES_PER_FRAME)


def git_revision() -> str:
    """The commit of the exporting code, `+` appended when it was edited since."""
    try:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def export(codec: Codec, name: str, training: str, out: Path) -> Parity:
    """Write `out`/encoder.onnx and `out`/decoder.onnx of a codec whose weights are in shipped precision.

    Raises:
        ParityError: graphs and network disagree, or the files would be too large; nothing was written.
    """
    codec = codec.eval().requires_grad_(False)
    encoder_step, decoder_step = EncoderStep(codec), DecoderStep(codec)
    pcm = torch.zeros(1, SAMPLES_PER_FRAME)
    codes, lost = torch.zeros(1, CODE_DIMENSIONS, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.bool)
    encoder = to_onnx(encoder_step, (pcm, encoder_step.initial_state()), ["pcm", "state"], ["codes", "state_out"])
    decoder = to_onnx(decoder_step, (codes, lost, decoder_step.initial_state()), ["codes", "lost", "state"], ["pcm", "state_out"])
    common = {
        "name": name,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "samples_per_frame": SAMPLES_PER_FRAME,
        "bits_per_frame": BITS_PER_FRAME,
        "code_dimensions": CODE_DIMENSIONS,
        "code_levels": CODE_LEVELS,
        "look_ahead_samples": codec.config.look_ahead_frames * HOP_SAMPLES,
        "delay_samples": codec.delay_samples,
        "shift_samples": codec.shift_samples,
        "memory_frames": codec.memory_frames,
        "decoder_id": decoder_id(codec),
        "training": training,
        "revision": git_revision(),
    }
    for graph, step, role in ((encoder, encoder_step, "encoder"), (decoder, decoder_step, "decoder")):
        pack_weights(graph)
        split_products(graph)
        set_metadata(graph, {**common, "role": role, "state_name": "state", "state_size": step.initial_state().shape[1]})
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
    parser.add_argument("--codec", metavar="FILE", type=Path, help="run folder or weights file of the mel codec")
    parser.add_argument("--vocoder", metavar="FILE", type=Path, help="run folder or weights file of the vocoder")
    parser.add_argument("--int8", metavar="MODEL", help="instead: quantise the graphs of this shipped model or folder")
    parser.add_argument("--name", required=True, help="name written into the graphs, chosen by clari-tx --model")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for encoder.onnx and decoder.onnx")
    return parser


def export_runs(args: argparse.Namespace) -> None:
    """Export two trained parts and print what was proven.

    Raises:
        RunError, ParityError: a part is missing, or the graphs disagree with the network.
        FileError: the folder cannot be written.
    """
    try:
        codec, _, training = assemble(args.codec, args.vocoder)
        parity = export(codec, args.name, training, args.out)
    except OSError as error:
        raise FileError(f"cannot write {args.out}: {error}; choose another --out") from None
    parameters = sum(parameter.numel() for parameter in codec.parameters())
    total = sum((args.out / name).stat().st_size for name in ("encoder.onnx", "decoder.onnx"))
    print(
        f"200 chained frames: samples differ by at most {parity.pcm_difference:.2g}, state by {parity.state_difference:.2g}, "
        f"{parity.equal_codes:.3%} of the codes are equal\n"
        f"{args.out}: {total / 1e6:.1f} MB, {parameters / 1e6:.1f} M parameters, "
        f"{multiply_adds_per_s(codec) / 1e6:.0f} M multiply-adds per second of speech"
    )


def export_int8(args: argparse.Namespace) -> None:
    """Quantise a model and print what that changed. Raises ModelError, FileError."""
    quantize(args.int8, args.name, args.out)
    found = cost(args.int8, str(args.out), np.concatenate(list(read_file(str(CLIP)))))
    print(
        f"{found.seconds:.1f} s of speech: {found.equal_codes:.1%} of the code digits are equal; the same codes decode to a mel "
        f"distance of {found.mel_distance:.3f}\n"
        f"{args.out}: {found.bytes_after / 1e6:.1f} MB, before {found.bytes_before / 1e6:.1f} MB; what it costs in words: "
        f"clari-eval --manifest speech.tsv --systems clari --model {args.int8} --model {args.out}"
    )


def main(argv: list[str] | None = None) -> int:
    def command() -> int:
        args = build_parser().parse_args(argv)
        trained = args.codec is not None and args.vocoder is not None
        if trained == (args.int8 is not None) or (args.int8 and (args.codec or args.vocoder)):
            raise UsageError("nothing to export; give --codec and --vocoder, or --int8 MODEL alone")
        if args.int8:
            export_int8(args)
        else:
            export_runs(args)
        return 0

    return run_command("clari-export", command)


if __name__ == "__main__":
    raise SystemExit(main())
