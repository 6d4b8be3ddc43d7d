"""The errors that a user can cause: each carries one sentence that says what was wrong and what to do."""


class UserError(ValueError):
    """Something about the input, the settings or the installation that the user can put right.

    The command line prints the message alone and leaves with exit code 2; as a `ValueError` it is also what a
    caller of the library expects from a bad argument.
    """


class NoFaceError(UserError):
    """No face was found where one is needed."""


class UnreadableMediaError(UserError):
    """A file is not an image or a video that can be read."""


class CheckpointError(UserError):
    """A checkpoint file is missing, unsafe to load, or does not hold the expected keys and shapes."""


class RunInterruptedError(RuntimeError):
    """A run was stopped through the pipeline's `interrupt` before it had its result."""


def not_enough_memory(error: BaseException) -> str:
    """What a user is told where memory, of a GPU or the machine, has run out."""
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return (
        f"There is not enough memory ({reason}); choose a smaller --height and --width, a smaller "
        "--window-size or --decode-chunk-size, or an --offload."
    )
