// npm's capnweb as a client of our server: `node client.mjs ADDRESS`; the scenarios run one after the other, and each
// prints a line with its name and what it saw, as JSON.

import { newHttpBatchRpcSession, newWebSocketRpcSession, RpcTarget } from "capnweb";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket; // Node has had one of its own since version 22.

const address = process.argv[2];
const toSocket = (path) => new WebSocket(address.replace(/^http/, "ws") + path);
const text = async (stream) => {
  let read = "";
  for await (const chunk of stream) read += new TextDecoder().decode(chunk);
  return read;
};
const failure = async (promise) => {
  try {
    await promise;
    return "no failure";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
const closed = (socket) => new Promise((resolve) => socket.addEventListener("close", resolve));
const stream = (...chunks) =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });

class Name extends RpcTarget {
  #log;
  constructor(log) {
    super();
    this.#log = log;
  }
  first() {
    return "Ada";
  }
  [Symbol.dispose]() {
    this.#log.push("name disposed");
  }
}

const scenarios = {
  async calls(api) {
    return [await api.increment(2), await api.increment(), await api.getEvents()];
  },
  async values(api) {
    const values = [null, true, "text", 1.5, -0.25, 2 ** 53 - 1, [[1], []], { a: { b: [] } }, "\u{1f600}"];
    const date = await api.echo(new Date(86_400_000));
    const bytes = await api.echo(new Uint8Array([0, 255]));
    const words = await api.echo(new Uint16Array([1, 65535]));
    const headers = await api.echo(new Headers({ "x-a": "b" }));
    return [
      JSON.stringify(await api.echo(values)) === JSON.stringify(values),
      date.toISOString(),
      [...bytes],
      [words.constructor.name, ...words],
      String(await api.echo(2n ** 70n)),
      [await api.echo(Infinity), await api.echo(NaN)].map(String),
      headers.get("x-a"),
      (await api.echo(new Error("passed"))).message,
      (await api.echo(undefined)) === null || (await api.echo(undefined)) === undefined,
    ];
  },
  async pipelining(api) {
    const counter = api.counter();
    const first = counter.increment(2);
    return [await counter.increment(3), await api.echo(first), await api.settings.names[1]];
  },
  async callbacks(api) {
    const log = [];
    const greeted = await api.greet((word) => `${word} you`);
    const { back } = await api.echo({ back: new Name(log) }); // The package cannot take one that stands alone.
    const first = await back.first();
    return [greeted, first, await api.greet(async () => ({ deep: [1] }))];
  },
  async errors(api) {
    const caught = await api.fail().then(() => null, (error) => error);
    return [
      [caught.name, caught.message, caught.status, caught instanceof TypeError],
      await failure(api.missing()),
      await failure(api._private()),
      await failure(api.events()),
      await failure(api.fail().and.then2.some()),
      await failure(api.unsendable()),
    ];
  },
  async streams(api) {
    const read = [];
    for await (const chunk of await api.numbers()) read.push(chunk.number);
    const written = [];
    await api.fill(new WritableStream({ write: (chunk) => void written.push(chunk), close: () => void written.push("end") }));
    return [await api.total(stream("a", 1, { b: 2 })), read, written];
  },
  async messages(api) {
    const request = new Request("https://a.example/", { method: "POST", body: "of a request" });
    const response = await api.answer();
    return [
      await api.describe(request),
      await api.describe(new Response("of a response")),
      await api.describe(new Blob(["of a blob"], { type: "text/plain" })),
      [response.status, response.headers.get("x-a"), await text(response.body)],
    ];
  },
  async large(api) {
    const sent = "x".repeat(5_000_000);
    return [(await api.echo(sent)) === sent, (await api.total(stream(...Array(200).fill("y".repeat(20_000))))).length];
  },
  async mapping(api) {
    return [await api.ids().map((id) => [id, api.name(id)]), await api.ids().map((id) => api.echo({ id }).id)];
  },
  async disposal(api) {
    const counter = await api.counter();
    const second = counter.dup();
    counter[Symbol.dispose]();
    await second.increment();
    const before = await api.getEvents();
    second[Symbol.dispose]();
    return [before, await api.waitForEvent("counter disposed"), await failure(counter.increment())];
  },
  async ordering(api) {
    const calls = [];
    for (let i = 0; i < 100; i++) calls.push(api.increment(1));
    return (await Promise.all(calls)).every((total, i, totals) => i === 0 || total === totals[i - 1] + 1);
  },
};

const sessions = {
  async brokenConnection() {
    const socket = toSocket("/object/broken");
    const api = newWebSocketRpcSession(socket);
    await api.listen((word) => word);
    const waiting = failure(api.forever());
    await api.increment();
    socket.terminate();
    const told = await waiting;
    const again = newWebSocketRpcSession(toSocket("/object/broken"));
    return [told, await again.waitForEvent("forever ended"), await again.publish("anyone there?")];
  },
  async resetObject() {
    const socket = toSocket("/object/reset");
    const api = newWebSocketRpcSession(socket);
    const told = failure(api.forever());
    const ended = closed(socket);
    api.reset().catch(() => {});
    return [await told, (await ended).reason];
  },
  async malformed() {
    const socket = toSocket("/object/malformed");
    const said = [];
    socket.addEventListener("message", (event) => said.push(JSON.parse(event.data)));
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    socket.send('["push", ["map", []]]');
    const { code, reason } = await closed(socket);
    return [said.map(([kind, [, , message]]) => [kind, message.slice(0, 80)]), code, reason.slice(0, 40)];
  },
  async binary() {
    const socket = toSocket("/object/binary");
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    socket.send(new Uint8Array([1]));
    return (await closed(socket)).reason;
  },
  async stateless() {
    const api = newWebSocketRpcSession(toSocket("/stateless"));
    return await api.add(1, 2);
  },
  async throughAStub() {
    const api = newWebSocketRpcSession(toSocket("/stub/behind"));
    return [await api.increment(5), await failure(api.missing())];
  },
  async refused() {
    const socket = toSocket("/nowhere");
    return await new Promise((resolve) => socket.addEventListener("error", (event) => resolve(event.message)));
  },
  async foreignOrigin() {
    const socket = new WebSocket(`${address.replace(/^http/, "ws")}/object/origin`, { origin: "http://elsewhere.example" });
    return await new Promise((resolve) => socket.addEventListener("error", (event) => resolve(event.message)));
  },
  async batch() {
    const api = newHttpBatchRpcSession(`${address}/object/batch`);
    const counter = api.counter();
    return await Promise.all([api.increment(1), api.increment(5), counter.increment(2), failure(api.fail()), api.echo("a\nb")]);
  },
  async batchGet() {
    const answer = await fetch(`${address}/object/batch`);
    return [answer.status, answer.headers.get("allow")];
  },
};

const print = (name, saw) => console.log(JSON.stringify([name, saw]));
for (const [name, scenario] of Object.entries(scenarios)) {
  const api = newWebSocketRpcSession(toSocket(`/object/${name}`));
  print(name, await scenario(api));
  api[Symbol.dispose]();
}
for (const [name, scenario] of Object.entries(sessions)) print(name, await scenario());
process.exit(0);
