"""The two versions of the protocol: OpenDSR 2.0, and what it was called before, OpenGDPR 1.0."""

from dataclasses import dataclass

PREFIX = "/opendsr"


@dataclass(frozen=True)
class Version:
    """`dialect` is what its callbacks are stored as, `requests` the path of the collection."""

    dialect: str
    prefix: str
    requests: str
    api_version: str
    header: str

    @property
    def domain_header(self) -> str:
        return f"{self.header}-Processor-Domain"

    @property
    def signature_header(self) -> str:
        return f"{self.header}-Signature"


V2 = Version("opendsr", f"{PREFIX}/v2", "/requests", "2.0", "X-OpenDSR")
V1 = Version("opengdpr", f"{PREFIX}/v1", "/opengdpr_requests", "1.0", "X-OpenGDPR")
# What old callers of the first version call themselves, and are answered with.
OLDEST = "0.1"


def spoken_on(path: str) -> Version | None:
    """By the path of a call; None where the protocol is not spoken."""
    for version in (V1, V2):
        if path == version.prefix or path.startswith(f"{version.prefix}/"):
            return version
    return None


def of(api_version: str) -> Version:
    return V2 if api_version == V2.api_version else V1
