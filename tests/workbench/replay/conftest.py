from tests.cloud.dashboard.conftest import browser

__all__ = ["browser"]
