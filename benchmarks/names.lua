-- Paths for wrk: PATH with a name appended. NAMES=0 gives a name nobody has used, NAMES=n one of n names in turn.
local path, names = os.getenv("BENCH_PATH"), tonumber(os.getenv("BENCH_NAMES"))
local prefix, count, threads = os.getenv("BENCH_RUN"), 0, 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function request()
  count = count + 1
  local name = names == 0 and (prefix .. id .. "x" .. count) or ("n" .. (count % names))
  return wrk.format("GET", path .. name)
end

function done(summary, latency)
  io.write(string.format("RESULT %f %d %d %d %d\n", summary.duration / 1e6, summary.requests,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
