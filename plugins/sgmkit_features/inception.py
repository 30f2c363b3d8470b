"""Inception-v3 as the published FID has it, by way of torch-fidelity."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import Annotated
from urllib.request import urlopen

import torch
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3 as fidelity
from typing_extensions import Doc

from sgmkit import BadValue, Extractor
from sgmkit._util.files import write_atomic
from sgmkit.errors import MissingFiles, UnknownName
from sgmkit.noise import seeded
from sgmkit_features.cache import digest, directory

URL = fidelity.URL_INCEPTION_V3
NAME = URL.rpartition("/")[2]
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the official weights, 96 MB: those of the TensorFlow network of 2015-12-05, converted."""
TIMEOUT = 15.0
"""Seconds without an answer after which there is no network."""
BATCH = 32
"""Images at a time, of 299 x 299 pixels once they are in the network."""


class Inception(Extractor):
    """The 2,048 features before the last layer, and the logits of 1,008 classes without its bias.

    Images ``(1 or 3, H, W)`` in [-1, 1] become 8-bit colours, rounded and clipped, and are resized
    as TensorFlow 1 does. The network is torch-fidelity's ``inception-v3-compat``, which agrees with
    the original to rounding.

    The weights are the official file and no other: ``fid[inception]`` means one network. It is read
    from ``weights``, else from the cache directory, else downloaded to there.

    Raises:
        MissingFiles: where the file is not there and cannot be downloaded.
        BadValue: where it is another file.
    """

    event = (3, 32, 32)
    width = 2048
    classes = 1008
    unnamed = ("weights",)

    def __init__(
        self,
        weights: Annotated[
            str | None, Doc(f"the file {NAME}; if none, the one in the cache directory")
        ] = None,
    ) -> None:
        self._path = Path(weights).expanduser() if weights else directory() / NAME
        if weights and not self._path.is_file():
            raise UnknownName(f"no file '{weights}'; weights is the path of {NAME} ({URL})")
        if not self._path.is_file():
            _download(self._path)
        with open(self._path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise BadValue(f"'{self._path}' is {_wrong(found)}; put {URL} in its place")

    @property
    def fingerprint(self) -> str:
        """The weights, and the network they are for."""
        return digest("inception-v3-compat", SHA256)

    def supports(self, event: tuple[int, ...]) -> str | None:
        """Images with one channel or three."""
        if len(event) == 3 and event[0] in (1, 3):
            return None
        return f"Inception takes images of 1 or 3 channels, not {tuple(event)}"

    def features(self, x: Tensor) -> Tensor:
        """``(B, 2048)`` of images ``x (B, 1 or 3, H, W)``."""
        network = self._network.to(x.device)
        levels = (x.clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
        colours = levels.expand(-1, 3, -1, -1)
        with torch.no_grad():
            return torch.cat([network(part)[0] for part in colours.split(BATCH)])

    def head(self, features: Tensor) -> Tensor:
        """``(B, 1008)``; without the bias, as in the published inception scores."""
        return features @ self._network.fc.weight.T.to(features.device)

    @cached_property
    def _network(self) -> fidelity.FeatureExtractorInceptionV3:
        state = torch.load(self._path, map_location="cpu", weights_only=True)
        with _given(state), seeded(0, "inception"):  # the weights it starts from are overwritten
            return fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])


@contextmanager
def _given(state: Mapping[str, Tensor]) -> Iterator[None]:
    """Let torch-fidelity take ``state`` for what it would download.

    Given a path instead, it would load the file as a pickle that may run code.
    """
    load = fidelity.load_state_dict_from_url
    fidelity.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        fidelity.load_state_dict_from_url = load


def _wrong(found: str) -> str:
    return f"not the official file: its SHA-256 is {found[:8]}..., not {SHA256[:8]}..."


def _download(path: Path) -> None:
    print(f"downloading {URL} (96 MB)", file=sys.stderr)
    try:
        with urlopen(URL, timeout=TIMEOUT) as response:
            data = response.read()
        found = hashlib.sha256(data).hexdigest()
        if found != SHA256:
            raise OSError(f"what came is {_wrong(found)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why
        raise MissingFiles(
            f"inception needs {NAME}, which cannot be downloaded ({why}): fetch {URL} and put it "
            f"into '{path.parent}', or name it with extractor=(inception:weights=FILE)"
        ) from None
