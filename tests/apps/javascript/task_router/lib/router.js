export class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const compile = (path) => new RegExp(`^${path.replace(/:(\w+)/g, "(?<$1>[^/]+)")}/?$`);

export function compose(middleware, last) {
  return middleware.reduceRight((next, layer) => (context) => layer(context, () => next(context)), last);
}

export class Router {
  #middleware = [];
  #routes = [];
  #mounts = [];

  use(...middleware) {
    this.#middleware.push(...middleware);
    return this;
  }

  mount(prefix, router) {
    this.#mounts.push({ prefix, router });
    return this;
  }

  on(method, path, handler) {
    this.#routes.push({ method, pattern: compile(path), handler });
    return this;
  }

  static {
    for (const method of ["get", "post", "put", "delete"]) {
      this.prototype[method] = function (path, handler) {
        return this.on(method.toUpperCase(), path, handler);
      };
    }
  }

  async handle(request, extras) {
    const url = new URL(request.url);
    return this.dispatch({ ...extras, request, url, path: url.pathname, query: url.searchParams, state: {} });
  }

  async dispatch(context) {
    const last = async (context) => {
      const { path, request } = context;
      const mounted = this.#mounts.find(({ prefix }) => path === prefix || path.startsWith(`${prefix}/`));
      if (mounted) return mounted.router.dispatch({ ...context, path: path.slice(mounted.prefix.length) || "/" });
      const matching = this.#routes.filter(({ pattern }) => pattern.test(path));
      const route = matching.find(({ method }) => method === request.method);
      if (!matching.length) throw new HttpError(404, `no ${path}`);
      if (!route) throw new HttpError(405, "method not allowed");
      const result = await route.handler({ ...context, params: { ...path.match(route.pattern).groups } });
      return result instanceof Response ? result : Response.json(result ?? null);
    };
    return compose(this.#middleware, last)(context);
  }
}
