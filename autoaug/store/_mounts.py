"""Which file system a path lies on, by the kernel's table of mounts."""

import re
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")

NETWORKED = re.compile(
    r"(fuse\.)?(afs|beegfs|ceph|cifs|davfs2?|gcsfuse|(mount\.)?glusterfs|goofys|gpfs|lustre|ncpfs|nfs4?|ocfs2|orangefs|"
    r"panfs|rclone|s3fs|smb[23]|smbfs|smbnetfs|sshfs)"
)
"""File systems that several hosts share. Their locks are unreliable, and a write-ahead log needs shared memory."""


def network_file_system(path: Path, table: Path = TABLE) -> str | None:
    """The type of the network file system that a path lies on; None where it is local, or where nobody knows."""
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:
        return None
    found, longest = "", -1
    for line in lines:
        place, kind = parse_mount(line)
        # of two mounts on one place the later one is seen
        if place and path.is_relative_to(place) and len(place) >= longest:
            found, longest = kind, len(place)
    return found if NETWORKED.fullmatch(found) else None


def parse_mount(line: str) -> tuple[str, str]:
    """Mount point and file system of a line of mountinfo (proc(5)); two empty strings where it is none."""
    before, dash, after = line.partition(" - ")
    fields = before.split(" ")
    if not dash or len(fields) < 6:
        return "", ""
    place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
    return place, after.split(" ")[0]
