// The interface between a module and the agent, version 1, for AssemblyScript: docs/reference/module-abi.md.

// @ts-ignore: decorator
@external("wayside", "log")
declare function hostLog(level: i32, at: usize, bytes: i32): void;
// @ts-ignore: decorator
@external("wayside", "event")
declare function hostEvent(at: usize, bytes: i32): void;

export const DEBUG = 10;
export const INFO = 20;
export const WARNING = 30;
export const ERROR = 40;

// A reading as it lies in a block. From quality 64 on there is no value.
@unmanaged
export class Reading {
  timeNs: i64;
  value: f64;
  series: u32;
  quality: u32;
}

export function log(level: i32, text: string): void {
  const bytes = String.UTF8.encode(text);
  hostLog(level, changetype<usize>(bytes), bytes.byteLength);
}

export function event(text: string): void {
  const bytes = String.UTF8.encode(text);
  hostEvent(changetype<usize>(bytes), bytes.byteLength);
}

// The settings, a line `key=value` each.
export function settings(at: usize, bytes: i32): string[] {
  return String.UTF8.decodeUnsafe(at, bytes).trimEnd().split("\n");
}

// Whether a setting comes from the host.
export function isOfHost(key: string): bool {
  return key.startsWith("wayside.");
}

// How many readings the block at `at` has.
export function readingsOf(at: usize): i32 {
  return load<i32>(at, 8);
}

// One of them, in place.
export function readingAt(at: usize, index: i32): Reading {
  return changetype<Reading>(at + 16 + 16 * load<u32>(at, 4) + 24 * index);
}

// What wayside_process and wayside_save return for a place.
export function place(at: usize, bytes: i32): i64 {
  return (<i64>at << 32) | <i64>bytes;
}

const given: usize[] = [];

export function wayside_abi(): i32 {
  return 1;
}

export function wayside_alloc(bytes: i32): usize {
  // Blocks of this heap lie at 16n; pinned, so that the collector leaves them alone.
  const at = __pin(__new(bytes, idof<ArrayBuffer>()));
  given.push(at);
  return at;
}

export function wayside_reset(): void {
  while (given.length > 0) __unpin(given.pop());
  __collect();
}
