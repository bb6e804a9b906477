"""The search for better codes: what it tries, what it keeps, and that it finds what is there to be found."""

from __future__ import annotations

import pytest
import torch

from codec.search import FRAMES_AFTER, FRAMES_BEFORE, Stretches, best_of, versions_of

SHAPES = [(1, 1, 0), (7, 4, 0), (7, 4, 3), (8, 4, 1), (23, 5, 2), (3, 8, 7)]


@pytest.mark.parametrize(("frames", "length", "offset"), SHAPES)
def test_stretches_follow_each_other_without_gaps(frames: int, length: int, offset: int) -> None:
    stretches = Stretches(frames, length, offset)
    expected = [divmod(frame + offset, length) for frame in range(frames)]
    assert list(zip(stretches.number.tolist(), stretches.place.tolist(), strict=True)) == expected
    assert stretches.count == expected[-1][0] + 1


@pytest.mark.parametrize(("frames", "length", "offset"), SHAPES)
@pytest.mark.parametrize("parity", [0, 1])
def test_a_version_changes_one_frame_of_every_second_stretch(frames: int, length: int, offset: int, parity: int) -> None:
    generator, stretches = torch.Generator().manual_seed(1), Stretches(frames, length, offset)
    codes = torch.randint(0, 4, (2, frames, 8), generator=generator)
    drawn = (codes[:, None] + torch.randint(1, 4, (2, 5, frames, 8), generator=generator)) % 4  # every digit differs
    place = torch.randint(0, length, (2, 5, stretches.count), generator=generator)
    versions = versions_of(codes, drawn, place, stretches, parity)
    assert torch.equal(versions[:, 0], codes)
    for row in range(2):
        for version in range(1, 5):
            changed = (versions[row, version] != codes[row]).any(1)
            wanted = [
                (frame + offset) // length % 2 == parity
                and (frame + offset) % length == int(place[row, version, (frame + offset) // length])
                for frame in range(frames)
            ]
            assert changed.tolist() == wanted
            assert torch.equal(versions[row, version][changed], drawn[row, version][changed])


@pytest.mark.parametrize(("frames", "length", "offset"), SHAPES)
def test_each_stretch_keeps_the_version_that_was_best_around_it(frames: int, length: int, offset: int) -> None:
    generator, stretches = torch.Generator().manual_seed(2), Stretches(frames, length, offset)
    versions = torch.randint(0, 4, (3, 6, frames, 8), generator=generator)
    credit = torch.randint(-3, 3, (3, 6, frames), generator=generator).float()  # equal ones are frequent
    best = best_of(versions, credit, stretches)
    for row in range(3):
        for frame in range(frames):
            first = (frame + offset) // length * length - offset
            around = range(max(0, first - FRAMES_BEFORE), min(frames, first + length + FRAMES_AFTER))
            sums = [sum(float(credit[row, version, each]) for each in around) for version in range(6)]
            assert torch.equal(best[row, frame], versions[row, sums.index(max(sums)), frame])


def test_rounds_lead_to_the_best_codes_where_frames_are_heard_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    wanted, found = (torch.randint(0, 4, (2, 20, 8), generator=generator) for _ in range(2))
    reward = float((found == wanted).float().mean())
    for number in range(400):
        stretches = Stretches(20, 4, int(torch.randint(4, (), generator=generator)))
        drawn = torch.where(
            torch.rand(2, 8, 20, 8, generator=generator) < 0.2,
            torch.randint(0, 4, (2, 8, 20, 8), generator=generator),
            found[:, None],
        )
        place = torch.randint(4, (2, 8, stretches.count), generator=generator)
        versions = versions_of(found, drawn, place, stretches, number % 2)
        found = best_of(versions, (versions == wanted[:, None]).float().mean(3), stretches)
        better = float((found == wanted).float().mean())
        assert better >= reward
        reward = better
    assert reward > 0.99
