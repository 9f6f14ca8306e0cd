"""The process: ASGI in and out, host names, origins, serving, reloading. Effects: network, disk, process."""

from perdure.server._admin_requests import AdminRequest as AdminRequest
from perdure.server._admin_requests import Answer as Answer
from perdure.server._admin_requests import CancelAlarm as CancelAlarm
from perdure.server._admin_requests import CheckUp as CheckUp
from perdure.server._admin_requests import DeleteObject as DeleteObject
from perdure.server._admin_requests import ListAlarms as ListAlarms
from perdure.server._admin_requests import ListKv as ListKv
from perdure.server._admin_requests import ListObjects as ListObjects
from perdure.server._admin_requests import RunSql as RunSql
from perdure.server._admin_requests import SetAlarm as SetAlarm
from perdure.server._admin_requests import ShowStatistics as ShowStatistics
from perdure.server._admin_requests import ShowTree as ShowTree
from perdure.server._discover import Found as Found
from perdure.server._discover import RunnablePlatform as RunnablePlatform
from perdure.server._discover import discover as discover
from perdure.server._doctor import Checkup as Checkup
from perdure.server._doctor import examine as examine
from perdure.server._live import LiveApp as LiveApp
from perdure.server._offline import ask as ask
from perdure.server._platform import Fetch as Fetch
from perdure.server._platform import Platform as Platform
from perdure.server._reload import reload_on_save as reload_on_save
from perdure.server._serve import listen as listen
from perdure.server._serve import run as run
from perdure.server._serve import serve as serve
from perdure.server._workers import Worker as Worker
