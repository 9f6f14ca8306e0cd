export function show({ app, env, state }) {
  return { ok: true, requests: app.requests, greeting: env.GREETING, id: state.id };
}
