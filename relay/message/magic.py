"""The formats of files that their first octets tell."""

_MAGIC = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n": "image/png",
    b"GIF8": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
    b"PK\x03\x04": "application/zip",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}


def find_magic(head: bytes) -> str:
    """The media type of a file that begins so; "" when that tells none."""
    return next((media_type for magic, media_type in _MAGIC.items() if head.startswith(magic)), "")
