export enum Reason {
  Off,
  Targeted,
  Rollout,
  Default,
}

export interface Context {
  user: string;
  attributes?: { [name: string]: string | number | boolean };
}

export interface Rule {
  attribute: string;
  in: readonly (string | number | boolean)[];
}

export interface Flag {
  key: string;
  enabled: boolean;
  rollout?: number;
  rules?: Rule[];
}

export abstract class Validator<T> {
  abstract check(value: unknown): asserts value is T;
}
