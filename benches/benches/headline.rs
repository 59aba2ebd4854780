//! What the figure "8.5+ GiB/s message processing" is, the same on equal terms, and what honest work reaches.
//!
//! `cargo bench -p mcpool-benches --features criterion --bench headline -- --quick`
//!
//! The figure comes from the project that this one's mission was written for. It benches `serde_json` there: one JSON-RPC
//! message whose payload is a single string of 1 KB to 1 MB without an escape, turned into a tree (`Value`) and back,
//! over and over, so that all of it stays in the cache. Nothing is read, no frame is found, nothing is routed, no tool
//! is called, and nobody answers. Such a string is the easiest JSON there is: one search for the closing quote, one copy.
//! So it says how fast long plain strings pass one stage, and says nothing about calls of tools.
//!
//! The groups `plain` repeat it: rows `serde_json Value` do what was done there, `mcpool decode` and `mcpool encode` the
//! same stages as they are here: from the bytes of the frame to typed arguments, and from those to the bytes of an
//! answer of the same size. `serde_json` checks that strings are UTF-8, and so do we.
//!
//! The row `whole request` is the honest one: the bytes are copied in as a read would, the frame is found, checked to be
//! UTF-8, decoded, routed, the arguments handed to a tool, and the tool's answer, as large as the frame, is written.
//! Bytes are counted once, those of the frame, though as many go out as come in. `escaped` is source code with an
//! escape every twenty to forty bytes, `structured` a list of small objects, every one decoded to its leaves and written
//! anew: that is what people send. What the kernel adds is in the bench `transport`.

use bumpalo::Bump;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use mcpool::protocol::{ArgumentsAt, MessageDecoder};
use mcpool::wire::Reply;
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc};
use mcpool_benches::bench_tools::{EchoArguments, Entries, Entry};
use mcpool_benches::in_process::{self, InProcess};
use mcpool_benches::requests::{Filling, NamedRequest};
use mcpool_benches::row::{frames, group, row};
use mcpool_pools::BufferPool;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

const SIZES: [(&str, usize); 4] =
    [("1 KB", 1_000), ("10 KB", 10_000), ("100 KB", 100_000), ("1 MB", 1_000_000)];

/// Decodes all of a frame; gives the arguments.
fn decode<'f, A: Deserialize<'f>>(frame: &'f [u8], arena: &'f Bump) -> A {
    let mut decoder = MessageDecoder::new(frame, arena).expect("UTF-8");
    assert_eq!(decoder.begin(), Ok(ArgumentsAt::Here));
    let arguments = decoder.arguments().expect("JSON").expect("arguments that fit");
    black_box(decoder.message());
    arguments
}

/// Adds up what is in the list, so that each entry is decoded.
fn sum(entries: &Entries<'_>, arena: &Bump) -> u64 {
    let sizes = entries.entries.iter(arena).map(|entry| {
        let Entry { id, name, size, is_dir, tags } = black_box(entry.expect("an entry"));
        id + size + u64::from(is_dir) + (name.len() + tags[0].len() + tags[1].len()) as u64
    });
    sizes.sum()
}

/// What our encoder is given: typed, as a tool has it.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'f> {
    Text(&'f str),
    Entries(Vec<Entry<'f>>),
}

impl<'f> Payload<'f> {
    fn of(filling: Filling, frame: &'f [u8], arena: &'f Bump) -> Self {
        if filling == Filling::Structured {
            let list = decode::<Entries<'_>>(frame, arena).entries;
            return Self::Entries(list.iter(arena).map(|entry| entry.expect("an entry")).collect());
        }
        Self::Text(decode::<EchoArguments<'_>>(frame, arena).text)
    }

    /// The frame again, in a leased buffer.
    fn write(&self, buffers: &BufferPool) -> usize {
        let mut reply = Reply::new(buffers.clone(), 8 << 20);
        reply.literal(r#"{"jsonrpc":"2.0","id":4711,"method":"tools/call","params":{"name":"echo","arguments":{"text":"#);
        match self {
            Self::Text(text) => reply.string(black_box(text)),
            Self::Entries(entries) => reply.value(black_box(entries)).expect("JSON"),
        }
        reply.literal("}}}");
        reply.finish().expect("room").len()
    }
}

fn rows(
    group: &mut BenchmarkGroup<'_, WallTime>,
    filling: Filling,
    request: &NamedRequest,
    connection: &mut InProcess,
) {
    let frame = request.line.strip_suffix(b"\n").expect("a line");
    let throughput = || frames(1, frame.len());
    let parse = |frame: &[u8]| serde_json::from_slice::<Value>(frame).expect("JSON");
    let tree = parse(frame);
    row(group, "serde_json Value, deserialise", throughput(), || parse(black_box(frame)));
    row(group, "serde_json Value, serialise", throughput(), || serde_json::to_vec(black_box(&tree)));
    let mut arena = Bump::new();
    row(group, "mcpool decode", throughput(), || {
        arena.reset();
        if filling == Filling::Structured {
            sum(&decode(black_box(frame), &arena), &arena)
        } else {
            decode::<EchoArguments<'_>>(black_box(frame), &arena).text.len() as u64
        }
    });
    let (kept, buffers) = (Bump::new(), BufferPool::default());
    let payload = Payload::of(filling, frame, &kept);
    assert!(payload.write(&buffers).abs_diff(frame.len()) < 16, "what is encoded is the frame");
    row(group, "mcpool encode", throughput(), || payload.write(&buffers));
    let answer_bytes = request.check(connection);
    row(group, "whole request", throughput(), || {
        assert_eq!(connection.exchange(black_box(&request.line)), answer_bytes);
    });
}

fn headline(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().expect("a folder");
    let server = in_process::server(folder.path()).expect("a server");
    for filling in [Filling::Plain, Filling::Escaped, Filling::Structured] {
        for (name, bytes) in SIZES {
            let request = filling.request(bytes);
            let mut group = group(criterion, &format!("headline/{}/{name}", filling.name()));
            rows(&mut group, filling, &request, &mut InProcess::connect(&server));
            group.finish();
        }
    }
}

criterion_group!(benches, headline);
criterion_main!(benches);
