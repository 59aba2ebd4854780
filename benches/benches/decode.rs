//! One call of a tool, from the bytes of its frame to its typed arguments, against the rivals.
//!
//! `cargo bench -p mcpool-benches --features rivals --bench decode -- --quick`
//!
//! Every row decodes everything: the envelope, and the arguments to the leaf. The untyped rows build trees; the
//! typed rows of the rivals find the envelope first, keep the arguments raw, and decode them in a second pass,
//! since only then the tool is known. Ours takes one pass. Each row adds up what it decoded, so that rows that
//! disagree fail. simd-json rewrites its input: its row copies the frame first, as a server would have to.

use bumpalo::Bump;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mcpool::protocol::{ArgumentsAt, MessageDecoder};
use mcpool::wire::{Elements, Folded};
use mcpool_benches::alloc_count::{COUNTED_MIMALLOC, CountedMiMalloc, allocations_per_call};
use mcpool_benches::frames::{self, NamedFrame};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sonic_rs::{JsonContainerTrait, JsonValueTrait, LazyValue};
use std::borrow::Cow;
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: CountedMiMalloc = COUNTED_MIMALLOC;

/// What was decoded, added up: the bytes of strings and the integers, so that nothing is left out.
trait Sum<'f> {
    fn sum(&self, arena: &'f Bump) -> usize;
}

/// A string that is borrowed if it has no escapes, as the rivals do it.
#[derive(Deserialize)]
struct Borrowed<'f>(#[serde(borrow)] Cow<'f, str>);

impl<'f> Sum<'f> for Borrowed<'f> {
    fn sum(&self, _: &'f Bump) -> usize {
        self.0.len()
    }
}

impl<'f> Sum<'f> for &'f str {
    fn sum(&self, _: &'f Bump) -> usize {
        self.len()
    }
}

impl<'f, T: Sum<'f>> Sum<'f> for Vec<T> {
    fn sum(&self, arena: &'f Bump) -> usize {
        self.iter().map(|element| element.sum(arena)).sum()
    }
}

impl<'f, T: Sum<'f> + Deserialize<'f>> Sum<'f> for Elements<'f, T> {
    fn sum(&self, arena: &'f Bump) -> usize {
        self.iter(arena).map(|element| element.map_or(0, |element| element.sum(arena))).sum()
    }
}

/// A list in the arena.
struct InArena<'f, T>(Elements<'f, T>);

impl<'de: 'f, 'f, T> Deserialize<'de> for InArena<'f, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Elements::deserialize(deserializer).map(Self)
    }
}

impl<'f, T: Sum<'f> + Deserialize<'f> + Copy + 'f> Sum<'f> for InArena<'f, T> {
    fn sum(&self, arena: &'f Bump) -> usize {
        self.0.collect(arena).map_or(0, |list| list.iter().map(|element| element.sum(arena)).sum())
    }
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "names of the frame")]
struct Text<S> {
    path: S,
    text: S,
    #[serde(default)]
    line: usize,
    #[serde(default)]
    dry_run: bool,
}

impl<'f, S: Sum<'f>> Sum<'f> for Text<S> {
    fn sum(&self, arena: &'f Bump) -> usize {
        black_box(self.dry_run);
        self.path.sum(arena) + self.text.sum(arena) + self.line
    }
}

#[derive(Deserialize, Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
}

#[derive(Deserialize, Clone, Copy)]
struct Edit<S> {
    from: S,
    to: S,
    range: Range,
    all: bool,
}

impl<'f, S: Sum<'f>> Sum<'f> for Edit<S> {
    fn sum(&self, arena: &'f Bump) -> usize {
        black_box(self.all);
        self.from.sum(arena) + self.to.sum(arena) + self.range.start + self.range.end
    }
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "names of the frame")]
struct Edits<S, L> {
    path: S,
    edits: L,
    dry_run: bool,
}

impl<'f, S: Sum<'f>, L: Sum<'f>> Sum<'f> for Edits<S, L> {
    fn sum(&self, arena: &'f Bump) -> usize {
        black_box(self.dry_run);
        self.path.sum(arena) + self.edits.sum(arena)
    }
}

#[derive(Deserialize, Clone, Copy)]
struct Entry<S, P> {
    id: usize,
    name: S,
    size: usize,
    is_dir: bool,
    tags: P,
}

impl<'f, S: Sum<'f>> Sum<'f> for Entry<S, [S; 2]> {
    fn sum(&self, arena: &'f Bump) -> usize {
        black_box(self.is_dir);
        self.id + self.name.sum(arena) + self.size + self.tags[0].sum(arena) + self.tags[1].sum(arena)
    }
}

#[derive(Deserialize)]
struct Entries<L> {
    entries: L,
}

impl<'f, L: Sum<'f>> Sum<'f> for Entries<L> {
    fn sum(&self, arena: &'f Bump) -> usize {
        self.entries.sum(arena)
    }
}

/// What a list adds up to, while it is decoded.
#[derive(Default)]
struct Total(usize);

impl<'f> Extend<Edit<&'f str>> for Total {
    fn extend<I: IntoIterator<Item = Edit<&'f str>>>(&mut self, edits: I) {
        for edit in edits {
            black_box(edit.all);
            self.0 += edit.from.len() + edit.to.len() + edit.range.start + edit.range.end;
        }
    }
}

impl<'f> Extend<Entry<&'f str, [&'f str; 2]>> for Total {
    fn extend<I: IntoIterator<Item = Entry<&'f str, [&'f str; 2]>>>(&mut self, entries: I) {
        for entry in entries {
            black_box(entry.is_dir);
            self.0 += entry.id + entry.name.len() + entry.size + entry.tags[0].len() + entry.tags[1].len();
        }
    }
}

impl<'f, T> Sum<'f> for Folded<T, Total> {
    fn sum(&self, _: &'f Bump) -> usize {
        self.get().0
    }
}

fn ours<'f, A: Deserialize<'f> + Sum<'f>>(frame: &'f [u8], arena: &'f Bump) -> usize {
    let mut decoder = MessageDecoder::new(frame, arena).expect("UTF-8");
    assert_eq!(decoder.begin(), Ok(ArgumentsAt::Here));
    let arguments: A = decoder.arguments().expect("JSON").expect("arguments that fit");
    black_box(decoder.message());
    arguments.sum(arena)
}

#[derive(Deserialize)]
struct Envelope<'f, R> {
    jsonrpc: &'f str,
    id: R,
    method: Borrowed<'f>,
    params: Params<'f, R>,
}

#[derive(Deserialize)]
struct Params<'f, R> {
    #[serde(borrow)]
    name: Borrowed<'f>,
    arguments: R,
    _meta: R,
}

fn serde_json_typed<'f, A: Deserialize<'f> + Sum<'f>>(frame: &'f [u8], arena: &'f Bump) -> usize {
    let envelope: Envelope<'f, &'f RawValue> = serde_json::from_slice(frame).expect("an envelope");
    black_box((envelope.jsonrpc, envelope.id, &envelope.method.0, &envelope.params.name.0));
    let arguments: A = serde_json::from_str(envelope.params.arguments.get()).expect("arguments");
    arguments.sum(arena)
}

fn sonic_typed<'f, A: Deserialize<'f> + Sum<'f>>(frame: &'f [u8], arena: &'f Bump) -> usize {
    let envelope: Envelope<'f, LazyValue<'f>> = sonic_rs::from_slice(frame).expect("an envelope");
    black_box((envelope.jsonrpc, &envelope.id, &envelope.method.0, &envelope.params.name.0));
    let arguments = match envelope.params.arguments.as_raw_cow() {
        Cow::Borrowed(text) => sonic_rs::from_str::<A>(text).expect("arguments"),
        Cow::Owned(_) => unreachable!("raw text of a slice is borrowed"),
    };
    arguments.sum(arena)
}

fn serde_json_tree(frame: &[u8]) -> usize {
    fn sum(value: &Value) -> usize {
        match value {
            Value::String(text) => text.len(),
            Value::Number(number) => number.as_u64().map_or(0, |number| number as usize),
            Value::Array(list) => list.iter().map(sum).sum(),
            Value::Object(map) => map.values().map(sum).sum(),
            Value::Null | Value::Bool(_) => 0,
        }
    }
    let value: Value = serde_json::from_slice(frame).expect("JSON");
    sum(&value["params"]["arguments"])
}

fn sonic_tree(frame: &[u8]) -> usize {
    fn sum(value: &sonic_rs::Value) -> usize {
        if let Some(text) = value.as_str() {
            text.len()
        } else if let Some(number) = value.as_u64() {
            number as usize
        } else if let Some(list) = value.as_array() {
            list.iter().map(sum).sum()
        } else if let Some(map) = value.as_object() {
            map.iter().map(|(_, value)| sum(value)).sum()
        } else {
            0
        }
    }
    let value: sonic_rs::Value = sonic_rs::from_slice(frame).expect("JSON");
    sum(&value["params"]["arguments"])
}

fn simd_json_tree(frame: &[u8], copy: &mut Vec<u8>, buffers: &mut simd_json::Buffers) -> usize {
    fn sum(value: &simd_json::BorrowedValue<'_>) -> usize {
        use simd_json::{BorrowedValue, StaticNode};
        match value {
            BorrowedValue::String(text) => text.len(),
            BorrowedValue::Static(StaticNode::U64(number)) => *number as usize,
            BorrowedValue::Static(StaticNode::I64(number)) => *number as usize,
            BorrowedValue::Static(_) => 0,
            BorrowedValue::Array(list) => list.iter().map(sum).sum(),
            BorrowedValue::Object(map) => map.values().map(sum).sum(),
        }
    }
    copy.clear();
    copy.extend_from_slice(frame);
    let value = simd_json::to_borrowed_value_with_buffers(copy, buffers).expect("JSON");
    sum(&value["params"]["arguments"])
}

/// Times one row, once it agrees with the others, and prints what it allocates.
fn row(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    expected: usize,
    mut decode: impl FnMut(&mut Bump) -> usize,
) {
    let mut arena = Bump::new();
    let mut once = || {
        arena.reset();
        decode(&mut arena)
    };
    let mut is_first = true;
    group.bench_function(name, |bencher| {
        if std::mem::take(&mut is_first) {
            for _ in 0..3 {
                assert_eq!(once(), expected, "{name} decodes something else");
            }
            println!(
                "  {name}: {:.1} allocations a frame",
                allocations_per_call(10, || _ = black_box(once()))
            );
        }
        bencher.iter(&mut once);
    });
}

macro_rules! rows {
    ($criterion:ident, $frame:expr, ours: [$($row:literal $ours:ty),+], rivals: $rivals:ty) => {{
        let NamedFrame { name, bytes } = $frame;
        let mut group = $criterion.benchmark_group(format!("decode/{name}"));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: bytes.len() as u64 });
        let sum = serde_json_tree(&bytes);
        $(row(&mut group, $row, sum, |arena| ours::<$ours>(black_box(&bytes), arena));)+
        row(&mut group, "serde_json Value", sum, |_| serde_json_tree(black_box(&bytes)));
        row(&mut group, "serde_json typed", sum, |arena| serde_json_typed::<$rivals>(black_box(&bytes), arena));
        row(&mut group, "sonic-rs Value", sum, |_| sonic_tree(black_box(&bytes)));
        row(&mut group, "sonic-rs typed", sum, |arena| sonic_typed::<$rivals>(black_box(&bytes), arena));
        let (mut copy, mut buffers) = (Vec::new(), simd_json::Buffers::default());
        row(&mut group, "simd-json", sum, |_| simd_json_tree(black_box(&bytes), &mut copy, &mut buffers));
        group.finish();
    }};
}

fn decode(criterion: &mut Criterion) {
    rows!(criterion, frames::echo(), ours: ["mcpool" Text<&str>], rivals: Text<Borrowed<'_>>);
    rows!(
        criterion,
        frames::edits(),
        ours: [
            "mcpool, list folded" Edits<&str, Folded<Edit<&str>, Total>>,
            "mcpool, list while walking" Edits<&str, Elements<'_, Edit<&str>>>,
            "mcpool, list in the arena" Edits<&str, InArena<'_, Edit<&str>>>,
            "mcpool, list in a Vec" Edits<&str, Vec<Edit<&str>>>
        ],
        rivals: Edits<Borrowed<'_>, Vec<Edit<Borrowed<'_>>>>
    );
    rows!(criterion, frames::plain(), ours: ["mcpool" Text<&str>], rivals: Text<Borrowed<'_>>);
    rows!(criterion, frames::source(), ours: ["mcpool" Text<&str>], rivals: Text<Borrowed<'_>>);
    rows!(
        criterion,
        frames::objects(),
        ours: [
            "mcpool, list folded" Entries<Folded<Entry<&str, [&str; 2]>, Total>>,
            "mcpool, list while walking" Entries<Elements<'_, Entry<&str, [&str; 2]>>>,
            "mcpool, list in the arena" Entries<InArena<'_, Entry<&str, [&str; 2]>>>,
            "mcpool, list in a Vec" Entries<Vec<Entry<&str, [&str; 2]>>>
        ],
        rivals: Entries<Vec<Entry<Borrowed<'_>, [Borrowed<'_>; 2]>>>
    );
}

criterion_group!(benches, decode);
criterion_main!(benches);
