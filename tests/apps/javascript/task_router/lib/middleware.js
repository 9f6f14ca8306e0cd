import { HttpError } from "./router.js";

let counter = 0;

export async function requestId({ request, state }, next) {
  state.id = request.headers.get("x-request-id") ?? `r${++counter}`;
  const response = await next();
  response.headers.set("x-request-id", state.id);
  return response;
}

export const cors = ({ origin }) =>
  async function ({ request }, next) {
    const headers = { "access-control-allow-origin": origin, vary: "Origin" };
    if (request.method === "OPTIONS") {
      const methods = { "access-control-allow-methods": "GET, POST, PUT, DELETE" };
      return new Response(null, { status: 204, headers: { ...headers, ...methods } });
    }
    const response = await next();
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return response;
  };

export async function errors({ state }, next) {
  try {
    return await next();
  } catch (error) {
    if (!(error instanceof HttpError)) console.error(error);
    const { status = 500 } = error;
    return Response.json({ error: status === 500 ? "internal error" : error.message, id: state.id }, { status });
  }
}

export async function apiKey({ request, state }, next) {
  const [scheme, key] = request.headers.get("authorization")?.split(" ") ?? [];
  if (scheme !== "Key" || !key) throw new HttpError(401, "an API key is needed");
  state.user = atob(key);
  return next();
}
