import { Validator, type Flag } from "./types.js";

export class UnknownFlagError extends Error {
  override readonly name = "UnknownFlagError";
}

class FlagValidator extends Validator<Flag> {
  check(value: any): asserts value is Flag {
    if (!/^[a-z][a-z0-9-]*$/.test(value.key)) throw new TypeError(`bad key ${value.key}`);
    if (typeof value.enabled !== "boolean") throw new TypeError("enabled must be true or false");
    const { rollout } = value;
    if (rollout !== undefined && !(rollout >= 0 && rollout <= 100)) throw new TypeError("rollout goes from 0 to 100");
  }
}

const PREFIX = "flag:" as const;

export class FlagStore {
  #cache?: Map<string, Flag>;

  constructor(
    private storage: DurableObjectStorage,
    private validator: FlagValidator = new FlagValidator(),
  ) {}

  get cache(): Map<string, Flag> {
    if (!this.#cache) {
      const entries = [...this.storage.kv.list<Flag>({ prefix: PREFIX })];
      this.#cache = new Map(entries.map(([, flag]) => [flag.key, flag]));
    }
    return this.#cache;
  }

  *all(): IterableIterator<Flag> {
    yield* this.cache.values();
  }

  get(key: string): Flag {
    const flag = this.cache.get(key);
    if (!flag) throw new UnknownFlagError(`no flag ${key}`);
    return flag;
  }

  put(flag: Flag): Flag {
    this.validator.check(flag);
    this.storage.kv.put(PREFIX + flag.key, flag);
    this.cache.set(flag.key, flag);
    return flag;
  }

  delete(key: string): void {
    this.get(key);
    this.storage.kv.delete(PREFIX + key);
    this.cache.delete(key);
  }
}
