"""What a configuration says, as plain values. Effects: none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from perdure.config._tree import Place

ModuleKind = Literal["js", "cjs", "py", "ts", "tsx", "jsx", "text", "data", "json"]


@dataclass(frozen=True, slots=True)
class ConfiguredNamespace:
    """`env.<name>` is the namespace of a class, of this worker or of the one called `script_name`."""

    name: str
    class_name: str
    script_name: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class ConfiguredService:
    """`env.<name>` is an entry point of the worker called `service`, the default one without a name."""

    name: str
    service: str
    entrypoint: str | None
    props: object
    place: Place


@dataclass(frozen=True, slots=True)
class ConfiguredLoader:
    """`env.<name>` loads dynamic workers."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Rename:
    """The objects of class `old`, of another worker when `script` says so, are those of class `new` from now on."""

    old: str
    new: str
    script: str | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """One step in the history of a worker's classes; it is applied once."""

    tag: str
    new: Sequence[str] = ()
    renamed: Sequence[Rename] = ()
    transferred: Sequence[Rename] = ()
    deleted: Sequence[str] = ()
    place: Place = field(default=Place(""), compare=False)

    def steps(self) -> dict[str, object]:
        """What it does, to be remembered and compared."""
        return {
            "new": sorted(self.new),
            "renamed": [[rename.old, rename.new] for rename in self.renamed],
            "transferred": [[move.script, move.old, move.new] for move in self.transferred],
            "deleted": sorted(self.deleted),
        }


@dataclass(frozen=True, slots=True)
class Rule:
    """Files that match one of `globs` are modules of this kind."""

    kind: ModuleKind
    globs: Sequence[str]


@dataclass(frozen=True, slots=True)
class Config:
    """One worker, as its folder configures it. Paths are as they are written, relative to the file's folder."""

    file: str
    name: str
    main: str
    main_place: Place
    compatibility_date: str | None = None
    base_dir: str | None = None
    is_trusted: bool = False
    data: str | None = None
    hosts: Sequence[str] = ()
    outbound_allow: Sequence[str] = ()
    """Names that `fetch()` reaches wherever they are; other than these, public addresses only."""
    cpu_ms: int | None = None
    variables: Mapping[str, object] = field(default_factory=dict)
    namespaces: Sequence[ConfiguredNamespace] = ()
    services: Sequence[ConfiguredService] = ()
    loaders: Sequence[ConfiguredLoader] = ()
    migrations: Sequence[Migration] = ()
    rules: Sequence[Rule] = ()
    warnings: Sequence[str] = ()
