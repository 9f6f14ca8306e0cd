// Pretends to ask several slow services, and gives up in time.
function sleep(ms, { signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve(ms);
    }, ms);
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}

async function service({ name, ms, fails }, signal) {
  await sleep(ms, { signal });
  if (fails) throw new Error(`${name} is broken`);
  return name;
}

async function retry(action, { attempts, delay, signal }) {
  const errors = [];
  for (let attempt = 1; attempt <= attempts; attempt++) {
    try {
      return { attempt, value: await action(attempt) };
    } catch (error) {
      errors.push(error);
      signal.throwIfAborted();
      await sleep(delay * 2 ** (attempt - 1), { signal });
    }
  }
  throw new AggregateError(errors, `gave up after ${attempts} attempts`);
}

const modes = {
  async all({ services, timeout }) {
    const signal = AbortSignal.timeout(timeout);
    const settled = await Promise.allSettled(services.map((s) => service(s, signal)));
    return settled.map(({ status, value, reason }) =>
      status === "fulfilled" ? value : `${reason.name}: ${reason.message}`,
    );
  },

  async fastest({ services, timeout }) {
    const losers = new AbortController();
    const signal = AbortSignal.any([losers.signal, AbortSignal.timeout(timeout)]);
    const stopped = [];
    const tasks = services.map((s) =>
      service(s, signal).catch((error) => {
        if (error.name === "AbortError") stopped.push(s.name);
        throw error;
      }),
    );
    try {
      const winner = await Promise.any(tasks);
      losers.abort();
      await Promise.allSettled(tasks);
      return { winner, stopped };
    } catch (error) {
      return { winner: null, errors: error.errors?.map((e) => e.name) ?? [error.name] };
    }
  },

  async retry({ succeedsAt, attempts = 3, delay = 10, timeout = 5000 }) {
    const started = performance.now();
    const signal = AbortSignal.timeout(timeout);
    const action = (attempt) => (attempt >= succeedsAt ? "made it" : Promise.reject(new Error(`no ${attempt}`)));
    const result = await retry(action, { attempts, delay, signal });
    return { ...result, waited: performance.now() - started + 5 >= delay * (2 ** (result.attempt - 1) - 1) };
  },

  async network() {
    const response = await fetch("https://example.com/", { signal: AbortSignal.timeout(1000) });
    return response.status;
  },
};

export default {
  async fetch(request) {
    const mode = modes[new URL(request.url).pathname.slice(1)];
    if (!mode) return Response.json(Object.keys(modes), { status: 404 });
    try {
      return Response.json(await mode(await request.json()));
    } catch (error) {
      const { name, message, errors = [] } = error;
      const status = name === "TimeoutError" ? 504 : 502;
      return Response.json({ name, message, errors: errors.map(String), isError: error instanceof Error }, { status });
    }
  },
};
