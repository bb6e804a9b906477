"""`clari-channel` as its users run it: between two sockets, in a pipe, and with wrong options."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from channel.presets import PRESETS, preset
from channel.pump import relay_stream
from channel.relay import main
from channel.simulator import ChannelConfig, Simulator
from channel.trace import TraceRow, write_trace
from channel.transit import Transit
from stream.link import ZmqLink
from tests.conftest import free_endpoint

REPOSITORY = Path(__file__).parents[2]
LONG_S = 20.0  # how long a test waits for what normally takes milliseconds


def push(link: ZmqLink, *packets: bytes) -> None:
    assert sum(link.send(packet) for packet in packets) == 0
    assert link.drain(LONG_S) == 0


def numbered(count: int, size: int = 33) -> bytes:
    return b"".join(k.to_bytes(2, "big") + bytes(size - 2) for k in range(count))


def pipe(tmp_path: Path, data: bytes, *options: str) -> tuple[int, bytes]:
    (tmp_path / "in.bin").write_bytes(data)
    out = tmp_path / "out.bin"
    files = ["--in", str(tmp_path / "in.bin"), "--out", str(out), "--packet-bytes", "33", "--packet-s", "0.96"]
    return main([*files, *options]), out.read_bytes()


def test_a_process_between_two_sockets_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    inlet, outlet, report = free_endpoint(), free_endpoint(), tmp_path / "report.json"
    command = [sys.executable, "-m", "channel.relay", "--bind", inlet, "--connect", outlet, "--report", str(report)]
    link = ["--delay-s", "0.2", "--ber", "0.01", "--duplicate", "1", "--seed", "3", "--speed", "20"]
    packets = [bytes([k]) * 33 for k in range(12)]
    with ZmqLink.receiver(outlet) as receiver, ZmqLink.sender(inlet) as sender:
        process = subprocess.Popen([*command, *link], cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            received = []
            for packet in packets:  # one by one: a burst would overflow the small queues between the processes
                push(sender, packet)
                received.append((receiver.receive(LONG_S), receiver.receive(LONG_S)))
            process.send_signal(signal.SIGTERM)
            out, messages = process.communicate(timeout=LONG_S)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == ""
    assert messages.count("\n") == 1 and messages.startswith("clari-channel: 12 packets, 0 lost")
    fields = json.loads(report.read_text())
    assert fields["schema_version"] == 1
    assert (fields["seed"], fields["config"]["delay_s"]) == (3, 0.2)
    assert (fields["packets"]["delivered"], fields["refused"], fields["in_flight"]) == (24, 0, 0)
    wrong = 0
    for packet, (first, second) in zip(packets, received, strict=True):
        assert first is not None and first == second
        wrong += sum((a ^ b).bit_count() for a, b in zip(first, packet, strict=True))
    assert wrong == fields["packets"]["bit_errors"] > 0


def test_it_ends_by_itself_when_the_sender_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    inlet, outlet = free_endpoint(), free_endpoint()
    options = ["--bind", inlet, "--connect", outlet, "--speed", "50", "--idle-exit-s", "10", "--delay-s", "1", "--report", "-"]
    packets = [bytes([k]) * 33 for k in range(5)]
    codes: list[int] = []
    with ZmqLink.receiver(outlet) as receiver, ZmqLink.sender(inlet) as sender:
        relay = threading.Thread(target=lambda: codes.append(main(options)), daemon=True)
        relay.start()
        push(sender, *packets)
        received = [receiver.receive(LONG_S) for _ in packets]
        relay.join(LONG_S)
    assert codes == [0]
    assert received == packets
    assert json.loads(capsys.readouterr().out)["packets"]["delivered"] == 5


def test_a_receiver_that_takes_nothing_costs_packets_and_no_more() -> None:
    transit = Transit(Simulator(preset("clean").config, seed=0), deliver=lambda packet: int(packet == b"no"))
    for packet in (b"yes", b"no", b"yes"):
        transit.accept(0.0, packet)
    assert transit.in_flight == 3
    assert transit.forward(0.0) == 3
    assert (transit.refused, transit.in_flight) == (1, 0)


def test_packets_leave_when_they_are_due_and_ties_in_order() -> None:
    arrived: list[bytes] = []
    simulator = Simulator(PRESETS["acoustic"].config, seed=0)
    simulator.offer = lambda now_s, packet: [(now_s + 3.0 - packet[0], packet)]  # type: ignore[method-assign]
    transit = Transit(simulator, deliver=lambda packet: arrived.append(packet) or 0)
    for packet in (b"\x00", b"\x02b", b"\x02a"):
        transit.accept(0.0, packet)
    assert transit.forward(0.5) == 0
    assert transit.next_s == 1.0
    assert transit.forward(1.0) == 2
    assert transit.forward(9.0) == 1
    assert arrived == [b"\x02b", b"\x02a", b"\x00"]


def test_a_clean_pipe_is_the_identity(tmp_path: Path) -> None:
    assert pipe(tmp_path, numbered(50)) == (0, numbered(50))


def test_a_pipe_delivers_what_the_simulator_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = pipe(tmp_path, numbered(300), "--preset", "hf", "--seed", "4", "--jitter-s", "1.5", "--report", "-")
    fields = json.loads(capsys.readouterr().out)
    simulator = Simulator(replace(preset("hf").config, jitter_s=1.5), seed=4)
    arrivals = [one for k in range(300) for one in simulator.offer(0.96 * k, k.to_bytes(2, "big") + bytes(31))]
    assert code == 0
    assert out == b"".join(packet for _, packet in sorted(arrivals, key=lambda one: one[0]))
    assert [packet for _, packet in arrivals] != [out[k : k + 33] for k in range(0, len(out), 33)]
    assert fields["packets"]["lost"] == simulator.report().lost > 0
    assert fields["config"]["bit_rate_bps"] == 700


def test_the_pipe_runs_on_stdin_and_stdout(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(numbered(20))))
    options = ["--in", "-", "--out", "-", "--packet-bytes", "33", "--packet-s", "0.96", "--loss", "0.5", "--seed", "1"]
    assert main(options) == 0
    out, messages = capfdbinary.readouterr()
    assert 0 < len(out) < 20 * 33
    assert len(out) % 33 == 0
    assert messages.startswith(b"clari-channel: 20 packets, ")


def test_a_live_pipe_hands_over_what_is_due_before_it_waits_for_more() -> None:
    arrived: list[bytes] = []
    seen: list[int] = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            seen.append(len(arrived))
            return super().read(size)

    simulator = Simulator(ChannelConfig(delay_s=1.5), seed=0)
    relay_stream(Transit(simulator, deliver=lambda packet: arrived.append(packet) or 0), Source(numbered(4)), 33, packet_s=1.0)
    assert seen == [0, 0, 1, 2, 3]
    assert b"".join(arrived) == numbered(4)


def test_a_truncated_last_packet_is_reported_after_the_others_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pipe(tmp_path, numbered(3)[:-5]) == (5, numbered(2))
    message = capsys.readouterr().err
    assert "28 of 33 bytes; give --packet-bytes" in message
    assert message.count("\n") == 1


def test_an_empty_input_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pipe(tmp_path, b"") == (6, b"")
    assert "no packets" in capsys.readouterr().err


def test_an_endpoint_in_use_is_one_line_and_exit_code_5(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = free_endpoint()
    with ZmqLink.receiver(endpoint):
        assert main(["--bind", endpoint]) == 5
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert endpoint in message and "choose another port" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "moon"], "unknown preset 'moon'; choose one of clean"),
        (["--loss", "2"], "--loss is 2.0; give a share between 0 and 1, like 0.02 for 2 %"),
        (["--loss", "10"], "--loss is 10.0; give a share between 0 and 1, like 0.1 for 10 %"),
        (["--loss", "-1"], "--loss is -1.0; give a share between 0 and 1"),
        (["--duplicate", "30"], "--duplicate is 30.0; give a share between 0 and 1, like 0.3 for 30 %"),
        (["--ber", "1"], "--ber is 1.0; give a share between 0 and 0.5"),
        (["--burst-s", "-3"], "--burst-s is -3.0; give seconds"),
        (["--delay-s", "-1"], "--delay-s is -1.0; give seconds"),
        (["--jitter-s", "-1"], "--jitter-s is -1.0; give seconds"),
        (["--bit-rate", "-4"], "--bit-rate is -4.0; give bits per second"),
        (["--bit-rate", "-5"], "give bits per second, or None for no limit, 1 or more"),
        (["--seed", "-1"], "--seed is -1; give 0 or more"),
        (["--speed", "0"], "no number from 0.01 to 1000"),
        (["--idle-exit-s", "-1"], "no number from 0 to"),
        (["--in", "x"], "a pipe needs all of"),
        (["--in", "x", "--out", "y", "--packet-bytes", "33", "--packet-s", "1", "--bind", "tcp://127.0.0.1:1"], "give one pair"),
        (["--in", "x", "--out", "y", "--packet-bytes", "0", "--packet-s", "1"], "give 1 to"),
        (["--in", "x", "--out", "y", "--packet-bytes", "33", "--packet-s", "nan"], "give seconds above 0"),
        (["--in", "x", "--out", "-", "--packet-bytes", "33", "--packet-s", "1", "--report", "-"], "cannot both be stdout"),
        (["--preset", "hf", "--trace", "x"], "not allowed with argument"),
        (["--range-m", "-1500"], "--range-m is -1500; give metres, 0 or more"),
        (["--range-m", "1500", "--delay-s", "1"], "--range-m and --delay-s both tell the delay; give one"),
        (["--return-bind", "tcp://127.0.0.1:1"], "needs both --return-bind and --return-connect"),
        (["--colour"], "unrecognized arguments: --colour; see clari-channel --help"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    message = capsys.readouterr().err
    assert message.startswith("clari-channel: ") and words in message
    assert message.count("\n") == 1


def test_a_missing_input_is_exit_code_6_and_leaves_the_output_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.bin"
    out.write_bytes(b"kept")
    files = ["--in", str(tmp_path / "none.bin"), "--out", str(out), "--packet-bytes", "33", "--packet-s", "1"]
    assert main(files) == 6
    assert out.read_bytes() == b"kept"
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bit_rate_of_0_lifts_the_limit_of_a_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe(tmp_path, numbered(2), "--preset", "acoustic", "--bit-rate", "0", "--report", "-")
    assert json.loads(capsys.readouterr().out)["config"]["bit_rate_bps"] is None


def test_a_trace_is_replayed_packet_by_packet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "sea.csv"
    write_trace(trace, [TraceRow(0.96 * k, k % 3 == 1, 2 * (k % 3), 0.0) for k in range(30)], packet_bytes=33)
    code, out = pipe(tmp_path, bytes(33 * 30), "--trace", str(trace), "--report", "-")
    fields = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [int.from_bytes(out[k : k + 33]).bit_count() for k in range(0, len(out), 33)] == [0, 4] * 10
    assert (fields["trace"], fields["preset"], fields["packets"]["lost"]) == (str(trace), None, 10)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "no such file"), ("time_s,lost,bit_errors,extra_delay_s\n0,2,0,0\n", "line 2: lost is '2'; give 0 or 1")],
)
def test_what_is_no_trace_is_one_line_and_exit_code_6(
    text: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "x.csv").write_text(text)
    assert main(["--trace", str(tmp_path / "x.csv")]) == 6
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1


def test_a_range_in_the_sea_is_a_delay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe(tmp_path, numbered(2), "--preset", "acoustic-400", "--range-m", "3000", "--report", "-")
    fields = json.loads(capsys.readouterr().out)
    assert fields["config"]["delay_s"] == 2.0
    assert fields["config"]["reception"]["fading"]["k_db"] == 6.0
    pipe(tmp_path, numbered(2), "--preset", "acoustic-400", "--range-m", "15", "--report", "-", "--force")
    near = json.loads(capsys.readouterr().out)["config"]
    assert near["delay_s"] == near["delay_swing_s"] == 0.01 < fields["config"]["delay_swing_s"]


def test_both_directions_run_through_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    inlet, outlet, answer_inlet, answer_outlet = (free_endpoint() for _ in range(4))
    options = ["--bind", inlet, "--connect", outlet, "--return-bind", answer_inlet, "--return-connect", answer_outlet]
    options += ["--speed", "50", "--idle-exit-s", "15", "--delay-s", "1", "--report", "-"]
    codes: list[int] = []
    with (
        ZmqLink.receiver(outlet) as there,
        ZmqLink.receiver(answer_outlet) as back,
        ZmqLink.sender(inlet) as here,
        ZmqLink.sender(answer_inlet) as answering,
    ):
        relay = threading.Thread(target=lambda: codes.append(main(options)), daemon=True)
        relay.start()
        push(here, b"question")
        assert there.receive(LONG_S) == b"question"
        push(answering, b"answer", b"again")
        assert [back.receive(LONG_S), back.receive(LONG_S)] == [b"answer", b"again"]
        relay.join(LONG_S)
    out, messages = capsys.readouterr()
    fields = json.loads(out)
    assert codes == [0]
    assert (fields["packets"]["delivered"], fields["return_packets"]["delivered"]) == (1, 2)
    assert messages.count("\n") == 2


def test_the_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-presets"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in PRESETS)


def test_the_simulator_needs_numpy_alone_and_the_relay_no_torch() -> None:
    code = (
        "import sys, channel.simulator, channel.presets, channel.transit, channel.trace\n"
        "core = {'zmq', 'stream', 'codec', 'export', 'torch'} & set(sys.modules)\n"
        "import channel.relay\n"
        "print(core, {'codec', 'export', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=LONG_S, check=True)
    assert done.stdout.strip() == "set() set()"
