"""The past of objects: kept, read, and gone back to. Effects: clock, disk, tasks."""

from perdure.history._archive import SegmentArchive as SegmentArchive
from perdure.history._bookmarks import Bookmark as Bookmark
from perdure.history._bookmarks import read_bookmark as read_bookmark
from perdure.history._bundle import Bundle as Bundle
from perdure.history._bundle import read_bundle as read_bundle
from perdure.history._bundle import write_bundle as write_bundle
from perdure.history._checkup import check_histories as check_histories
from perdure.history._diff import DatabaseDiff as DatabaseDiff
from perdure.history._diff import RowsDiff as RowsDiff
from perdure.history._diff import diff_files as diff_files
from perdure.history._options import HistoryOptions as HistoryOptions
from perdure.history._past import AsOf as AsOf
from perdure.history._past import CommitInfo as CommitInfo
from perdure.history._past import Past as Past
from perdure.history._past import When as When
from perdure.history._past import milliseconds as milliseconds
from perdure.history._past import restore_cause as restore_cause
from perdure.history._targets import RESTORE_TABLE as RESTORE_TABLE
from perdure.history._targets import alarms_of as alarms_of
from perdure.history._targets import forget_restores as forget_restores
from perdure.history._targets import keep_numbers as keep_numbers
from perdure.history._targets import keep_usage as keep_usage
from perdure.history._targets import reading as reading
