// The object's alarm: the time it asked for, and its handler.
import * as host from "./host.js";
import { instance } from "./instance.js";

const AFTER_ALL_YEARS = 253_402_300_799_999; // the last millisecond of the year 9999

/** When the alarm is due, in milliseconds; null without one. */
export const getAlarm = () => host.alarmGet();

/** Has the object woken at `when`: a Date, or milliseconds since 1970. */
export function setAlarm(when, options) {
  const time = when instanceof Date ? when.getTime() : when;
  if (typeof time !== "number" || !Number.isFinite(time)) {
    throw new TypeError(`setAlarm() takes a Date or a number of milliseconds since 1970, not \`${String(when).slice(0, 60)}\``);
  }
  if (time <= 0) throw new TypeError(`setAlarm() cannot be called with an alarm time <= 0, and \`${time}\` is one`);
  if (time > AFTER_ALL_YEARS) {
    throw new TypeError(`setAlarm() cannot be called with a time after the year 9999, and \`${time}\` is one`);
  }
  if (instance !== undefined && typeof instance.alarm !== "function") {
    const kind = instance.constructor?.name ?? "Object";
    throw new TypeError(`class \`${kind}\` must have an alarm() handler before it sets an alarm: define \`async alarm(info)\``);
  }
  host.alarmSet(Math.ceil(time), !options?.allowUnconfirmed);
}

/** A time of the past in milliseconds: of a Date, or milliseconds since 1970. */
export function pastTime(when) {
  const time = when instanceof Date ? when.getTime() : when;
  if (typeof time !== "number" || !(time >= 0 && time <= AFTER_ALL_YEARS)) {
    throw new TypeError(`\`${String(when).slice(0, 60)}\` is no time: give a Date, or milliseconds since 1970`);
  }
  return Math.floor(time);
}

/** Has no alarm. In its handler only one that was set there is deleted. */
export const deleteAlarm = (options) => host.alarmSet(undefined, !options?.allowUnconfirmed);

/** Runs the handler. */
export function runAlarm(retries, scheduledMs) {
  return instance.alarm({ retryCount: retries, isRetry: retries > 0, scheduledTime: scheduledMs });
}
