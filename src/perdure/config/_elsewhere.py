"""Keys of the reference system's configuration that mean nothing here, each with what to do instead. Effects: none."""

from __future__ import annotations

from typing import Final

_NOTHING_DEPLOYED: Final = "nothing is deployed to Cloudflare from here, so it has no effect"
_ONE_PLACE: Final = "requests come to where perdure listens; put a proxy before it for host names and paths"

SILENT: Final = frozenset({"$schema", "$comment"})
"""Keys that say nothing about a worker."""

KNOWN: Final = {
    "account_id": _NOTHING_DEPLOYED,
    "workers_dev": _NOTHING_DEPLOYED,
    "preview_urls": _NOTHING_DEPLOYED,
    "keep_vars": _NOTHING_DEPLOYED,
    "upload_source_maps": _NOTHING_DEPLOYED,
    "logpush": _NOTHING_DEPLOYED,
    "placement": _NOTHING_DEPLOYED,
    "usage_model": _NOTHING_DEPLOYED,
    "send_metrics": "nothing is ever reported to anybody",
    "observability": "log lines go to stderr, and `perdure stats` shows what is in use",
    "route": _ONE_PLACE,
    "routes": _ONE_PLACE,
    "dev": "host and port are options of the command: `--host`, `--port`",
    "build": "no command is run: run your bundler yourself, and let `main` name what it made",
    "minify": "sources run as they are written",
    "no_bundle": "sources are never bundled: the modules below the folder of `main` import each other",
    "find_additional_modules": "all modules below the folder of `main` are there",
    "alias": "imports are not rewritten: import modules by their paths",
    "define": "sources run as they are written: use `vars`",
    "jsx_factory": "JSX is not compiled: let your bundler make JavaScript of it",
    "jsx_fragment": "JSX is not compiled: let your bundler make JavaScript of it",
    "tsconfig": "types are taken out of sources, no option changes how",
    "node_compat": "what there is of Node is always there",
    "python_modules": "modules below the folder of `main` are found without it",
    "site": "files are not served: answer with a Response, or put a web server before perdure",
    "assets": "files are not served: answer with a Response, or put a web server before perdure",
    "triggers": "there are no cron triggers: set an alarm in a Durable Object",
    "subrequests": "calls are not counted for a worker of a configuration",
    "tail_consumers": "there are no tail workers for a worker of a configuration; dynamic workers have `tails`",
    "kv_namespaces": "there is no Workers KV: use `ctx.storage.kv` of a Durable Object",
    "d1_databases": "there is no D1: use `ctx.storage.sql` of a Durable Object",
    "r2_buckets": "there is no R2: keep files in a Durable Object, or lend a worker a service that keeps them",
    "queues": "there are no queues: keep what waits in a Durable Object, and set an alarm",
    "workflows": "there are no workflows: keep the steps in a Durable Object, and set an alarm",
    "ai": "there is no Workers AI: lend a worker a service that calls a model",
    "vectorize": "there is no Vectorize: lend a worker a service that has the index",
    "hyperdrive": "there is no Hyperdrive: lend a worker a service that has the connection",
    "browser": "there is no browser rendering: lend a worker a service that has a browser",
    "images": "there is no Images binding: lend a worker a service that has one",
    "analytics_engine_datasets": "there is no Analytics Engine: write rows into a Durable Object",
    "send_email": "there is no e-mail binding: lend a worker a service that sends",
    "mtls_certificates": "there are no mTLS bindings: lend a worker a service that has the certificate",
    "dispatch_namespaces": "there are no dispatch namespaces: load dynamic workers with `worker_loaders`",
    "pipelines": "there are no pipelines: write rows into a Durable Object",
    "secrets_store_secrets": "there is no secrets store: put secrets into `.dev.vars`",
    "unsafe": "there are no unsafe bindings",
    "containers": "there are no containers: dynamic workers run in sandboxes",
    "cloudchamber": "there are no containers: dynamic workers run in sandboxes",
    "version_metadata": "there are no versions",
    "wasm_modules": "guests run source text only, no WebAssembly",
    "text_blobs": "import the file as a module: a `rules` entry of type Text",
    "data_blobs": "import the file as a module: a `rules` entry of type Data",
}
"""By key: a sentence for whoever wrote it."""
