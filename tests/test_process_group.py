"""Processes that make the updates of one: shares, and the mean of gradients."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from methods import FewPairs, packed, plan

from refinesr import torchrun
from refinesr.errors import ConfigError
from refinesr.fit import State, check_divisible, fit
from refinesr.images.lazy_store import worker_count
from refinesr.process_group import SINGLE_PROCESS, ProcessGroup, backend, joined_process_group


def test_alone_everything_is_its_share() -> None:
    batch = torch.randn(4, 3), torch.randn(4)
    assert all(torch.equal(a, b) for a, b in zip(SINGLE_PROCESS.local_batch(batch), batch, strict=True))
    number = torch.ones(3)
    SINGLE_PROCESS.average([number])
    assert torch.equal(number, torch.ones(3))
    assert SINGLE_PROCESS.maximum(7) == 7
    assert SINGLE_PROCESS.is_main


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_shares_are_equal_and_together_the_batch(size: int) -> None:
    batch = torch.randn(6, 2), torch.arange(6)
    shares = [ProcessGroup(rank, size).local_batch(batch) for rank in range(size)]
    for k, values in enumerate(batch):
        assert torch.equal(torch.cat([share[k] for share in shares]), values)
        assert {len(share[k]) for share in shares} == {6 // size}


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 6 has no 4 equal shares"):
        ProcessGroup(0, 4).local_batch((torch.zeros(6),))
    check_divisible(plan(batch=12, accumulate=2), ProcessGroup(0, 3))
    with pytest.raises(ConfigError, match=r"plan\.batch: 12 cannot be shared evenly among 3 .* in 3 parts"):
        check_divisible(plan(batch=12, accumulate=3), ProcessGroup(0, 3))


def test_the_mean_of_the_shares_gradients_is_the_batchs() -> None:
    """No messages are sent: each process tells what it would send."""
    method, few = packed(2), plan(steps=1, batch=4)
    seen: list[list[torch.Tensor]] = []

    class Listening(ProcessGroup):
        def average(self, numbers: object) -> None:
            assert isinstance(numbers, Sequence)
            seen.append([each.clone() for each in numbers])

        def maximum(self, number: int) -> int:
            return number

    for processes in (Listening(0, 1), Listening(0, 2), Listening(1, 2)):
        torch.manual_seed(0)
        state = State(method.build(), few)
        for parameter in state.model.parameters():
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
        list(
            fit(
                state,
                FewPairs(method, 4),
                method.objective(),
                few,
                seed=7,
                autocast=None,
                processes=processes,
            )
        )
    whole, *shares = seen
    for one, *parts in zip(whole, *shares, strict=True):
        torch.testing.assert_close(sum(parts) / 2, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("number", "own", "alike"), [(5, 5, True), (5, 6, False), (6, 5, False)])
def test_all_agree_if_the_largest_is_the_smallest(number: int, own: int, alike: bool) -> None:
    class Two(ProcessGroup):
        """The other one says `number`, or its negative when asked for the least."""

        def maximum(self, said: int) -> int:
            return max(said, number if said > 0 else -number)

    assert Two().agrees_on(own) == alike


def test_processes_with_other_photos_are_refused() -> None:
    class Disagreeing(ProcessGroup):
        def agrees_on(self, number: int) -> bool:
            return number == 0  # the update, not the pictures

    method, few = packed(2), plan(steps=1, batch=4)
    updates = fit(
        State(method.build(), few),
        FewPairs(method, 4),
        method.objective(),
        few,
        seed=0,
        autocast=None,
        processes=Disagreeing(0, 2),
    )
    with pytest.raises(ConfigError, match="not all processes read the same photos"):
        next(updates)


def test_other_launchers_start_processes_that_are_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert torchrun.is_main_process()
    with joined_process_group(torch.device("cpu")) as processes:
        assert processes == SINGLE_PROCESS
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert not torchrun.is_main_process()
    assert worker_count() <= 4  # of 16 at most, shared by four
    with pytest.raises(ConfigError, match="not on mps"):
        backend(torch.device("mps"))


def test_a_torch_that_cannot_join_processes_is_of_use_all_the_same() -> None:
    """Its `distributed` has no operations to name."""
    code = (
        "import torch.distributed as d; del d.ReduceOp\n"
        "import refinesr.process_group as p; p.SINGLE_PROCESS.average([])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
