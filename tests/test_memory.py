"""What is free is what the system, the shell and the container leave."""

from pathlib import Path

import pytest

from refinesr import memory


@pytest.mark.parametrize(
    ("available_memory", "installed_memory", "ulimit_memory", "container_limit", "free"),
    [
        (8, 16, None, None, 8),
        (8, 16, None, 4, 4),  # /proc/meminfo is the host's, whatever the container
        (8, 16, 2, 4, 2),
        (None, 16, None, None, 8),  # macOS
        (None, None, None, None, memory.UNKNOWN),
    ],
)
def test_free_memory_is_at_most_every_known_limit(
    monkeypatch: pytest.MonkeyPatch,
    available_memory: int | None,
    installed_memory: int | None,
    ulimit_memory: int | None,
    container_limit: int | None,
    free: int,
) -> None:
    known = {
        "available_memory": available_memory,
        "installed_memory": installed_memory,
        "ulimit_memory": ulimit_memory,
        "container_limit": container_limit,
    }
    for name, number in known.items():
        monkeypatch.setattr(memory, name, lambda number=number: number)
    assert memory.free_memory() == free


def test_a_container_says_a_number_or_max(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "GROUPS", (str(tmp_path / "none"), str(tmp_path / "max")))
    assert memory.container_limit() is None
    for text, number in (("max\n", None), ("1234567\n", 1234567)):
        (tmp_path / "max").write_text(text)
        assert memory.container_limit() == number
