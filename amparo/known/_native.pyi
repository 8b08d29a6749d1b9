from typing_extensions import Buffer

def pdq(
    luma: Buffer,
    stride: int,
    height: int,
    width: int,
    full_height: int,
    full_width: int,
    factor: int,
    forms: int,
    path: int = -1,
    /,
) -> tuple[bytes, int]: ...
def pdq_paths() -> tuple[str, ...]: ...
