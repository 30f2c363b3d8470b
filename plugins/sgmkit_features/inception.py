"""Inception-v3 as in the published FID, the network of torch-fidelity."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3 as fidelity
from typing_extensions import Doc

from sgmkit import BadValue, Extractor
from sgmkit.data import DownloadFailed, cache_directory, fetch, sha256
from sgmkit.errors import MissingFiles, UnknownName
from sgmkit.noise import seeded
from sgmkit_features.cache import digest

MIRROR, _, NAME = fidelity.URL_INCEPTION_V3.rpartition("/")
URL = f"{MIRROR}/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the official weights, 96 MB: those of the TensorFlow network of 2015-12-05, converted."""


class Inception(Extractor):
    """The 2,048 features before the last layer, and the logits of 1,008 classes without its bias.

    Images ``(1 or 3, H, W)`` in [-1, 1] become 8-bit colours, clipped and rounded, and are resized
    as TensorFlow 1 does it. The network is torch-fidelity's ``inception-v3-compat``, which agrees
    with the original to rounding.

    The weights are always those of the official file, so ``fid[inception]`` in results means one
    network. The file is the option ``weights``, else in the cache directory, else downloaded to
    there.

    Attributes:
        batch: images that are in the network at a time, enlarged to 299 x 299 pixels.

    Raises:
        MissingFiles: if the file is not there and cannot be downloaded.
        UnknownName: if ``weights`` is not the path of a file.
        BadValue: if the file is not the official one.
    """

    event = (3, 32, 32)
    width = 2048
    classes = 1008
    unnamed = ("weights",)
    batch: ClassVar[int] = 32

    def __init__(
        self,
        weights: Annotated[
            str | None, Doc(f"path of {NAME}; by default it is looked for in the cache directory")
        ] = None,
    ) -> None:
        self._path = Path(weights).expanduser() if weights else cache_directory() / NAME
        if weights and not self._path.is_file():
            raise UnknownName(f"no file '{weights}'; weights is the path of {NAME} ({URL})")
        if not self._path.is_file():
            _download(self._path.parent)
        actual = sha256(self._path)
        if actual != SHA256:
            raise BadValue(
                f"'{self._path}' is not the official file: its SHA-256 is {actual[:8]}..., not "
                f"{SHA256[:8]}...; put {URL} in its place"
            )

    @property
    def fingerprint(self) -> str:
        """Hash of the network's name and of the official weights."""
        return digest("inception-v3-compat", SHA256)

    def supports(self, event: tuple[int, ...]) -> str | None:
        """Images of any size with one channel or three are supported."""
        if len(event) == 3 and event[0] in (1, 3):
            return None
        return f"Inception takes images of 1 or 3 channels, not {tuple(event)}"

    def features(self, x: Tensor) -> Tensor:
        """Features ``(B, 2048)`` of images ``x (B, 1 or 3, H, W)``."""
        network = self._network.to(x.device)
        levels = (x.clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
        colours = levels.expand(-1, 3, -1, -1)
        with torch.no_grad():
            return torch.cat([network(part)[0] for part in colours.split(self.batch)])

    def head(self, features: Tensor) -> Tensor:
        """Logits ``(B, 1008)`` without the bias, as in the published inception scores."""
        return features @ self._network.fc.weight.T.to(features.device)

    @cached_property
    def _network(self) -> fidelity.FeatureExtractorInceptionV3:
        state = torch.load(self._path, map_location="cpu", weights_only=True)
        # The constructor draws random weights before it loads these: not from the global generator.
        with _loads(state), seeded(0, "inception"):
            return fidelity.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])


@contextmanager
def _loads(state: Mapping[str, Tensor]) -> Iterator[None]:
    """Let torch-fidelity load ``state`` where it would download a file.

    If it were given a path instead, it would load the file as a pickle that may run code.
    """
    load = fidelity.load_state_dict_from_url
    fidelity.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        fidelity.load_state_dict_from_url = load


def _download(folder: Path) -> None:
    try:
        fetch(folder, NAME, SHA256, [f"{MIRROR}/"])
    except DownloadFailed as error:
        raise MissingFiles(
            f"inception needs {NAME}, which cannot be downloaded ({error}): fetch {URL} and put it "
            f"into '{folder}', or name it with extractor=(inception:weights=FILE)"
        ) from None
