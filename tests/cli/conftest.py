from tests.support.whole_relay import whole

__all__ = ["whole"]
