"""The configuration of one worker: the text of wrangler.jsonc, .json or .toml, or of pyproject.toml, read and checked.

Every error says where it is. A key that means nothing here is warned about by its name. Effects: none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Final

from perdure.config._elsewhere import KNOWN, SILENT
from perdure.config._jsonc import read_jsonc
from perdure.config._model import (
    Config,
    ConfiguredLoader,
    ConfiguredNamespace,
    ConfiguredService,
    Migration,
    ModuleKind,
    Rename,
    Rule,
)
from perdure.config._table import Table
from perdure.config._toml import read_toml
from perdure.config._tree import Node, Place
from perdure.limits import CONFIG_BYTES_MAX, CPU_MS_MAX

DEFAULT_NAME: Final = "worker"
"""What a worker without a name is called, as the reference system's local one."""

_OWN_TABLE: Final = "perdure"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_RULES: Final[dict[str, ModuleKind]] = {
    "ESModule": "js",
    "CommonJS": "cjs",
    "PythonModule": "py",
    "Text": "text",
    "Data": "data",
}


def read_config(text: str, file: str, *, environment: str | None = None) -> Config | None:
    """What `text` configures; `file` names it, for errors too. None for a pyproject.toml without `[tool.perdure]`.

    `environment` chooses one of its `env` tables. Raises ConfigurationError.
    """
    if len(text) > CONFIG_BYTES_MAX:
        Place(file).refuse(f"a configuration has at most {CONFIG_BYTES_MAX} characters, this has {len(text)}")
    if not file.endswith(".toml"):
        return _Reader(Table(read_jsonc(text, file)), file).config(environment)
    tree = read_toml(text, file)
    if not file.endswith("pyproject.toml"):
        return _Reader(Table(tree), file).config(environment)
    tool = _inner(_inner(tree, "tool"), _OWN_TABLE)
    return None if tool is None else _Reader(Table(tool, f"tool.{_OWN_TABLE}"), file, own=True).config(environment)


def _inner(node: Node | None, key: str) -> Node | None:
    return node.value.get(key) if node is not None and isinstance(node.value, dict) else None


class _Reader:
    def __init__(self, table: Table, file: str, *, own: bool = False) -> None:
        self._table = table
        self._file = file
        self._own = own
        self._names: dict[str, Place] = {}
        self._warnings: list[str] = []

    def config(self, environment: str | None) -> Config:
        """The whole configuration, in one of its environments."""
        config = self._common()
        chosen = self._environment(environment)
        config = self._with_bindings(config, self._table if chosen is None else chosen)
        if chosen is not None:
            name = chosen.text("name") or f"{config.name}-{environment}"
            config = replace(config, name=_checked_name(name, chosen.place_of("name")))
            self._warn_of_unknown(chosen)
            self._ask_for_bindings(self._table)
        self._warn_of_unknown(self._table)
        return replace(config, warnings=tuple(self._warnings))

    def _common(self) -> Config:
        """What an environment inherits."""
        table = self._table
        main = table.required_text(
            "main", 'main = "worker.py"' if self._file.endswith(".toml") else '"main": "worker.js"'
        )
        own = table if self._own else table.table(_OWN_TABLE)
        config = Config(
            file=self._file,
            name=_checked_name(table.text("name") or DEFAULT_NAME, table.place_of("name")),
            main=main,
            main_place=table.place_of("main"),
            compatibility_date=self._date(),
            base_dir=table.text("base_dir"),
            is_trusted=own.flag("trusted") if own is not None else False,
            data=own.text("data") if own is not None else None,
            hosts=tuple(host for host, _ in own.texts("hosts")) if own is not None else (),
            outbound_allow=tuple(name for name, _ in own.texts("outbound_allow")) if own is not None else (),
            cpu_ms=self._cpu_ms(),
            migrations=self._migrations(),
            rules=self._rules(),
        )
        table.texts("compatibility_flags")
        if own is not None and own is not table:
            self._warn_of_unknown(own)
        if config.is_trusted and not main.endswith(".py"):
            table.place_of("main").refuse(f"`{main}` cannot be trusted: only Python runs in the process itself")
        return config

    def _date(self) -> str | None:
        text = self._table.text("compatibility_date")
        if text is None:
            return None
        try:
            date.fromisoformat(text)
        except ValueError:
            self._table.place_of("compatibility_date").refuse(
                f"`compatibility_date` is `{text[:40]}`: it is a date such as `2026-04-01`"
            )
        return text

    def _cpu_ms(self) -> int | None:
        limits = self._table.table("limits")
        if limits is None:
            return None
        cpu_ms = limits.number("cpu_ms", least=1, most=CPU_MS_MAX)
        self._warn_of_unknown(limits)
        return cpu_ms

    def _environment(self, name: str | None) -> Table | None:
        environments = self._table.table("env")
        if name is None:
            return None
        chosen = environments.table(name) if environments is not None else None
        if chosen is None:
            names = [] if environments is None else environments.keys()
            there = ", ".join(f"`{known}`" for known in names) or "none"
            self._table.place.refuse(f"there is no environment `{name}` in `env`; there are: {there}")
        return chosen

    # ── bindings ─────────────────────────────────────────────────────────────────────────────────────────────

    def _with_bindings(self, config: Config, table: Table) -> Config:
        variables = table.node("vars")
        if variables is not None and not isinstance(variables.value, dict):
            variables.place.refuse(f"`vars` is a table of names and values, not {variables.kind}")
        values = variables.value if variables is not None and isinstance(variables.value, dict) else {}
        for name, node in values.items():
            self._claim(name, node.place)
        return replace(
            config,
            variables={name: node.plain() for name, node in values.items()},
            namespaces=tuple(self._namespaces(table)),
            services=tuple(self._services(table)),
            loaders=tuple(self._loaders(table)),
        )

    def _ask_for_bindings(self, table: Table) -> None:
        """An environment does not inherit these, so what stands here is not unknown."""
        for key in ("vars", "durable_objects", "services", "worker_loaders"):
            table.node(key)

    def _namespaces(self, table: Table) -> Iterable[ConfiguredNamespace]:
        objects = table.table("durable_objects")
        if objects is None:
            return
        for binding in objects.tables("bindings"):
            name = self._binding_name(binding, "name")
            class_name = binding.required_text("class_name", "class_name: Room")
            _check_identifier(class_name, binding.place_of("class_name"), "class")
            if binding.text("environment") is not None:
                binding.place_of("environment").refuse(
                    "a binding names no environment here: all folders of one command have the same one (`--env`)"
                )
            yield ConfiguredNamespace(name, class_name, binding.text("script_name"), binding.place)
            self._warn_of_unknown(binding)
        self._warn_of_unknown(objects)

    def _services(self, table: Table) -> Iterable[ConfiguredService]:
        for binding in table.tables("services"):
            name = self._binding_name(binding, "binding")
            service = binding.required_text("service", "service: worker")
            props = binding.node("props")
            if props is not None and not isinstance(props.value, dict):
                props.place.refuse(f"`props` of a service is a table, not {props.kind}")
            binding.text("environment")
            yield ConfiguredService(
                name, service, binding.text("entrypoint"), {} if props is None else props.plain(), binding.place
            )
            self._warn_of_unknown(binding)

    def _loaders(self, table: Table) -> Iterable[ConfiguredLoader]:
        for binding in table.tables("worker_loaders"):
            yield ConfiguredLoader(self._binding_name(binding, "binding"), binding.place)
            binding.text("id")
            self._warn_of_unknown(binding)

    def _binding_name(self, table: Table, key: str) -> str:
        name = table.required_text(key, f"{key}: ROOM")
        self._claim(name, table.place_of(key))
        return name

    def _claim(self, name: str, place: Place) -> None:
        """Each name of `env` is there once."""
        _check_identifier(name, place, "name in `env`")
        if name in self._names:
            place.refuse(f"`env.{name}` is there twice, first at {self._names[name]}: rename one")
        self._names[name] = place

    # ── migrations and rules ─────────────────────────────────────────────────────────────────────────────────

    def _migrations(self) -> tuple[Migration, ...]:
        tags: dict[str, Place] = {}
        migrations = []
        for table in self._table.tables("migrations"):
            migration = self._migration(table)
            if migration.tag in tags:
                table.place.refuse(
                    f"the tag `{migration.tag}` is there twice, first at {tags[migration.tag]}: choose another"
                )
            tags[migration.tag] = table.place
            migrations.append(migration)
            self._warn_of_unknown(table)
        return tuple(migrations)

    def _migration(self, table: Table) -> Migration:
        old = table.texts("new_classes")
        if old:
            self._warnings.append(
                f"{old[0][1]}: `new_classes` makes classes with SQLite, as `new_sqlite_classes`: there is no other kind"
            )
        return Migration(
            tag=table.required_text("tag", "tag: v1"),
            new=_class_names([*old, *table.texts("new_sqlite_classes")]),
            renamed=[self._rename(item) for item in table.tables("renamed_classes")],
            transferred=[self._rename(item, script=True) for item in table.tables("transferred_classes")],
            deleted=_class_names(table.texts("deleted_classes")),
            place=table.place,
        )

    def _rename(self, table: Table, *, script: bool = False) -> Rename:
        old, new = table.required_text("from", "from: Old"), table.required_text("to", "to: New")
        for name, key in ((old, "from"), (new, "to")):
            _check_identifier(name, table.place_of(key), "class")
        rename = Rename(old, new, table.required_text("from_script", "from_script: worker") if script else None)
        self._warn_of_unknown(table)
        return rename

    def _rules(self) -> tuple[Rule, ...]:
        rules = []
        for table in self._table.tables("rules"):
            kind = table.required_text("type", "type: Text")
            if kind not in _RULES:
                table.place_of("type").refuse(
                    f"modules of type `{kind[:40]}` cannot be loaded; there are: {', '.join(_RULES)}"
                )
            globs = [glob for glob, _ in table.texts("globs")]
            if not globs:
                table.place.refuse("`globs` is missing: which files the rule is for, such as `**/*.md`")
            table.flag("fallthrough")
            rules.append(Rule(_RULES[kind], tuple(globs)))
            self._warn_of_unknown(table)
        return tuple(rules)

    def _warn_of_unknown(self, table: Table) -> None:
        for name, place, near in table.unknown():
            key = name.rpartition(".")[2]
            if key in SILENT:
                continue
            known = KNOWN.get(key)
            if known is not None:
                self._warnings.append(f"{place}: `{name}` is not used: {known}")
            else:
                meant = f"; did you mean `{near}`?" if near else ""
                self._warnings.append(f"{place}: `{name}` is not known here and is ignored{meant}")


def _checked_name(name: str, place: Place) -> str:
    if not _NAME.fullmatch(name):
        place.refuse(f"`{name[:80]}` is no name of a worker: it has 1 to 63 letters, digits, `-` and `_`")
    return name


def _check_identifier(name: str, place: Place, what: str) -> None:
    if not _IDENTIFIER.fullmatch(name):
        place.refuse(f"`{name[:80]}` is no {what}: it is made of letters, digits and `_`, and begins with a letter")


def _class_names(names: list[tuple[str, Place]]) -> tuple[str, ...]:
    for name, place in names:
        _check_identifier(name, place, "class")
    return tuple(dict.fromkeys(name for name, _ in names))
