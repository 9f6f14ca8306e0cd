"""The configuration of a worker: what is read, what is warned about, what is refused and where."""

from __future__ import annotations

import pytest
from tests.source_tree import ROOT

from perdure.config import KNOWN, Config, ConfiguredNamespace, Migration, Rename, Rule, read_config
from perdure.errors import ConfigurationError
from perdure.limits import CONFIG_BYTES_MAX

FULL = """{
  "$schema": "node_modules/wrangler/config-schema.json",
  "name": "shop", // its name
  "main": "src/index.js",
  "compatibility_date": "2026-04-01",
  "compatibility_flags": ["nodejs_compat"],
  "vars": { "WORD": "hello", "NUMBERS": [1, 2, { "a": null }] },
  "durable_objects": { "bindings": [
    { "name": "CART", "class_name": "Cart" },
    { "name": "STOCK", "class_name": "Stock", "script_name": "store" },
  ] },
  "services": [{ "binding": "AUTH", "service": "auth", "entrypoint": "Admin", "props": { "level": 2 } }],
  "worker_loaders": [{ "binding": "LOADER" }],
  "migrations": [
    { "tag": "v1", "new_sqlite_classes": ["Cart"] },
    { "tag": "v2", "renamed_classes": [{ "from": "A", "to": "B" }], "deleted_classes": ["C"],
      "transferred_classes": [{ "from": "D", "from_script": "old", "to": "E" }] },
  ],
  "rules": [{ "type": "Text", "globs": ["**/*.md"] }],
  "env": { "staging": { "vars": { "WORD": "hi" } }, "named": { "name": "other" } },
}
"""
TOML = """
name = "shop"
main = "src/index.js"
[[durable_objects.bindings]]
name = "CART"
class_name = "Cart"
[[migrations]]
tag = "v1"
new_sqlite_classes = ["Cart"]
"""


def read(text: str, file: str = "wrangler.jsonc", environment: str | None = None) -> Config:
    config = read_config(text, file, environment=environment)
    assert config is not None
    return config


def test_everything_is_read() -> None:
    config = read(FULL)

    assert (config.name, config.main, config.compatibility_date) == ("shop", "src/index.js", "2026-04-01")
    assert config.variables == {"WORD": "hello", "NUMBERS": [1, 2, {"a": None}]}
    assert [(it.name, it.class_name, it.script_name) for it in config.namespaces] == [
        ("CART", "Cart", None),
        ("STOCK", "Stock", "store"),
    ]
    assert [(it.name, it.service, it.entrypoint, it.props) for it in config.services] == [
        ("AUTH", "auth", "Admin", {"level": 2})
    ]
    assert [it.name for it in config.loaders] == ["LOADER"]
    assert list(config.migrations) == [
        Migration("v1", new=("Cart",), renamed=[], transferred=[], deleted=()),
        Migration("v2", renamed=[Rename("A", "B")], transferred=[Rename("D", "E", "old")], deleted=("C",)),
    ]
    assert list(config.rules) == [Rule("text", ("**/*.md",))]
    assert config.warnings == ()


def test_the_founding_documents_file_is_read() -> None:
    config = read((ROOT / "examples" / "facets" / "wrangler.jsonc").read_text())

    assert (config.name, config.main) == ("worker", "worker.js")
    assert [it.name for it in config.loaders] == ["LOADER"]
    assert [migration.new for migration in config.migrations] == [("AppRunner",)]
    assert config.warnings == ()


def test_toml_says_the_same_as_json() -> None:
    config = read(TOML, "wrangler.toml")

    assert (config.name, config.main) == ("shop", "src/index.js")
    assert isinstance(config.namespaces[0], ConfiguredNamespace)
    assert str(config.namespaces[0].place) == "wrangler.toml:4:1"
    assert config.migrations[0].new == ("Cart",)


def test_a_python_project_says_it_in_its_own_table() -> None:
    tables = TOML.replace("[[", "[[tool.perdure.").replace(
        '\nname = "shop"', '\n[tool.perdure]\ntrusted = true\nname = "shop"'
    )
    config = read(tables.replace("index.js", "index.py"), "app/pyproject.toml")

    assert (config.name, config.is_trusted) == ("shop", True)
    assert config.namespaces[0].class_name == "Cart"
    assert read_config("[project]\nname = 'x'\n", "pyproject.toml") is None
    assert read_config("tool = 1\n", "pyproject.toml") is None


def test_our_own_keys_have_a_table_in_wranglers_file() -> None:
    config = read('{"main": "a.py", "perdure": {"trusted": true, "data": "../data", "what": 1}}')

    assert (config.is_trusted, config.data) == (True, "../data")
    hosts = read(
        '{"main": "a.py", "perdure": {"hosts": ["a.example.com"]}, "limits": {"cpu_ms": 50, "subrequests": 1}}'
    )
    assert (hosts.hosts, hosts.cpu_ms) == (("a.example.com",), 50)
    assert hosts.warnings[0].endswith("calls are not counted for a worker of a configuration")
    assert config.warnings == ("wrangler.jsonc:1:74: `perdure.what` is not known here and is ignored",)


def test_host_names_and_limits() -> None:
    config = read(
        '{"main": "a.js", "perdure": {"hosts": ["a.example.com"], "outbound_allow": ["localhost:9000"]}, '
        '"limits": {"cpu_ms": 50, "subrequests": 1}}'
    )

    assert (config.hosts, config.outbound_allow, config.cpu_ms) == (("a.example.com",), ("localhost:9000",), 50)
    assert config.warnings[0].endswith("calls are not counted for a worker of a configuration")


def test_an_environment_has_bindings_of_its_own_and_inherits_the_rest() -> None:
    staging, named = read(FULL, environment="staging"), read(FULL, environment="named")

    assert (staging.name, staging.variables, staging.namespaces) == ("shop-staging", {"WORD": "hi"}, ())
    assert staging.main == "src/index.js"
    assert len(staging.migrations) == 2
    assert named.name == "other"
    assert staging.warnings == ()
    with pytest.raises(
        ConfigurationError, match="there is no environment `nope` in `env`; there are: `staging`, `named`"
    ):
        read(FULL, environment="nope")


@pytest.mark.parametrize("key", sorted(KNOWN))
def test_a_key_that_means_nothing_here_has_a_sentence_of_its_own(key: str) -> None:
    (warning,) = read(f'{{"main": "a.js", "{key}": []}}').warnings

    assert warning == f"wrangler.jsonc:1:{len(key) + 22}: `{key}` is not used: {KNOWN[key]}"


def test_a_key_that_nobody_knows_is_warned_about_with_what_may_be_meant() -> None:
    text = '{"main": "a.js", "migration": [], "services": [{"binding": "A", "service": "b", "propz": 1}]}'

    assert read(text).warnings == (
        "wrangler.jsonc:1:90: `services[0].propz` is not known here and is ignored; did you mean `props`?",
        "wrangler.jsonc:1:31: `migration` is not known here and is ignored; did you mean `migrations`?",
    )


def test_classes_without_sqlite_have_it_all_the_same() -> None:
    config = read('{"main": "a.js", "migrations": [{"tag": "v1", "new_classes": ["A"]}]}')

    assert config.migrations[0].new == ("A",)
    assert "there is no other kind" in config.warnings[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "1:1: the configuration is a table, not a list"),
        ("{}", "1:1: `main` is missing"),
        ('{"main": 1}', "1:10: `main` is a text, not a number (`1`)"),
        ('{"main": " "}', "1:10: `main` is empty"),
        ('{"main": "a", "name": "no name"}', "1:23: `no name` is no name of a worker"),
        ('{"main": "a", "compatibility_date": "soon"}', "1:37: `compatibility_date` is `soon`"),
        ('{"main": "a", "limits": {"cpu_ms": 0}}', "1:36: `limits.cpu_ms` is a whole number from 1 to"),
        ('{"main": "a", "limits": {"cpu_ms": "1"}}', "not `1`"),
        ('{"main": "a", "vars": []}', "1:23: `vars` is a table"),
        ('{"main": "a", "vars": {"a-b": 1}}', "1:31: `a-b` is no name in `env`"),
        ('{"main": "a", "vars": {"A": 1}, "worker_loaders": [{"binding": "A"}]}', "1:64: `env.A` is there twice"),
        ('{"main": "a", "durable_objects": []}', "1:34: durable_objects is a table, not a list"),
        ('{"main": "a", "durable_objects": {"bindings": {}}}', "1:47: `durable_objects.bindings` is a list"),
        ('{"main": "a", "durable_objects": {"bindings": [{}]}}', "`durable_objects.bindings[0].name` is missing"),
        ('{"main": "a", "durable_objects": {"bindings": [{"name": "A"}]}}', "class_name` is missing"),
        ('{"main": "a", "durable_objects": {"bindings": [{"name": "A", "class_name": "b c"}]}}', "is no class"),
        (
            '{"main": "a", "durable_objects": {"bindings": [{"name": "A", "class_name": "B", "environment": "x"}]}}',
            "--env",
        ),
        ('{"main": "a", "services": [{"binding": "A"}]}', "`services[0].service` is missing"),
        ('{"main": "a", "services": [{"binding": "A", "service": "b", "props": 1}]}', "1:70: `props` of a service"),
        ('{"main": "a", "migrations": [{}]}', "1:30: `migrations[0].tag` is missing"),
        ('{"main": "a", "migrations": [{"tag": "v"}, {"tag": "v"}]}', "1:44: the tag `v` is there twice"),
        ('{"main": "a", "migrations": [{"tag": "v", "new_sqlite_classes": "A"}]}', "is a list, not a text (`A`)"),
        ('{"main": "a", "migrations": [{"tag": "v", "new_sqlite_classes": [1]}]}', "1:66: `migrations[0].new"),
        ('{"main": "a", "migrations": [{"tag": "v", "deleted_classes": ["a b"]}]}', "is no class"),
        ('{"main": "a", "migrations": [{"tag": "v", "renamed_classes": [{"from": "A"}]}]}', "to` is missing"),
        (
            '{"main": "a", "migrations": [{"tag": "v", "transferred_classes": [{"from": "A", "to": "B"}]}]}',
            "from_script` is missing",
        ),
        ('{"main": "a", "rules": [{"type": "CompiledWasm", "globs": []}]}', "cannot be loaded; there are: ESModule"),
        ('{"main": "a", "rules": [{"type": "Text"}]}', "`globs` is missing"),
        ('{"main": "a.js", "perdure": {"trusted": true}}', "1:10: `a.js` cannot be trusted"),
        ('{"main": "a.py", "perdure": {"trusted": 1}}', "1:41: `perdure.trusted` is true or false"),
        (f'{{"main": "{"a" * CONFIG_BYTES_MAX}"}}', "characters, this has"),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text)

    assert str(caught.value).startswith("wrangler.jsonc:")
    assert said in str(caught.value)


def test_what_toml_says_wrong_is_refused_in_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^wrangler\.toml:7:7: `migrations\[0\]\.tag` is empty"):
        read(TOML.replace('tag = "v1"', 'tag = ""').replace("\nname", "name", 1), "wrangler.toml")
