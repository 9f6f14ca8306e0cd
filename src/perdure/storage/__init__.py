"""One SQLite file per object or facet, and the journal that makes them durable. Effects: disk, process, tasks."""

from perdure.storage._capture import Captured as Captured
from perdure.storage._database import Database as Database
from perdure.storage._database_quota import DatabaseQuota as DatabaseQuota
from perdure.storage._facet_index import FacetCount as FacetCount
from perdure.storage._image import Image as Image
from perdure.storage._journal import AlarmChange as AlarmChange
from perdure.storage._journal import Append as Append
from perdure.storage._journal import DueAlarm as DueAlarm
from perdure.storage._journal import Elsewhere as Elsewhere
from perdure.storage._journal import Grant as Grant
from perdure.storage._journal import History as History
from perdure.storage._journal import Incarnation as Incarnation
from perdure.storage._journal import Journal as Journal
from perdure.storage._journal import Lease as Lease
from perdure.storage._journal import ListedObject as ListedObject
from perdure.storage._journal import Outcome as Outcome
from perdure.storage._journal import Snapshot as Snapshot
from perdure.storage._journal import Verdict as Verdict
from perdure.storage._layout import ObjectKey as ObjectKey
from perdure.storage._page_ledger import TreeBound as TreeBound
from perdure.storage._root_log import Commit as Commit
from perdure.storage._root_log import RootLog as RootLog
from perdure.storage._root_store import HostTurn as HostTurn
from perdure.storage._root_store import RootStore as RootStore
from perdure.storage._store import Store as Store
from perdure.storage._store import StoreOptions as StoreOptions
