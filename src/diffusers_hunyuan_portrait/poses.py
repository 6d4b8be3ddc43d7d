"""What the pose guider can be shown: nothing, which is black, or skeletons."""

from .errors import UserError

POSES = ("none", "dwpose")
NUM_KEYPOINTS = 134  # of a skeleton, as DWPose has them in OpenPose's order


def check_pose(pose: str) -> None:
    """Raise `UserError` where there is no such pose."""
    if pose not in POSES:
        raise UserError(f"There is no pose {pose!r}; choose {' or '.join(POSES)}.")
