"""How the pipeline comes from a model's folder or Hub repository, and goes into one, with all that it carries."""

import functools
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers.utils import logging
from huggingface_hub import file_exists, snapshot_download
from huggingface_hub.errors import EntryNotFoundError

from .bundled import IN_BUNDLE, name_package_code, save_own_code
from .errors import UserError
from .model_folder import CARD, CARRIED, ID_MODEL, copy_carried, tidy_configs, update_usage, write_code

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline as Base
else:
    Base = object  # a file that diffusers runs may have one class of pipeline alone

logger = logging.get_logger(__name__)


class PersistenceMixin(Base):
    """Goes before `DiffusionPipeline`, whose loading and saving it completes."""

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str | PathLike[str]:
        """diffusers' own, and what a model carries beside its components: ID encoder, card, licences.

        Raises:
            UserError: the repository holds the published checkpoints, which have to be converted first.
        """
        options = {name: kwargs[name] for name in ("cache_dir", "token", "local_files_only") if name in kwargs}
        try:
            folder = super().download(pretrained_model_name, **kwargs)
        except EntryNotFoundError:
            where = {name: kwargs[name] for name in ("revision", "token") if name in kwargs}
            if file_exists(pretrained_model_name, "unet.pth", **where):
                raise UserError(
                    f"{pretrained_model_name} holds the published checkpoints, not a pipeline; "
                    "`hunyuan-portrait animate --model` and `load_pipeline` fetch and convert them."
                ) from None
            raise
        _fetch_carried(pretrained_model_name, Path(folder), **options)
        return folder

    @classmethod
    def _dict_from_json_file(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """diffusers' own reader of the index, for folders and the Hub alike.

        Here a bundle is a model like any other: this class loads it with the package's code, and needs no trust.
        """
        index = super()._dict_from_json_file(*args, **kwargs)
        return index if IN_BUNDLE else name_package_code(index)

    def register_to_config(self, **kwargs: Any) -> None:
        """diffusers' own, which notes where the pipeline is from; a folder is to be found from any other, too."""
        origin = kwargs.get("_name_or_path")
        if origin and Path(origin).is_dir():
            kwargs["_name_or_path"] = str(Path(origin).absolute())
        super().register_to_config(**kwargs)

    @property
    def id_model_path(self) -> Path | None:
        """The ONNX ID encoder of the model that this pipeline was loaded from, where it has one."""
        path = None if self._model_folder is None else self._model_folder / ID_MODEL
        return path if path is not None and path.is_file() else None

    @functools.cached_property
    def _model_folder(self) -> Path | None:
        """The folder that this pipeline was loaded from; of a Hub repository, its snapshot in the cache.

        `DiffusionPipeline.from_pretrained` does not call our `download`, so that what the model carries beside its
        components may still have to be fetched.
        """
        origin = self.config.get("_name_or_path")
        if not origin or Path(origin).is_dir():
            return Path(origin) if origin else None
        component = Path(self.im_adapter.config.get("_name_or_path") or "")
        if not component.is_dir():
            return None
        snapshot = component.parent  # in the cache: models--owner--name/snapshots/commit
        if not (snapshot / ID_MODEL).is_file():
            try:
                _fetch_carried(origin, snapshot, cache_dir=snapshot.parents[2])
            except OSError as error:  # the Hub's errors are, too
                logger.warning(f"What {origin} carries beside its networks cannot be fetched: {error}")
        return snapshot

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Saves as diffusers does, and what a model's folder has beside its components."""
        super().save_pretrained(str(save_directory), *args, **kwargs)  # where it pushes, it takes no other path
        self._complete(Path(save_directory))
        update_usage(Path(save_directory))

    def _upload_folder(
        self, working_dir: str | PathLike[str], repo_id: str, token: str | None = None, **kwargs: Any
    ) -> Any:
        """diffusers' own, which uploads before `save_pretrained` ends and with a card that says nothing."""
        folder = Path(working_dir)
        is_new = not file_exists(repo_id, CARD, token=token)  # else the card is that of the repository
        if is_new and self._model_folder is not None and (self._model_folder / CARD).is_file():
            (folder / CARD).unlink(missing_ok=True)
        self._complete(folder)
        if is_new:
            update_usage(folder, repo_id)
        return super()._upload_folder(working_dir, repo_id, token=token, **kwargs)

    def _complete(self, folder: Path) -> None:
        if self._model_folder is not None:
            copy_carried(self._model_folder, folder)
        if IN_BUNDLE:
            save_own_code(folder)
        else:
            write_code(folder)
        tidy_configs(folder)


def _fetch_carried(repo_id: str, snapshot: Path, **options: Any) -> None:
    """Fetches what a model carries beside its components into its snapshot, whose name is the commit's."""
    snapshot_download(repo_id, revision=snapshot.name, allow_patterns=list(CARRIED), **options)
