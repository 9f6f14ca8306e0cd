// npm's capnweb as a server for our client: prints the port, and then what is disposed of.

import http from "node:http";
import { nodeHttpBatchRpcResponse, newWebSocketRpcSession, RpcTarget } from "capnweb";
import WebSocket, { WebSocketServer } from "ws";

globalThis.WebSocket = WebSocket; // Node has had one of its own since version 22.

class Counter extends RpcTarget {
  #value = 0;
  increment(by = 1) {
    return (this.#value += by);
  }
  [Symbol.dispose]() {
    console.log("counter disposed");
  }
}

class Api extends RpcTarget {
  #socket;
  #kept;
  constructor(socket) {
    super();
    this.#socket = socket;
  }
  add(first, second) {
    return first + second;
  }
  echo(value) {
    return value?.dup ? value.dup() : value;
  }
  counter() {
    return new Counter();
  }
  async call(callback, ...given) {
    return await callback(...given);
  }
  keep(callback) {
    this.#kept = callback.dup();
  }
  async useKept(word) {
    return await this.#kept(word);
  }
  fail() {
    throw Object.assign(new TypeError("it failed"), { status: 409, detail: { field: "name" } });
  }
  throwText() {
    throw "only text";
  }
  ids() {
    return [1, 2, 3];
  }
  name(number) {
    return `number ${number}`;
  }
  get settings() {
    return { names: ["a", "b"] };
  }
  async total(stream) {
    const read = [];
    for await (const chunk of stream) read.push(chunk);
    return read;
  }
  numbers() {
    return new ReadableStream({
      start(controller) {
        for (let number = 0; number < 4; number++) controller.enqueue({ number });
        controller.close();
      },
    });
  }
  async fill(sink) {
    const writer = sink.getWriter();
    for (const letter of "abc") await writer.write(letter);
    await writer.close();
  }
  async describe(message) {
    return `${message.constructor.name} ${await message.text()}`;
  }
  answer() {
    return new Response("of a response", { status: 201, headers: { "x-a": "b" } });
  }
  blob() {
    return new Blob(["of a blob"], { type: "text/plain" });
  }
  file() {
    return new Map([[1, 2]]);
  }
  forever() {
    return new Promise(() => {});
  }
  hangUp() {
    this.#socket.terminate();
    return new Promise(() => {});
  }
  garbage() {
    this.#socket.send("garbage");
    return new Promise(() => {});
  }
}

const server = http.createServer((request, response) => nodeHttpBatchRpcResponse(request, response, new Api()));
new WebSocketServer({ server }).on("connection", (socket) => newWebSocketRpcSession(socket, new Api(socket)));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
