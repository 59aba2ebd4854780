//! Any bytes as the head of a request: what our parser accepts, hyper serves with the same method, target and headers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcpool::transport::http_fuzz::{HeadFacts, head};

#[path = "../../src/transport/http/codec/hyper_head.rs"]
mod hyper_head;

fuzz_target!(|bytes: &[u8]| {
    let theirs = hyper_head::read(bytes);
    head(bytes, theirs.as_ref());
});
