"""Which classes of a worker have namespaces, and under which keys: migrations applied once and in order.

Pure: what was applied before comes in, what is to be done goes out. A key stays with its objects through every rename;
it names their files and makes their ids. Effects: none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from perdure.config._model import Config, Migration, Rename
from perdure.config._tree import Place


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One that was applied, as it was then."""

    tag: str
    steps: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class WorkerClasses:
    """What is remembered of one worker: its migrations so far, and the key of each class that has a namespace."""

    applied: Sequence[AppliedMigration] = ()
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be remembered afterwards, of all workers, and the keys whose objects are to be deleted first."""

    workers: Mapping[str, WorkerClasses]
    deleted: Sequence[str] = ()


def plan(configs: Iterable[Config], remembered: Mapping[str, WorkerClasses]) -> Plan:
    """Apply what has not been applied yet. Raises ConfigurationError at the migration that does not fit."""
    planner = _Planner(remembered)
    todo = [(config, planner.begin(config)) for config in configs]
    # Those that give a class away go first, whatever the order of the folders.
    for config, migrations in sorted(todo, key=lambda item: any(step.transferred for step in item[1])):
        for migration in migrations:
            planner.apply(config, migration)
    for config, _ in todo:
        planner.check_bound(config)
    return Plan({name: planner.worker(name) for name in planner.keys}, planner.deleted)


class _Planner:
    def __init__(self, remembered: Mapping[str, WorkerClasses]) -> None:
        self.keys = {name: dict(worker.keys) for name, worker in remembered.items()}
        self.applied = {name: list(worker.applied) for name, worker in remembered.items()}
        self.deleted: list[str] = []

    def worker(self, name: str) -> WorkerClasses:
        return WorkerClasses(self.applied[name], self.keys[name])

    def begin(self, config: Config) -> Sequence[Migration]:
        """The migrations still to be applied: those applied must be there, unchanged, before them."""
        self.keys.setdefault(config.name, {})
        applied = self.applied.setdefault(config.name, [])
        for index, old in enumerate(applied):
            if index >= len(config.migrations):
                Place(config.file).refuse(
                    f"migration `{old.tag}` was applied to worker `{config.name}`, and is not in `migrations` any "
                    "more: put it back; to take a class away, add a migration with `deleted_classes`"
                )
            new = config.migrations[index]
            if new.tag != old.tag:
                new.place.refuse(
                    f"migration `{old.tag}` was applied to worker `{config.name}` in this place, not `{new.tag}`: "
                    "applied ones stay, in their order; add new ones behind them"
                )
            if new.steps() != dict(old.steps):
                new.place.refuse(
                    f"migration `{old.tag}` was applied to worker `{config.name}` and has been edited since: put it "
                    f"back as it was ({_described(old.steps)}), and add a new one behind it"
                )
        return config.migrations[len(applied) :]

    def apply(self, config: Config, migration: Migration) -> None:
        keys = self.keys[config.name]
        for name in migration.new:
            self._check_free(config, migration, name)
            keys[name] = self._free_key(f"{config.name}-{name}")
        for rename in migration.renamed:
            self._check_there(config, migration, config.name, rename.old)
            self._check_free(config, migration, rename.new)
            keys[rename.new] = keys.pop(rename.old)
        for move in migration.transferred:
            self._transfer(config, migration, move)
        for name in migration.deleted:
            self._check_there(config, migration, config.name, name)
            self.deleted.append(keys.pop(name))
        self.applied[config.name].append(AppliedMigration(migration.tag, migration.steps()))

    def _transfer(self, config: Config, migration: Migration, move: Rename) -> None:
        script = move.script or ""
        self._check_there(config, migration, script, move.old)
        self._check_free(config, migration, move.new)
        self.keys[config.name][move.new] = self.keys[script].pop(move.old)

    def _check_there(self, config: Config, migration: Migration, script: str, name: str) -> None:
        known = self.keys.get(script, {})
        if name not in known:
            there = ", ".join(f"`{other}`" for other in sorted(known)) or "none"
            whose = f"worker `{script}`" if script != config.name else f"worker `{script}` by then"
            migration.place.refuse(
                f"migration `{migration.tag}` names the class `{name}`, which has no namespace in {whose}; those that "
                f"have one: {there}"
            )

    def _check_free(self, config: Config, migration: Migration, name: str) -> None:
        if name in self.keys[config.name]:
            migration.place.refuse(
                f"migration `{migration.tag}`: the class `{name}` has a namespace already, which would be lost; rename "
                "it away or delete it first"
            )

    def _free_key(self, wanted: str) -> str:
        """A key that nobody has: a class that was renamed has kept its own."""
        taken = {key for keys in self.keys.values() for key in keys.values()}
        number, key = 1, wanted
        while key in taken:
            number += 1
            key = f"{wanted}-{number}"
        return key

    def check_bound(self, config: Config) -> None:
        """Every class that is bound has a namespace by now."""
        for binding in config.namespaces:
            script = binding.script_name or config.name
            known = self.keys.get(script)
            if known is None:
                binding.place.refuse(
                    f"`{binding.name}` is bound to class `{binding.class_name}` of worker `{script}`, which is not "
                    "here: name its folder, too, as in `perdure dev FOLDER OTHER`"
                )
            if binding.class_name in known:
                continue
            if any(binding.class_name in migration.deleted for migration in config.migrations):
                binding.place.refuse(
                    f"`{binding.name}` is bound to class `{binding.class_name}`, which `deleted_classes` deletes: take "
                    "the binding away first"
                )
            binding.place.refuse(
                f"`{binding.name}` is bound to class `{binding.class_name}`, for which worker `{script}` has no "
                f'migration: add one, such as {{"tag": "v{len(config.migrations) + 1}", "new_sqlite_classes": '
                f'["{binding.class_name}"]}}'
            )


def _described(steps: Mapping[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in steps.items() if value) or "without a step"
