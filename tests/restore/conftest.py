from tests.erasure.conftest import cases, hand, model, now

__all__ = ["cases", "hand", "model", "now"]
