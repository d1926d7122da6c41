"""Where networks are trained and evaluated: never part of a run's identity, but of its record."""

from equimodal.study.errors import UserError


def require_device(device: str) -> None:
    """Check that numbers can live on a device, also those of 64 bits that sums are kept in.

    Raises:
        UserError: If not, with torch's reason.
    """
    import torch  # seconds to load, and not needed on the way here

    try:
        float(torch.zeros(1, device=device, dtype=torch.float64))
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {device} can not be used here: {reason}; take cpu") from None
