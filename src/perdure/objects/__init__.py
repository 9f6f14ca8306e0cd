"""Objects: ids, gates, life cycle, actors, facets; answers what guests ask. Effects: disk, tasks, timers."""

from perdure.objects._actor import CURRENT as CURRENT
from perdure.objects._actor import Actor as Actor
from perdure.objects._actor import leave_caller as leave_caller
from perdure.objects._actor import place_of as place_of
from perdure.objects._alarm_delivery import AlarmDelivery as AlarmDelivery
from perdure.objects._alarms import Alarms as Alarms
from perdure.objects._directory import Directory as Directory
from perdure.objects._entrypoints import ENTRY_POINT as ENTRY_POINT
from perdure.objects._entrypoints import MakeContext as MakeContext
from perdure.objects._entrypoints import TrustedEntrypoint as TrustedEntrypoint
from perdure.objects._hosting import EventHost as EventHost
from perdure.objects._hosting import current_host as current_host
from perdure.objects._ids import IdFactory as IdFactory
from perdure.objects._namespaces import NamespaceOptions as NamespaceOptions
from perdure.objects._namespaces import ObjectNamespace as ObjectNamespace
from perdure.objects._population import NamespaceQuota as NamespaceQuota
from perdure.objects._travels import Travels as Travels
