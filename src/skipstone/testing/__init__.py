"""What every store and every serializer must do, as tests. Needs pytest and hypothesis.

```python
class TestMine(StoreConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.folder = tmp_path

    def make_store(self, scope):
        return MyStore(self.folder / scope)
```
"""

import pytest as _pytest

_pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("_one_process", "_machine", "_processes", "_serializer"))
)

from ._one_process import OneProcessStoreConformance  # noqa: E402 - the line above tells pytest first
from ._processes import StoreConformance  # noqa: E402
from ._serializer import SerializerConformance  # noqa: E402

__all__ = ["OneProcessStoreConformance", "SerializerConformance", "StoreConformance"]
