"""Every number that bounds something, with its reason.

A limit the reference system documents keeps its value unless the comment says why not.
Effects: none.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# ── names and ids (spec 1.1, 4.1) ────────────────────────────────────────────────────────────────────────────
OBJECT_NAME_KEPT_BYTES_MAX: Final = 1024  # a longer name works, but `ctx.id.name` is None
FACET_NAME_BYTES_MAX: Final = 256
FACET_DEPTH_MAX: Final = 4  # the root counts as one
FACETS_PER_ROOT_MAX: Final = 1_000_000  # ever made: numbers are never used twice. 65,535 are too few for many-user apps
FACET_TRANSACTION_WAIT_S: Final = 10.0  # a new facet for its root's transaction(), which may be waiting for that facet
FACET_LIST_PAGE_NAMES: Final = 1_000  # names fetched per host call while facets are listed

# ── values and messages ──────────────────────────────────────────────────────────────────────────────────────
VALUE_DEPTH_MAX: Final = 128  # nesting of one value; each level takes four frames of Python, which allows 1,000
VALUE_SHARED_DEPTH_MAX: Final = 64  # of one some part of which stands in several places: that takes more frames
RPC_MESSAGE_BYTES_MAX: Final = 32 * MIB
BODY_BYTES_MAX: Final = 8 * MIB  # buffered, and larger ones would hold the event loop for too long
STREAM_CHUNK_BYTES_MAX: Final = 64 * KIB  # of a body under way, in one turn of a guest; short enough for the event loop
STREAMS_OPEN_MAX: Final = 1_000  # that one guest and the host hold of each other, each way
BODY_AT_ONCE_BYTES: Final = (
    256 * KIB
)  # of a request that says its length: shorter ones wake nobody before they are here
URL_BYTES_MAX: Final = 16 * KIB
HEADERS_MAX: Final = 256  # lines of one message
HEADERS_BYTES_MAX: Final = 128 * KIB  # names and values together
FORM_FIELDS_MAX: Final = 1_000
BIGINT_DIGITS_MAX: Final = 4_300  # what Python itself converts; reading decimal digits is quadratic
CALL_ARGUMENTS_MAX: Final = 255
RPC_PATH_STEPS_MAX: Final = 64  # of `stub.a.b.c`
KEPT_STUBS_DEPTH_MAX: Final = 16  # of stubs in props of stubs that a guest names: each is read inside another
RPC_CAPABILITIES_MAX: Final = 10_000  # that one side of a session holds of the other's: each keeps something in memory
ERROR_PROPERTIES_MAX: Final = 32  # of its own that an error takes along; the rest is left behind
ERROR_PROPERTIES_BYTES_MAX: Final = 8 * KIB  # of them together
JSON_VALUES_MAX: Final = 250_000  # in one message of a guest: while it is parsed, 30 ms, no other thread goes on
INLINE_VALUES_MAX: Final = 2_000  # what holds more, or 128 KiB of text, is converted beside the event loop
VALUE_COPIES_MAX: Final = 250_000  # what the shared parts of one value become where each place gets a copy: 0.1 s
SPARSE_ITEMS_MAX: Final = 250_000  # of the arrays with holes in one value: in Python each hole is an item
COLLISIONS_MAX: Final = 64  # keys of one map whose hashes are equal: looking among them is quadratic

# ── storage (spec 3.3, 3.7) ──────────────────────────────────────────────────────────────────────────────────
KV_ENTRY_BYTES_MAX: Final = 2 * MIB  # key and value together
KV_BATCH_KEYS_MAX: Final = 10_000  # of one get, put or delete: the reference has 128, its batches cross a network
KV_LIST_PAGE_ROWS: Final = 128  # rows fetched per host call while listing
KV_LIST_PAGE_BYTES: Final = 4 * MIB  # of values per host call: no more is read once it is reached
TRANSACTION_DEPTH_MAX: Final = 64  # savepoints inside each other, as critical sections
ROOT_UNACKNOWLEDGED_BYTES_MAX: Final = 8 * MIB  # of pages that wait for the journal; above it no new event starts
JOURNAL_BATCH_RECORDS_MAX: Final = 512  # in one transaction of the journal: whoever waits behind it waits for it
JOURNAL_RECORD_BYTES_MAX: Final = 512 * MIB  # SQLite takes no blob above 1 GB; one commit must fit
JOURNAL_CHECKPOINT_BYTES: Final = 4 * MIB  # of the journal's own -wal (docs/decisions/0002-journal-engine.md)
JOURNAL_RESEND_FIRST_MS: Final = 10  # until an append is sent again of which nobody can tell whether it was written
JOURNAL_RESEND_MS_MAX: Final = 1_000  # the wait doubles up to this: a journal in trouble is not asked without a pause
JOURNAL_BYTES_SOFT_MAX: Final = 256 * MIB  # records the journal keeps, of all objects, before idle ones are compacted
JOURNAL_HISTORY_BYTES_SOFT_MAX: Final = 256 * MIB  # forgotten records the journal keeps before they become files
HISTORY_AGE_DAYS_DEFAULT: Final = 30  # as far as the reference's point-in-time recovery goes back
HISTORY_BYTES_DEFAULT: Final = 64 * MIB  # of one object's records in its history, compressed
HISTORY_COLLECTED_BYTES: Final = 1 * MIB  # of one object's forgotten records, which then become a file
HISTORY_SEGMENT_BYTES: Final = 8 * MIB  # of one file of the history, unless a single record is larger
STORAGE_THREADS: Final = 4  # they wait for the disk, so more than there are processors
COMPACTION_LOG_BYTES_MIN: Final = 1 * MIB  # of one root's records; then its files are synced
COMPACTION_LOG_BYTES_MAX: Final = 8 * MIB  # whatever the size of its files: one step must stay short
RECORDS_READ_BYTES: Final = 4 * MIB  # of records that are read back from the journal at once
DIFF_ROWS_MAX: Final = 1_000  # keys per table, and of each kind, that a comparison of two states lists
DIFF_SQL_STEPS_MAX: Final = 500_000_000  # of SQLite's machine, for comparing one database with its past: some 10 s
BUNDLE_DATABASES_MAX: Final = 10_000  # in one exported object
BUNDLE_MANIFEST_BYTES_MAX: Final = 8 * MIB
COMMITS_LISTED_MAX: Final = 1_000  # of an object, unless more are asked for
PAST_ROWS_MAX: Final = 100_000  # that one question about the past may answer
CAUSE_CHARACTERS_MAX: Final = 200  # of what a record says led to it, besides a facet's name
REWRITE_BYTES_MAX: Final = 256 * MIB  # of pages that a rewind or a clone changes: they are one record, and in memory
DATABASE_BYTES_MAX: Final = 10 * 1024 * MIB  # of each object and each facet
TREE_BYTES_MAX: Final = (
    10 * 1024 * MIB
)  # of a root object with all its facets, unless the platform's owner says otherwise
UNIT_BYTES_LIKELY_MAX: Final = 1024 * MIB  # of one turn: SQLite is not full because of a quota further away
SQL_TEXT_BYTES_MAX: Final = 100_000
SQL_VARIABLES_MAX: Final = 32_766  # SQLite's own
SQL_ROW_BYTES_MAX: Final = 4 * MIB
SQL_COLUMNS_MAX: Final = 100  # a row is made whole, and each of its values may have the size of a row
SQL_EXPRESSION_DEPTH_MAX: Final = 100
SQL_COMPOUND_TERMS_MAX: Final = 500  # SQLite's own: 5 of the reference are too few for rows written as SELECTs
SQL_FUNCTION_ARGUMENTS_MAX: Final = 127
SQL_TRIGGER_DEPTH_MAX: Final = 10
SQL_PROGRAM_STEPS_MAX: Final = 25_000  # of one compiled statement: the deadline is not looked at before one loops
SQL_LIKE_PATTERN_BYTES_MAX: Final = 50  # matching takes text times pattern, and no deadline interrupts it
SQL_JSON_PATCH_WORK_MAX: Final = 256 * MIB  # bytes of both documents times members of the patch: 0.1 s
SQL_MARKED_BYTES_MAX: Final = 256 * KIB  # of text in one call of `highlight` or `snippet`: 0.1 s in one step
SQL_MARKED_WORK_MAX: Final = 2_000_000  # tokens of the row times phrases of the query, in one of these calls
SQL_STATEMENT_HEAP_BYTES_MAX: Final = 256 * MIB  # that SQLite may allocate for one statement of a guest
SQL_ROW_COLUMNS_SURELY_FIT: Final = 16  # of the largest size, in a row as Python holds it
SQL_TEMPORARY_FREE_BYTES_MIN: Final = 1024 * MIB  # what a long statement leaves free where SQLite sorts
SQL_TEMPORARY_LOOKS: Final = 4  # looks at the deadline for each look at that: 200 rows of the largest size
SQL_DEADLINE_STEPS: Final = 1_000  # steps of SQLite's machine between two looks at the deadline
SQL_DRAIN_STEPS_MAX: Final = 1_000_000  # what reading the cursors left open at the end of a turn may take
SQL_PAGE_ROWS: Final = 256  # rows fetched per host call while a cursor is read
SQL_PAGE_BYTES: Final = 256 * KIB
SQL_OPEN_CURSORS_MAX: Final = 64  # per object; the oldest is closed
SQL_CURSOR_BUFFER_BYTES_MAX: Final = 4 * MIB  # what all cursors still open at the end of their turn may keep

# ── isolates ─────────────────────────────────────────────────────────────────────────────────────────────────
CPU_MS_DEFAULT: Final = 2_000  # per delivered event, and for loading the code
CPU_MS_MAX: Final = 300_000
MEMORY_BYTES_DEFAULT: Final = 128 * MIB
MEMORY_BYTES_MIN: Final = 16 * MIB
GUEST_STACK_BYTES: Final = 4 * MIB  # a guest may run on the main thread, whose 8 MiB hold our own frames too
GUEST_JAVASCRIPT_STACK_BYTES: Final = (
    160 * KIB
)  # of QuickJS's own count, a 24th: recursion ends in a RangeError, never in a trap
WORKER_THREAD_STACK_BYTES: Final = 16 * MIB
WORKER_THREADS_MAX: Final = 8  # guests that compute at the same time, whatever the number of cores
WORKER_THREAD_NICE: Final = 5  # they yield to the event loop
INLINE_CPU_MS: Final = 25  # a turn that was thought short may hold the event loop this long, then it is ended
INLINE_SHORT_MS: Final = 2.0  # what counts as short
INLINE_LONG_MS: Final = 10.0  # a turn on the event loop that takes longer costs its code as much trust as an overrun
THREAD_LONG_MS: Final = 100.0  # code whose turns take longer gets half of the worker threads at most
INSTANCES_READY: Final = 4  # made ahead per language
HOST_CALL_BYTES_MAX: Final = 16 * MIB  # one argument of one host call: copying it stops every other thread for 10 ms
HOST_CALLS_PER_TURN_MAX: Final = 1_000_000
GUEST_REPORT_BYTES_MAX: Final = RPC_MESSAGE_BYTES_MAX + MIB
LOG_LINE_BYTES_MAX: Final = 8 * KIB  # the rest of the line is cut, and says so
LOG_LINES_PER_TURN_MAX: Final = 1_000
CODE_BYTES_MAX: Final = 64 * MIB
ENV_BYTES_MAX: Final = 1 * MIB
ISOLATE_IDLE_S: Final = 10.0  # of a stateless worker; what keeps itself busy goes as objects do (`FORGOTTEN_S`)
ISOLATES_LIVE_MAX: Final = 4_096
ISOLATES_MEMORY_BYTES_MAX: Final = 2_048 * MIB  # of objects and facets
TRANSLATION_CPU_MS_MAX: Final = 5_000  # for one TypeScript or JSX module: 17 ms for each KiB
TRANSLATED_CHARACTERS_MAX: Final = 16 * MIB  # of JavaScript that was made from TypeScript, kept for the next instance
FETCH_REDIRECTS_MAX: Final = 20  # that one fetch() follows, as browsers do
FETCH_S: Final = 60.0  # for one fetch() of a guest, redirects included, whatever its fetcher waits for
FETCH_CONNECT_S: Final = 10.0  # looking a name up, connecting and TLS
FETCH_IDLE_S: Final = 30.0  # between two bytes of an answer, and for a free connection
FETCH_CONNECTIONS_MAX: Final = 256  # to the internet, of all guests with the same way out
FETCH_KEPT_CONNECTIONS_MAX: Final = 64  # that wait for another request to the same origin
FETCH_KEPT_S: Final = 15.0  # how long they wait
FETCH_LOOKUPS_MAX: Final = 8  # threads on which names are looked up: a slow resolver holds up nobody else
SUBREQUESTS_DEFAULT: Final = 1_000  # requests and calls that one event of a stateless entry point sends
SUBREQUESTS_MAX: Final = 1_000_000
WALL_MS_DEFAULT: Final = 15 * 60 * 1000  # of one event of a stateless entry point, as of an alarm
TAIL_LOG_BYTES_MAX: Final = 256 * KIB  # of one event's log that its tails are told
TAIL_S: Final = 30.0  # for one call of a tail
TAILS_WAITING_MAX: Final = 1_000  # calls of tails under way; what comes on top is not told
LOADER_CALLBACK_S: Final = 30.0  # for a function given to `LOADER.get` to come up with the code
LOADER_MEMORY_BYTES_MAX: Final = 512 * MIB  # beside them, of isolates that answer dynamic workers' entry points
GUEST_PENDING_OPERATIONS_MAX: Final = 1_024  # remote calls and timers one guest may have under way
GUEST_RETURNS_S: Final = 0.004  # until a guest is told that its callbacks were given back, if no turn comes before
GUEST_TIMER_MS_MIN: Final = 4.0  # before a timer's turn, as in browsers: one that starts itself again must not spin
GUEST_FACETS_LIVE_MAX: Final = 256  # of one root object, when sandboxed code starts another: each holds an isolate
FACET_EVENTS_WAITING_MAX: Final = 1_000  # that a supervisor has not read yet; older ones are lost
GUEST_STUBS_MAX: Final = 4_096  # used stubs one guest may hold: each keeps the instance it reached, broken or not
GUEST_LOADED_CODE_BYTES_MAX: Final = 64 * MIB  # of dynamic workers that one guest holds; they may outlive its turn
GUEST_LOAD_CALLBACKS_MAX: Final = 1_000  # of worker ids whose code the host may ask for again; the oldest go
GUEST_EXPORTS_MAX: Final = 1_000  # names one module may export: error texts list them

# ── objects (spec 1.8, 1.10, 2) ──────────────────────────────────────────────────────────────────────────────
IDLE_EVICTION_S: Final = 10.0
FORGOTTEN_S: Final = 105.0  # without a call, timers alone keep no object or worker in memory; workerd: 70 to 140 s
BACKGROUND_WORK_S: Final = 15 * 60.0  # without a call, that `wait_until` keeps an object in memory; or loans a worker
BLOCK_CONCURRENCY_TIMEOUT_S: Final = 30.0
BLOCK_CONCURRENCY_DEPTH_MAX: Final = 64
SECTIONS_WAITING_MAX: Final = 1_000  # critical sections that wait inside one object
OUTPUT_LOCK_TIMEOUT_S: Final = 30.0
INPUT_QUEUE_MAX: Final = 1_000  # events waiting at one object's gate; one more is refused as overloaded
OBJECTS_PER_NAMESPACE_MAX: Final = 1_000_000  # unless the platform's owner says otherwise: a URL can make an object
NEW_OBJECTS_PER_MINUTE_MAX: Final = 60_000  # of one namespace, and at once; above what a busy platform sees
LIVE_OBJECTS_MAX: Final = 20_000
USAGE_WRITTEN_S: Final = 10.0  # so much metering a crash may lose: one append for each root object in that time
USAGE_ROWS_PER_UNIT_MAX: Final = 1_000  # totals written in one step of the loop, where a root of trusted code waits
USAGE_WRITES_AT_ONCE_MAX: Final = 64  # root objects whose totals are being written
USAGE_STOP_S: Final = 10.0  # a stop waits so long for the journal to take the last totals
VISIT_ON_LOOP_S: Final = 0.5  # what an operator's query may hold up everybody, at a live object of trusted code
VISIT_ASIDE_S: Final = 30.0  # and what it may take on a thread, where only its object waits

# ── alarms (spec 3.9) ────────────────────────────────────────────────────────────────────────────────────────
ALARM_RETRIES_MAX: Final = 6  # counted failures that are followed by another attempt
ALARM_RETRY_MS: Final = 2_000  # before the first of them; each later delay is twice the one before
ALARM_RETRY_EXPONENT_MAX: Final = 9  # 17 minutes, for failures that are not counted and so never end
ALARM_JITTER: Final = 0.25  # up to this much of a delay comes on top, so that those that failed together part
ALARM_RUN_S_MAX: Final = 15 * 60.0  # of wall time, for one run of a handler; then its object is reset
ALARM_MS_MAX: Final = 253_402_300_799_999  # the last millisecond of the year 9999, after which Python has no dates
ALARMS_STARTING_MAX: Final = 32  # in their first second: after a long stop everything is overdue at once
ALARM_STARTING_S: Final = 1.0  # a handler that runs longer waits for something, and is in nobody's way
ALARMS_RUNNING_MAX: Final = 1_024  # each holds its object in memory
ALARMS_MISSED_KEPT_MAX: Final = 10_000  # alarms whose uncounted failures are remembered, for the next delay
ALARM_LOOK_S_MAX: Final = 30.0  # between two looks at the wall clock, which may jump
ALARM_CLASS_MISSING_MS: Final = 300_000  # until the next look at an alarm whose class is not defined

# ── the server ───────────────────────────────────────────────────────────────────────────────────────────────
CONFIG_BYTES_MAX: Final = 1 * MIB  # characters of one configuration file; people write them
CONFIG_DEPTH_MAX: Final = 64  # levels of values in it: reading one takes two frames of Python
PROJECT_FILES_MAX: Final = 10_000  # looked at below the folder of a worker's `main`
DRAIN_S: Final = 30.0  # how long a stop waits for requests under way
ADMIN_REQUEST_BYTES_MAX: Final = 1 * MIB  # one line on the operator's socket
ADMIN_ANSWER_BYTES_MAX: Final = 4 * MIB  # of rows or entries: they are collected while the object waits
ADMIN_ITEMS_DEFAULT: Final = 1_000  # rows, entries or objects of one answer
ADMIN_ITEMS_MAX: Final = 10_000
ADMIN_CONNECTIONS_MAX: Final = 16  # operators at the same time; one more is told to wait
ADMIN_IDLE_S: Final = 30.0  # a connection that asks nothing for so long is closed

# ── sessions of Cap'n Web with foreign peers ─────────────────────────────────────────────────────────────────
CAPNWEB_TABLE_MAX: Final = 10_000  # capabilities of one session, each way: a peer that releases none is cut off
CAPNWEB_CALLS_MAX: Final = 10_000  # calls of one peer under way: each has a task
CAPNWEB_MAP_STEPS_MAX: Final = 100_000  # elements times instructions of one `map()`: its steps hold the event loop
CAPNWEB_WORK_VALUES_MAX: Final = JSON_VALUES_MAX + 10_000  # copied for one peer at once, and owed: one whole message
CAPNWEB_WORK_VALUES_PER_S: Final = 1_000_000  # copied for one peer in the long run; a core does a few million
CAPNWEB_WORK_STEP_VALUES: Final = 10_000  # after so many values, some 10 ms, everybody else has a turn
CAPNWEB_WORK_MESSAGE_VALUES: Final = 10  # what the smallest message costs, as if it were so many values
CAPNWEB_HELD_VALUES_MAX: Final = 4 * JSON_VALUES_MAX  # in results that one peer does not release: some 50 MB
CAPNWEB_STREAM_WINDOW_BYTES: Final = 1 * MIB  # of one stream that the peer has not taken yet; then its source waits
CAPNWEB_HELD_BYTES_MAX: Final = 2 * RPC_MESSAGE_BYTES_MAX  # of messages whose calls last, or that a peer keeps
CAPNWEB_OUTBOX_BYTES_MAX: Final = 2 * RPC_MESSAGE_BYTES_MAX  # of messages that a slow peer has not taken: it is cut off
CAPNWEB_CLOSE_S: Final = 5.0  # for the last messages of a session, and the disposers of what its peer held
CAPNWEB_BATCH_ANSWER_BYTES_MAX: Final = 2 * RPC_MESSAGE_BYTES_MAX  # that a client reads
CAPNWEB_BATCH_ANSWER_S: Final = 60.0  # between two pieces of the answer to a batch
CAPNWEB_BATCH_MESSAGES_MAX: Final = 10_000  # lines of one HTTP batch
WEBSOCKET_MESSAGE_BYTES_MAX: Final = RPC_MESSAGE_BYTES_MAX
WEBSOCKET_QUEUE_BYTES_MAX: Final = 2 * WEBSOCKET_MESSAGE_BYTES_MAX  # sent, and not taken by the other end
WEBSOCKET_QUEUE_BYTES_SOFT: Final = 256 * KIB  # from which on a sender that can wait does so
WEBSOCKET_QUEUE_MESSAGES_MAX: Final = 100_000  # small ones cost more than their bytes
WEBSOCKET_OPEN_S: Final = 10.0  # for the handshake of a connection that we make
