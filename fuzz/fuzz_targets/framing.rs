//! Any bytes into the entry `framing`, which tells what is claimed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mcpool::wire::fuzz::framing(bytes));
