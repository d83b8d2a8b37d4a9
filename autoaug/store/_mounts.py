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
    """Return the type of the network file system that a path lies on; None where it is local, or where nobody knows."""
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:
        return None
    nearest, longest = "", -1
    for line in lines:
        point, kind = parse_mount(line)
        # of two mounts on one point the later one is seen
        if point and path.is_relative_to(point) and len(point) >= longest:
            nearest, longest = kind, len(point)
    return nearest if NETWORKED.fullmatch(nearest) else None


def parse_mount(line: str) -> tuple[str, str]:
    """Return mount point and file system of a line of mountinfo (proc(5)); two empty strings where it is none."""
    before, dash, after = line.partition(" - ")
    fields = before.split(" ")
    if not dash or len(fields) < 6:
        return "", ""
    point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
    return point, after.split(" ")[0]
