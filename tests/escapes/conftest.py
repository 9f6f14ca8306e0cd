"""The fixtures of the isolates, for those who try to leave one."""

from tests.unit.isolates.conftest import isolates as isolates
from tests.unit.isolates.conftest import javascript as javascript
from tests.unit.isolates.conftest import python as python
