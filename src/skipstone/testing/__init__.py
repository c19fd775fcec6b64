"""What every store keeps to, as tests. Needs pytest and hypothesis.

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

_pytest.register_assert_rewrite(f"{__name__}._one_process", f"{__name__}._machine", f"{__name__}._processes")

from ._one_process import OneProcessStoreConformance  # noqa: E402 - the line above tells pytest first
from ._processes import StoreConformance  # noqa: E402

__all__ = ["OneProcessStoreConformance", "StoreConformance"]
