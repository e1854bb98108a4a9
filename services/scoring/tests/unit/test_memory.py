"""How much memory a container says is free."""

from pathlib import Path

import psutil
import pytest

from scoring.jobs import memory

MIB = 2**20


def container(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{64 * MIB}\n")
    (folder / "memory.stat").write_text(f"anon {9 * MIB}\nfile {55 * MIB}\ninactive_file {50 * MIB}\nslab 7\n")
    return folder


def test_files_read_long_ago_take_no_memory_from_a_job(tmp_path: Path) -> None:
    assert memory.available(container(tmp_path, str(64 * MIB))) == 50 * MIB


def test_a_task_that_no_node_of_a_ray_has_room_for_is_refused_instead_of_waiting_for_ever() -> None:
    memory.check_nodes(300 * MIB, [200.0 * MIB, 300.0 * MIB])
    with pytest.raises(
        memory.TooLargeError, match=r"^RESOURCE_EXHAUSTED: A task needs about 315 MB; no node .* 210 MB"
    ):
        memory.check_nodes(300 * MIB, [100.0 * MIB, 200.0 * MIB])


def test_without_a_limit_or_a_container_the_machine_s_memory_counts(tmp_path: Path) -> None:
    for cgroup in (container(tmp_path, "max"), tmp_path / "none"):
        assert 0 < memory.available(cgroup) <= psutil.virtual_memory().total
