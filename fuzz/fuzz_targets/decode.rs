//! Any bytes: JSON as serde_json sees it; and a message, which must end in an answer or an error.
#![no_main]

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use mcpool::protocol::{ArgumentsAt, MessageDecoder};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    mcpool::wire::fuzz::decode(bytes);
    let arena = Bump::new();
    let Ok(mut decoder) = MessageDecoder::new(bytes, &arena) else { return };
    if decoder.begin() == Ok(ArgumentsAt::Here) {
        let _ = decoder.arguments::<Value>();
    }
});
