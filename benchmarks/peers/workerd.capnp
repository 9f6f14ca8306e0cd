using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "disk", disk = (writable = true, allowDotfiles = true)),
  ],
  sockets = [ (name = "http", address = "127.0.0.1:0", http = (), service = "main") ],
);

const main :Workerd.Worker = (
  modules = [ (name = "worker.js", esModule = embed "workerd.js") ],
  compatibilityDate = "2026-04-01",
  durableObjectNamespaces = [
    (className = "AppRunner", uniqueKey = "AppRunner", enableSql = true),
    (className = "Counter", uniqueKey = "Counter", enableSql = true),
    (className = "Caller", uniqueKey = "Caller", enableSql = true),
    (className = "Near", uniqueKey = "Near", enableSql = true),
    (className = "Far", uniqueKey = "Far", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [ (name = "LOADER", workerLoader = ()) ],
);
