"""The survey counts what the simulator says."""

from __future__ import annotations

import pytest

from channel.simulator import ChannelConfig
from channel.survey import main, survey


def test_what_is_measured_is_what_was_asked_for() -> None:
    found = survey(ChannelConfig(loss_rate=0.2, mean_burst_s=1.6, ber=1e-3), seed=1, packet_bytes=32, packet_s=0.96, count=4000)
    cells = [cell.strip() for cell in found.row("x").strip("|").split("|")]
    assert cells[:2] == ["`x`", "0.0"]
    assert float(cells[2]) == pytest.approx(20, abs=3)
    assert float(cells[3]) == pytest.approx(1 / (1 - 0.2 - 0.8 * 2.718281828 ** (-0.96 / 1.28)), rel=0.1)
    assert float(cells[4]) == pytest.approx(100 * (1 - 0.999**256), abs=3)
    assert float(cells[5]) == pytest.approx(1e-3, abs=2e-4)
    assert float(cells[6]) == pytest.approx(8 * 32 / 0.96 * (1 - found.report.lost / 4000), abs=1)


def test_it_prints_a_table_of_the_links_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "acoustic-100", "--hours", "0.02"]) == 0
    header, rule, *lines = capsys.readouterr().out.splitlines()
    assert header.count("|") == rule.count("|") == lines[0].count("|") == 9
    assert [line.split()[1] for line in lines] == ["`clean`", "`acoustic-100`"]
    assert float(lines[1].split("|")[2]) > 50  # 267 bps into 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["moon"], "unknown preset 'moon'; choose one of"),
        (["--packet-bytes", "0"], "give 1 to"),
        (["--hours", "-1"], "no number from"),
        (["clean", "--seed", "-1"], "seed is -1; give 0 or more"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1
