"""The fixtures of the isolates, for what runs inside a JavaScript one."""

from tests.unit.isolates.conftest import isolates as isolates
from tests.unit.isolates.conftest import javascript as javascript
