from tests.training.conftest import prepared, splits  # noqa: F401  fixtures
