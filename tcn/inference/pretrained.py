"""A trained net as a folder, in the layout that the Hugging Face hub knows.

    config.json          which classes were called with which arguments, and the SHA-256 of the
                         weights and of itself
    model.safetensors    the weights: numbers alone, never code

:mod:`tcn.saving.folder` says how the two stay one pair. Nothing in such a folder is executed: the
classes are those of this library, a few activations of PyTorch, and those that the program itself
has handed to :func:`tcn.saving.register`. Pickles (``.bin``, ``.ckpt``, ``.pt``) are refused
unread. Saving and loading need neither Lightning nor, on a local disk, ``huggingface_hub``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from tcn.extras import need
from tcn.inference.checkpoint import load_checkpoint
from tcn.inference.construction import construct, refuse_opaque
from tcn.inference.unchanged import difference, mismatch, tensors_of
from tcn.layers import SequenceModule, fold_weight_norm
from tcn.layers.compiled import uncompiled
from tcn.saving.folder import FORMAT_VERSION, Layout, entry, read, write
from tcn.saving.schema import Schema, first_error
from tcn.saving.tensors import loaded

__all__ = ["from_pretrained", "load_checkpoint", "push_to_hub", "save_pretrained"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

_PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
_FILES = [CONFIG, WEIGHTS, "model-*.safetensors"]
"""The last is what a killed save may have left; see :mod:`tcn.saving.folder`."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def save_pretrained(net: SequenceModule, folder: str | PathLike[str]) -> Path:
    """Writes ``config.json`` and ``model.safetensors``.

    The folder holds what it held, or the new net, whole, whatever happens meanwhile: a full disk, a
    process that is killed, another one that saves to the same folder.

    Args:
        net: of :mod:`tcn.models`, of the layers and containers of :mod:`tcn.layers`, or of a class
            handed to :func:`tcn.saving.register`; unchanged since it was built but for its weights.
            Weight norm may be folded.
        folder: made if it is missing.

    Returns:
        The folder.

    Raises:
        ValueError: if the net cannot be built again from plain data (a custom class that is
            not registered, a lambda as a builder), or has other tensors, layers or settings than
            one built anew, such as those of a net made to look ahead afterwards.
    """
    net = uncompiled(net)
    folder = Path(folder)
    tensors = tensors_of(net)
    config: dict[str, Any] = {
        "format": "tcn",
        "format_version": FORMAT_VERSION,
        # The parent package is always loaded; to import it by name would point backwards.
        "tcn_version": sys.modules[__name__.split(".")[0]].__version__,
        "net": _construction(net),
        "dtype": _dtype_of(tensors),
    }
    config["folded"] = _is_folded(net, config)
    data = to_safetensors({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    config |= entry(LAYOUT, data)
    if (reason := first_error(config, config_schema())) is not None:
        raise ValueError(f"net: it cannot be written to a file that can be read: {reason}")
    write(folder, LAYOUT, config, data)
    return folder


def from_pretrained(
    source: str | PathLike[str],
    *,
    revision: str | None = None,
    cache_dir: str | PathLike[str] | None = None,
    local_files_only: bool = False,
) -> SequenceModule:
    """The net of a folder, or of a repository of the Hugging Face hub, in evaluation mode.

    Args:
        source: a folder, or a repository such as ``"name/model"`` if there is no such folder.
        revision: branch, tag or commit of the repository.
        cache_dir: where downloads are kept; that of ``huggingface_hub`` unless given.
        local_files_only: whether to use what has been downloaded before, without the network.

    Returns:
        The net on the CPU.

    Raises:
        ModuleNotFoundError: if a repository is asked for without the extra ``hub``.
        ValueError: if a file is missing, truncated, changed, a pickle, or does not fit the others;
            the message names the file and the reason.
    """
    folder = Path(source)
    if folder.is_file():
        raise ValueError(f"source: {str(source)!r} is a file; pass the folder that it is in")
    if not os.fspath(source) or not folder.is_dir():
        folder = _download(
            str(source), revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
        )
    config, data, path = read(folder, LAYOUT, config_schema())
    tensors = loaded(path, data)
    where = str(folder / CONFIG)
    _check_tensors(tensors, _build(config, torch.device("meta"), where), path)
    with torch.random.fork_rng(devices=[]):  # the random weights of the new net are of no use
        net = _build(config, torch.device("cpu"), where)
    with torch.no_grad():
        for name, tensor in tensors_of(net).items():
            tensor.copy_(tensors[name])
    return net.eval()


def push_to_hub(
    net: SequenceModule,
    repository: str,
    *,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str = "Upload net",
) -> str:
    """Saves a net to a repository of the Hugging Face hub, which is made if it is missing.

    Args:
        net: see :func:`save_pretrained`.
        repository: such as ``"name/model"``.
        token: of an account that may write; the one logged in unless given.
        private: whether a new repository is private; the account's default unless given.
        revision: branch to write to.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        ModuleNotFoundError: if the extra ``hub`` is missing.
        ValueError: see :func:`save_pretrained`.
    """
    hub = _hub()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(net, folder)
        api = hub.HfApi(token=token)
        repository = api.create_repo(repository, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, revision=revision, commit_message=message
        )
    return str(commit.commit_url)


# ----------------------------------------------------------------------------- saving


def _construction(net: SequenceModule) -> Any:
    construction = getattr(net, "construction", None)
    if construction is None:
        raise ValueError(
            f"net: {type(net).__name__} does not know how it was built; put @tcn.saving.register "
            "before the class and build the net again, or save its state_dict"
        )
    refuse_opaque(construction)
    return construction


def _dtype_of(tensors: dict[str, Tensor]) -> str:
    # Buffers may have another: the running averages of a batch norm stay in float32.
    kept = [t for t in tensors.values() if isinstance(t, nn.Parameter)] or tensors.values()
    dtypes = {str(t.dtype).removeprefix("torch.") for t in kept if t.is_floating_point()}
    if len(dtypes) > 1:
        raise ValueError(
            f"net: parameters of {sorted(dtypes)}; use net.float() or another one type"
        )
    return dtypes.pop() if dtypes else "float32"  # pools alone have no parameters


def _is_folded(net: SequenceModule, config: dict[str, Any]) -> bool:
    """Whether the weight norm has been folded, found by comparing with a net built anew.

    Raises:
        ValueError: if the net differs from both, folded and not.
    """
    plain = _build(config | {"folded": False}, torch.device("meta"))
    reason = mismatch(tensors_of(net), plain)
    is_folded = False
    if reason is None:
        reason = difference(net, plain)
    else:
        folded = _build(config | {"folded": True}, torch.device("meta"))
        is_folded = mismatch(tensors_of(net), folded) is None
        reason = difference(net, folded) if is_folded else reason
    if reason is not None:
        raise ValueError(
            f"net: it has been changed since it was built: {reason}; build it with the arguments "
            "that make it what it is"
        )
    return is_folded


# ---------------------------------------------------------------------------- loading


def _missing(folder: Path, name: str) -> str:
    """The error for a folder in which a file is missing."""
    pickles = (
        []
        if not folder.is_dir()
        else sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES)
    )
    if not pickles:
        return f"{folder}: no {name}; expected a folder that save_pretrained wrote"
    return (
        f"{folder}: no {name}; {', '.join(pickles)} is a pickle, which can run code and is not "
        "read: if you trust it, load it yourself into a net (torch.load(..., weights_only=True), "
        "or load_checkpoint for one of `tcn fit`), then save_pretrained"
    )


LAYOUT = Layout(CONFIG, WEIGHTS, "weights", _missing)


def config_schema() -> Schema:
    """The schema of ``config.json``, whose ``$defs`` say how any saved net is described."""
    return json.loads(resources.files(__package__).joinpath("config.schema.json").read_bytes())


def _build(config: dict[str, Any], device: torch.device, where: str = CONFIG) -> SequenceModule:
    """The net of a configuration, which an error calls ``where``, with weights of its own."""
    with device:
        net: SequenceModule = construct(config["net"], f"{where}: net")
    if config["folded"]:
        fold_weight_norm(net)
    dtype: torch.dtype = getattr(torch, config["dtype"])
    return net.to(dtype)


def _check_tensors(tensors: dict[str, Tensor], net: nn.Module, path: Path) -> None:
    reason = mismatch(tensors, net)
    if reason is not None:
        raise ValueError(f"{path}: {reason}; these are not the weights of the net in {CONFIG}")


# ----------------------------------------------------------------- Hugging Face hub


def _download(repository: str, **settings: Any) -> Path:
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"source: {repository!r} is neither a folder nor the name of a repository")
    hub = _hub()
    try:
        return Path(hub.snapshot_download(repository, allow_patterns=_FILES, **settings))
    except (OSError, hub.errors.HfHubHTTPError) as error:
        raise ValueError(
            f"source: {repository!r} is not a folder here, and could not be loaded from the hub: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _hub() -> Any:
    need("tcn.inference.pretrained", "hub", "huggingface_hub")
    import huggingface_hub

    return huggingface_hub
