import type { Context, Flag } from "./types";
import { Reason } from "./types";

export function bucket(...parts: string[]): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(parts.join("/"))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash % 100;
}

export function evaluate(flag: Flag, context: Context): { on: boolean; reason: Reason } {
  if (!flag.enabled) return { on: false, reason: Reason.Off };
  const targeted = flag.rules?.some(({ attribute, in: values }) => {
    const value = attribute === "user" ? context.user : context.attributes?.[attribute];
    return value !== undefined && values.includes(value);
  });
  if (targeted) return { on: true, reason: Reason.Targeted };
  if (flag.rollout !== undefined) return { on: bucket(flag.key, context.user) < flag.rollout!, reason: Reason.Rollout };
  return { on: !flag.rules?.length, reason: Reason.Default };
}
