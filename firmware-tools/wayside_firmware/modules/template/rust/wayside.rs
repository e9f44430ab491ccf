//! The interface between a module and the agent, version 1, for Rust: docs/reference/module-abi.md.
//!
//! Memory is a stack that wayside_reset empties: what must outlive a block stands in statics.
#![allow(dead_code)]

use core::{arch::wasm32, slice, str};

pub const DEBUG: i32 = 10;
pub const INFO: i32 = 20;
pub const WARNING: i32 = 30;
pub const ERROR: i32 = 40;

/// A reading as it lies in a block. From quality 64 on there is no value.
#[repr(C)]
pub struct Reading {
    pub time_ns: i64,
    pub value: f64,
    pub series: u32,
    pub quality: u32,
}

mod host {
    #[link(wasm_import_module = "wayside")]
    extern "C" {
        pub fn log(level: i32, at: *const u8, bytes: u32);
        pub fn event(at: *const u8, bytes: u32);
    }
}

pub fn log(level: i32, text: &str) {
    unsafe { host::log(level, text.as_ptr(), text.len() as u32) }
}

pub fn event(text: &str) {
    unsafe { host::event(text.as_ptr(), text.len() as u32) }
}

/// The settings, a pair of key and value each; those of the host begin with `wayside.`.
pub fn settings(at: *const u8, bytes: u32) -> impl Iterator<Item = (&'static str, &'static str)> {
    let text = unsafe { str::from_utf8_unchecked(slice::from_raw_parts(at, bytes as usize)) };
    text.lines().filter_map(|line| line.split_once('='))
}

/// The readings of the block at `at`.
pub fn readings(at: *mut u8) -> &'static mut [Reading] {
    unsafe {
        let head = at as *const u32;
        let (series, readings) = (*head.add(1) as usize, *head.add(2) as usize);
        slice::from_raw_parts_mut(at.add(16 + 16 * series) as *mut Reading, readings)
    }
}

/// What wayside_process and wayside_save return for a place.
pub fn place(at: *const u8, bytes: u32) -> i64 {
    ((at as usize as i64) << 32) | bytes as i64
}

extern "C" {
    static __heap_base: u8;
}
static mut TOP: usize = 0;

#[no_mangle]
pub extern "C" fn wayside_abi() -> i32 {
    1
}

#[no_mangle]
pub extern "C" fn wayside_alloc(bytes: u32) -> usize {
    unsafe {
        if TOP == 0 {
            TOP = (&__heap_base as *const u8 as usize + 7) & !7;
        }
        let (at, end) = (TOP, (TOP as u64 + bytes as u64 + 7) & !7);
        let have = wasm32::memory_size(0) as u64 * 65536;
        if end > 0x7fff_ffff {
            return 0;
        }
        if end > have && wasm32::memory_grow(0, ((end - have + 65535) / 65536) as usize) == usize::MAX {
            return 0;
        }
        TOP = end as usize;
        at
    }
}

#[no_mangle]
pub extern "C" fn wayside_reset() {
    unsafe { TOP = 0 }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    wasm32::unreachable()
}
