//! What the lists of a call take beside its text: counted before they are decoded.
//!
//! A list of short texts takes many times what it is written in, and so do the tables that a change looks them up in.

use super::error::GraphError;
use crate::limits::price;
use mcpool_pools::{MemoryBudget, Reservation};

/// How often the text of a call may be there beside itself: in new lines, in what is written, and in the graph.
const TEXT_COPIES: usize = 3;
/// What a name takes in a list that may be half empty and be copied while it grows.
const NAME_BYTES: usize = 48;

/// Reserves what a call that changes the graph takes until it is served, unless it is little: `element_bytes` for each
/// element of a list.
///
/// # Errors
/// When there is no room for it.
pub(crate) fn hold(
    json: &str,
    element_bytes: usize,
    memory: &MemoryBudget,
) -> Result<Option<Reservation>, GraphError> {
    hold_bytes(elements(json) * element_bytes + TEXT_COPIES * json.len(), memory)
}

/// Reserves what a list of names and of what they name takes, unless it is little.
///
/// # Errors
/// When there is no room for it.
pub(crate) fn hold_names(count: usize, memory: &MemoryBudget) -> Result<Option<Reservation>, GraphError> {
    hold_bytes(count * NAME_BYTES, memory)
}

fn hold_bytes(bytes: usize, memory: &MemoryBudget) -> Result<Option<Reservation>, GraphError> {
    if bytes <= price::LARGE_BYTES {
        return Ok(None);
    }
    memory.try_reserve(bytes).map(Some).map_err(|spent| GraphError::NoMemory { bytes, spent })
}

/// The elements of all lists, and one more for each list.
fn elements(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut count, mut at) = (0, 0);
    // A bit for each list or object that is open, with the innermost in the lowest.
    let mut is_list = 0_u128;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = behind_string(bytes, at),
            b'[' => {
                is_list = is_list << 1 | 1;
                count += 1;
            }
            b'{' => is_list <<= 1,
            b']' | b'}' => is_list >>= 1,
            b',' => count += (is_list & 1) as usize,
            _ => {}
        }
    }
    count
}

fn behind_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_lists_are_counted_and_members_are_not() {
        for (json, want) in [
            ("{}", 0),
            (r#"{"a":"b","c":{"d":1,"e":2}}"#, 0),
            (r#"{"names":[]}"#, 1),
            (r#"{"names":["a" , "b,\",[" ,"\\"],"x":1}"#, 3),
            (r#"{"entities":[{"name":"a","observations":["x","y"]},{"name":"b","observations":[]}]}"#, 5),
            (r#"{"names":["a"#, 1),
        ] {
            assert_eq!(elements(json), want, "{json}");
        }
    }

    #[test]
    fn long_lists_are_charged_before_they_are_decoded() {
        let budget = MemoryBudget::new(1 << 20);
        let names = |count: usize| format!("{{\"names\":[{}]}}", vec!["\"a\""; count].join(","));
        assert!(hold(&names(100), 128, &budget).expect("little").is_none());
        let held = hold(&names(5_000), 128, &budget).expect("room").expect("some");
        assert!(held.bytes() >= 5_000 * 128, "{}", held.bytes());
        assert_eq!(budget.used_bytes(), held.bytes());
        drop(held);
        assert!(matches!(hold(&names(9_000), 128, &budget), Err(GraphError::NoMemory { .. })));
        assert_eq!(budget.used_bytes(), 0);
    }
}
