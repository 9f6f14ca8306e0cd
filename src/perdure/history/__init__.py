"""The past of objects: kept, read, and gone back to. Effects: clock, disk, tasks."""

from perdure.history._archive import SegmentArchive as SegmentArchive
from perdure.history._bookmarks import Bookmark as Bookmark
from perdure.history._bookmarks import read_bookmark as read_bookmark
from perdure.history._checkup import check_histories as check_histories
from perdure.history._options import HistoryOptions as HistoryOptions
from perdure.history._past import AsOf as AsOf
from perdure.history._past import CommitInfo as CommitInfo
from perdure.history._past import Past as Past
from perdure.history._past import When as When
