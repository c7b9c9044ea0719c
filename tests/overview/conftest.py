from tests.erasure.conftest import cases, model

__all__ = ["cases", "model"]
