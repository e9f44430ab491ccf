// Gives each reading multiplied by a factor, under the same name. Build: wayside-fw module build .
import { ERROR, Reading, isOfHost, log, place, readingAt, readingsOf, settings } from "./wayside";

export { wayside_abi, wayside_alloc, wayside_reset } from "./wayside";

let factor: f64 = 2;

export function wayside_configure(at: usize, bytes: i32): i32 {
  const lines = settings(at, bytes);
  for (let i = 0; i < lines.length; i++) {
    const equals = lines[i].indexOf("=");
    const key = lines[i].substring(0, equals);
    if (isOfHost(key)) continue;
    const number = parseFloat(lines[i].substring(equals + 1));
    if (key != "factor" || isNaN(number)) {
      log(ERROR, "the only setting is factor, a number");
      return 1;
    }
    factor = number;
  }
  return 0;
}

export function wayside_process(at: usize, bytes: i32): i64 {
  const count = readingsOf(at);
  for (let i = 0; i < count; i++) {
    const reading: Reading = readingAt(at, i);
    reading.value = reading.value * factor;
  }
  return place(at, bytes);
}
