"""Population: how many objects a namespace has, and how fast new ones may come.

A name in a URL makes an object, so whoever sends requests could make files without end. An object counts from its
first start on, or from the moment a fork, an import or a rewind begins to make it; what came to nothing counts no
longer. Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from perdure.api import FacetLimits
from perdure.errors import ConfigurationError, QuotaExceededError
from perdure.limits import NEW_OBJECTS_PER_MINUTE_MAX, OBJECTS_PER_NAMESPACE_MAX, TREE_BYTES_MAX

_MINUTE_S = 60.0

Key = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class NamespaceQuota:
    """What bounds the objects of one class; None is no bound.

    `objects`: how many exist. `new_objects_per_minute`: that many may come at once, and as many each minute.
    `limits`: of each object, as FacetLimits are of a facet: its own database, its whole tree, its facets. Unless they
    are given, an object and all its facets may have 10 GiB together.
    """

    objects: int | None = OBJECTS_PER_NAMESPACE_MAX
    new_objects_per_minute: int | None = NEW_OBJECTS_PER_MINUTE_MAX
    limits: FacetLimits = field(default_factory=lambda: FacetLimits(tree_bytes=TREE_BYTES_MAX))

    def __post_init__(self) -> None:
        for name in ("objects", "new_objects_per_minute"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ConfigurationError(
                    f"NamespaceQuota.{name} is `{value!r}`: it is a whole number from 0 on, or None"
                )


class Population:
    """The objects of one namespace; `count` is how many there were at the start."""

    __slots__ = ("_at_s", "_quota", "_scope", "_tokens", "count")

    def __init__(self, quota: NamespaceQuota, *, scope: str, count: int, now_s: float) -> None:
        self.count = count
        self._quota = quota
        self._scope = scope
        self._tokens = float(quota.new_objects_per_minute or 0)
        self._at_s = now_s

    def admit(self, *, now_s: float) -> None:
        """One more object comes. Raises QuotaExceededError."""
        objects, rate = self._quota.objects, self._quota.new_objects_per_minute
        if objects is not None and self.count >= objects:
            raise QuotaExceededError(
                f"`{self._scope}` has {self.count} objects, its quota `objects` is {objects}: delete some, or raise it "
                "with NamespaceOptions(quota=NamespaceQuota(objects=…))",
                quota="objects",
                scope=self._scope,
                used=self.count,
                bound=objects,
            )
        if rate is not None:
            self._refill(rate, now_s)
            if self._tokens < 1:
                raise QuotaExceededError(
                    f"`{self._scope}` may have {rate} new objects each minute (`new_objects_per_minute`), and they "
                    "have come: try again in a minute, or raise the quota",
                    quota="new_objects_per_minute",
                    scope=self._scope,
                    used=rate,
                    bound=rate,
                )
            self._tokens -= 1
        self.count += 1

    def withdraw(self) -> None:
        """An object that was admitted stored nothing: it is as if it had never come."""
        self.count -= 1
        if self._quota.new_objects_per_minute is not None:
            self._tokens = min(self._tokens + 1, float(self._quota.new_objects_per_minute))

    def died(self) -> None:
        """An object was deleted."""
        self.count = max(0, self.count - 1)

    def _refill(self, rate: int, now_s: float) -> None:
        self._tokens = min(float(rate), self._tokens + (now_s - self._at_s) * rate / _MINUTE_S)
        self._at_s = now_s


class Census:
    """The populations of all namespaces, and who is just coming. An object counts once, however many bring it."""

    __slots__ = ("_arriving", "_count_objects", "_now_s", "_populations")

    def __init__(self, count_objects: Callable[[str], int], now_s: Callable[[], float]) -> None:
        self._count_objects = count_objects
        self._now_s = now_s
        self._populations: dict[str, Population] = {}
        self._arriving: dict[Key, int] = {}

    def population(self, namespace: str, quota: NamespaceQuota) -> Population:
        """Those of one namespace; they are counted when somebody asks first."""
        population = self._populations.get(namespace)
        if population is None:
            count = self._count_objects(namespace)
            population = Population(quota, scope=namespace, count=count, now_s=self._now_s())
            self._populations[namespace] = population
        return population

    def arrive(self, key: Key, quota: NamespaceQuota) -> None:
        """Somebody may bring an object that does not exist, and says by `settle` what came of it.

        Raises QuotaExceededError when it would be one too many.
        """
        bringing = self._arriving.get(key, 0)
        if not bringing:
            self.population(key[0], quota).admit(now_s=self._now_s())
        self._arriving[key] = bringing + 1

    def settle(self, key: Key, *, exists: bool) -> None:
        """Whoever brought an object has done so, or not; the last of them decides whether it counts."""
        self._arriving[key] -= 1
        if not self._arriving[key]:
            del self._arriving[key]
            if not exists:
                self._populations[key[0]].withdraw()

    def died(self, key: Key) -> None:
        """An object was deleted. While somebody brings it anew, it goes on to count."""
        population = self._populations.get(key[0])
        if population is not None and key not in self._arriving:
            population.died()
