//! Gives each reading multiplied by a factor, under the same name. Build: wayside-fw module build .
#![no_std]
#![no_main]

mod wayside;

static mut FACTOR: f64 = 2.0;

#[no_mangle]
pub extern "C" fn wayside_configure(at: *const u8, bytes: u32) -> i32 {
    for (key, value) in wayside::settings(at, bytes) {
        if key.starts_with("wayside.") {
            continue;
        }
        match (key, value.parse::<f64>()) {
            ("factor", Ok(number)) => unsafe { FACTOR = number },
            _ => {
                wayside::log(wayside::ERROR, "the only setting is factor, a number");
                return 1;
            }
        }
    }
    0
}

#[no_mangle]
pub extern "C" fn wayside_process(at: *mut u8, bytes: u32) -> i64 {
    for reading in wayside::readings(at) {
        reading.value *= unsafe { FACTOR };
    }
    wayside::place(at, bytes)
}
