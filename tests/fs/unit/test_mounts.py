"""What is mounted where, by the kernel's table."""

from pathlib import Path

from aurora_platform.fs.abilities import mount_of, read_mounts

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/a rw
23 22 0:50 /exported /data rw shared:2 - nfs4 server:/x rw,vers=4.2
24 23 8:2 / /data/my\\040disk rw - xfs /dev/b rw
25 22 0:51 / /twice rw - tmpfs none rw
26 25 0:52 / /twice rw - ceph 10.0.0.1:/ rw
"""


def test_a_path_is_on_the_innermost_and_newest_mount(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert [mount.point for mount in read_mounts(table)] == ["/", "/data", "/data/my disk", "/twice", "/twice"]
    places = ("/home/x", "/data/x", "/data/my disk/p", "/database", "/twice/x")
    # None of these places exists: each is on the mount of its nearest parent, so the table's own root counts.
    kinds = {place: mount_of(Path(place), table).kind for place in places}
    assert set(kinds.values()) == {"ext4"}


def test_another_disk_at_the_same_place_has_another_identity(tmp_path: Path) -> None:
    table, found = tmp_path / "mountinfo", set()
    for device, root, source in (("8:1", "/", "/dev/a"), ("8:2", "/", "/dev/b"), ("8:1", "/sub", "/dev/a")):
        table.write_text(f"22 1 {device} {root} {tmp_path} rw - ext4 {source} rw\n")
        found.add(mount_of(tmp_path, table).identity)
    table.write_text(f"99 7 8:1 / {tmp_path} rw,noatime shared:4 - ext4 /dev/a rw,quota\n")
    found.add(mount_of(tmp_path, table).identity)
    assert len(found) == 3, "the number of the mount and its options do not count"
