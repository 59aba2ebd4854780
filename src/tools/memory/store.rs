//! The graph of one file, for all calls of this process: in memory once it was needed, and as it is in the file.
//!
//! Calls that read share the graph; a call that finds the file changed since then reads it first, and only what is new
//! where lines were appended. One call at a time changes it: it locks the file, looks whether another process wrote it,
//! writes, and only then changes what is in memory.

use super::error::GraphError;
use super::file::{self, FileText, GraphFile, LockedFile, Seen};
use super::graph::{Change, Graph};
use super::unread::{self, LineFault, Unread};
use crate::lock::lock;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

/// The graph of one file.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    makes_directory: bool,
    loaded: RwLock<Loaded>,
    /// Held by who reads the file or writes it.
    turn: Mutex<()>,
    bytes: AtomicUsize,
    started: Instant,
    used_ms: AtomicU64,
}

/// What is in memory.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) graph: Graph,
    /// `None` where nothing was read yet, or all of it was let go.
    seen: Option<Seen>,
    /// What the graph lacks of the file.
    unread: Unread,
}

/// The graph as a call reads it.
pub(crate) struct Current<'s> {
    pub(crate) loaded: RwLockReadGuard<'s, Loaded>,
    /// Another process changed it since it was read last.
    pub(crate) is_new: bool,
}

impl Store {
    pub(crate) fn new(path: PathBuf, makes_directory: bool) -> Self {
        Self {
            path,
            makes_directory,
            loaded: RwLock::default(),
            turn: Mutex::default(),
            bytes: AtomicUsize::new(0),
            started: Instant::now(),
            used_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Heap bytes of the graph.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The graph, if it is in memory as it is in the file and nobody changes it: then nothing has to be waited for.
    pub(crate) fn at_hand(&self) -> Option<RwLockReadGuard<'_, Loaded>> {
        let loaded = match self.loaded.try_read() {
            Ok(loaded) => loaded,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let seen = loaded.seen.as_ref()?;
        let is_current = file::version(&self.path).is_ok_and(|now| now == seen.version);
        self.note_use();
        is_current.then_some(loaded)
    }

    /// The graph as it is in the file, which is read if it has changed. For a thread that may block.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn current(&self, max_bytes: usize) -> Result<Current<'_>, GraphError> {
        self.note_use();
        if let Some(loaded) = self.at_hand() {
            return Ok(Current { loaded, is_new: false });
        }
        let turn = lock(&self.turn);
        let is_new = match GraphFile::open(&self.path)? {
            Some(mut file) => self.refresh(&mut file, max_bytes)?,
            None => self.forget_missing(),
        };
        let loaded = read(&self.loaded);
        drop(turn);
        Ok(Current { loaded, is_new })
    }

    /// Changes the graph and its file as `work` says, which looks at the graph as it is in the file.
    ///
    /// # Errors
    /// Those of `work`, and when the file cannot be read or written, or a line of it cannot. Nothing has changed then.
    pub(crate) fn change<R>(
        &self,
        max_bytes: usize,
        is_cancelled: &dyn Fn() -> bool,
        work: impl FnOnce(&Graph) -> Result<(Change, R), GraphError>,
    ) -> Result<R, GraphError> {
        let _turn = lock(&self.turn);
        self.note_use();
        let target = file::behind_links(&self.path)?;
        if self.makes_directory {
            file::make_directory(&target)?;
        }
        let mut locked = LockedFile::open(&target, is_cancelled)?;
        let changed = self.refresh(&mut locked.file, max_bytes).and_then(|_| {
            // A file that is written anew would lose them, and what is new may be in one of them.
            self.check_all_read(&read(&self.loaded))?;
            let (change, result) = work(&read(&self.loaded).graph)?;
            let (is_grown, bytes) = {
                let graph = &read(&self.loaded).graph;
                (graph.is_grown_by(&change), graph.bytes_with(&change))
            };
            // What makes the graph smaller is the way out of one that is too large.
            if is_grown {
                self.check_bytes(bytes, max_bytes)?;
            }
            self.write(&mut locked, &change)?;
            Ok(result)
        });
        if changed.is_err() {
            locked.give_up();
        }
        changed
    }

    /// Writes a change to the file, and then to the graph.
    fn write(&self, locked: &mut LockedFile<'_>, change: &Change) -> Result<(), GraphError> {
        if change.is_empty() {
            return Ok(());
        }
        if let Some(seen) = &read(&self.loaded).seen {
            locked.cut_unfinished(seen)?;
        }
        let written = self.write_file(locked, change);
        let mut loaded = write(&self.loaded);
        // Until all is done, nothing was read: if this ends half-way, the next call reads the file.
        let known = loaded.seen.take().unwrap_or_default();
        let applied = written.and_then(|written| {
            let now = written.after(known);
            loaded.graph.apply(change).map_err(|fault| self.fault(fault))?;
            Ok(now)
        });
        match applied {
            Ok(now) => loaded.seen = Some(now),
            Err(error) => {
                *loaded = Loaded::default();
                self.note_bytes(&loaded);
                return Err(error);
            }
        }
        self.note_bytes(&loaded);
        Ok(())
    }

    fn write_file(&self, locked: &mut LockedFile<'_>, change: &Change) -> Result<Written, GraphError> {
        let loaded = read(&self.loaded);
        let Loaded { graph, seen, .. } = &*loaded;
        if change.only_adds() {
            let nothing = Seen::default();
            return locked.append(&change.added, seen.as_ref().unwrap_or(&nothing)).map(Written::Lines);
        }
        let mut replaced = change.replaced.iter().peekable();
        let kept = graph.lines().filter(|at| change.removed.binary_search(at).is_err()).map(|at| {
            match replaced.next_if(|(other, _)| *other == at) {
                Some((_, text)) => text.as_str(),
                None => graph.line(at),
            }
        });
        locked.replace(kept.chain(change.added.lines())).map(Written::Anew)
    }

    /// Reads what is new in the file. Returns whether the graph was there and changed.
    fn refresh(&self, file: &mut GraphFile<'_>, max_bytes: usize) -> Result<bool, GraphError> {
        let now = file.version()?;
        let more = {
            let loaded = read(&self.loaded);
            match &loaded.seen {
                Some(seen) if seen.version == now => return Ok(false),
                Some(seen) if loaded.unread.first().is_none() => file.read_more(seen)?,
                _ => None,
            }
        };
        let is_longer = more.is_some();
        if let Some(more) = more
            && self.extend(more, max_bytes)?
        {
            return Ok(true);
        }
        Ok(self.load(file, now.bytes(), max_bytes)? || is_longer)
    }

    /// Reads lines that were appended. Returns whether all of them can be read; otherwise the file is to be read anew.
    fn extend(&self, FileText { version, bytes }: FileText, max_bytes: usize) -> Result<bool, GraphError> {
        let mut loaded = write(&self.loaded);
        let mut seen = loaded.seen.take().unwrap_or_default();
        let Ok(text) = String::from_utf8(whole_lines(bytes)) else { return Ok(false) };
        self.check_bytes(loaded.graph.bytes() + text.len(), max_bytes)?;
        // Behind a last line without a newline the text begins with one, which ends that line.
        if loaded.graph.extend(&text, seen.lines).is_err() {
            return Ok(false);
        }
        seen.note(version, text.as_bytes());
        loaded.seen = Some(seen);
        self.note_bytes(&loaded);
        Ok(true)
    }

    /// Reads all of the file, but for lines that cannot be read.
    fn load(&self, file: &mut GraphFile<'_>, bytes: u64, max_bytes: usize) -> Result<bool, GraphError> {
        self.check_bytes(usize::try_from(bytes).unwrap_or(usize::MAX), max_bytes)?;
        let mut loaded = write(&self.loaded);
        let was_there = loaded.seen.is_some();
        // Not both at once in memory.
        *loaded = Loaded::default();
        self.note_bytes(&loaded);
        let FileText { version, bytes } = file.read_all()?;
        let bytes = whole_lines(bytes);
        let mut seen = Seen::default();
        seen.note(version, &bytes);
        let mut unread = Unread::default();
        let text = unread::text(bytes, &mut unread);
        let graph = Graph::read(text, &mut unread);
        self.check_bytes(graph.bytes(), max_bytes)?;
        *loaded = Loaded { graph, seen: Some(seen), unread };
        self.note_bytes(&loaded);
        Ok(was_there)
    }

    /// The file is not there: the graph is empty.
    fn forget_missing(&self) -> bool {
        let mut loaded = write(&self.loaded);
        let was_there = loaded.seen.as_ref().is_some_and(|seen| seen.whole_bytes > 0);
        *loaded = Loaded { seen: Some(Seen::default()), ..Loaded::default() };
        self.note_bytes(&loaded);
        was_there
    }

    /// Lets go of the graph, if no call used it for so long. The next call reads it again.
    pub(crate) fn let_go_after(&self, idle: Duration) {
        if self.idle_time() < idle || self.bytes() == 0 {
            return;
        }
        if let (Ok(_turn), Ok(mut loaded)) = (self.turn.try_lock(), self.loaded.try_write()) {
            *loaded = Loaded::default();
            self.note_bytes(&loaded);
        }
    }

    fn idle_time(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.used_ms.load(Ordering::Relaxed)))
    }

    fn note_use(&self) {
        self.used_ms.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn note_bytes(&self, loaded: &Loaded) {
        self.bytes.store(loaded.graph.bytes(), Ordering::Relaxed);
    }

    fn check_bytes(&self, bytes: usize, max_bytes: usize) -> Result<(), GraphError> {
        if bytes <= max_bytes {
            return Ok(());
        }
        Err(GraphError::TooLarge { path: self.path.clone(), bytes, max_bytes })
    }

    /// What an answer says of lines that it lacks; `None` where it lacks none.
    pub(crate) fn unread_note(&self, loaded: &Loaded) -> Option<String> {
        loaded.unread.note(&self.path)
    }

    /// # Errors
    /// When lines cannot be read, for an answer that has no room to say so.
    pub(crate) fn check_all_read(&self, loaded: &Loaded) -> Result<(), GraphError> {
        loaded.unread.first().map_or(Ok(()), |fault| Err(self.fault(fault.clone())))
    }

    fn fault(&self, LineFault { line, fault }: LineFault) -> GraphError {
        GraphError::Line { path: self.path.clone(), line, fault }
    }
}

/// The text without the beginning of a line that was never finished: one that has no newline, and is not JSON.
fn whole_lines(mut bytes: Vec<u8>) -> Vec<u8> {
    let last = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
    let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes[last..]).is_ok();
    let is_blank = bytes[last..].iter().all(u8::is_ascii_whitespace);
    if !is_whole && !is_blank {
        bytes.truncate(last);
    }
    bytes
}

/// What became of the file.
enum Written {
    /// It has these lines more.
    Lines(FileText),
    /// It is another file.
    Anew(Seen),
}

impl Written {
    /// What is known of the file now, where `known` is what was known before.
    fn after(self, mut known: Seen) -> Seen {
        match self {
            Self::Lines(FileText { version, bytes }) => {
                known.note(version, &bytes);
                known
            }
            Self::Anew(anew) => anew,
        }
    }
}

fn read<T>(value: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    value.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(value: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    value.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::memory::arguments::{Deletion, NewEntity};
    use crate::tools::memory::change;
    use mcpool_pools::MemoryBudget;
    use std::fmt::Write as _;

    const MOST: usize = 1 << 30;

    fn create(store: &Store, name: &str) -> Result<(), GraphError> {
        let new = [NewEntity { name, entity_type: "t", observations: Vec::new() }];
        store.change(MOST, &|| false, |graph| {
            let (change, _) = change::create_entities(graph, &new);
            Ok((change, ()))
        })
    }

    fn line(name: &str) -> String {
        format!(r#"{{"type":"entity","name":"{name}","entityType":"t","observations":[]}}"#)
    }

    #[test]
    fn a_million_lines_are_read_and_changed() {
        const LINES: usize = 1_000_000;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("memory.jsonl");
        let mut content = String::new();
        (0..LINES).for_each(|number| writeln!(content, "{}", line(&format!("n{number}"))).expect("memory"));
        std::fs::write(&path, &content).expect("a file");
        let store = Store::new(path.clone(), false);
        create(&store, "last").expect("a line more");
        create(&store, "n777777").expect("nothing to do");
        let bytes = store.bytes();
        assert!(bytes < content.len() + 45 * LINES, "{bytes} for {}", content.len());
        let gone = |graph: &Graph| Ok((change::delete_entities(graph, &["n5", "n999999"]), ()));
        store.change(MOST, &|| false, gone).expect("two lines less");
        {
            let current = store.current(MOST).expect("a graph");
            let graph = &current.loaded.graph;
            assert_eq!(graph.entities().count(), LINES - 1);
            assert_eq!(graph.entity("n5"), None);
            assert_eq!(graph.entity("n999998").map(|at| graph.line(at)), Some(&*line("n999998")));
        }
        let again = Store::new(path, false);
        let current = again.current(MOST).expect("a graph");
        assert_eq!(current.loaded.graph.entities().count(), LINES - 1);
        assert_eq!(current.loaded.graph.lines().last(), current.loaded.graph.entity("last"));
    }

    #[test]
    fn what_another_program_writes_into_the_file_is_neither_overlooked_nor_lost() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("memory.jsonl");
        let store = Store::new(path.clone(), false);
        (0..50).for_each(|number| create(&store, &format!("n{number}")).expect("a line"));
        let read = std::fs::read_to_string(&path).expect("a file");
        // The same file, with another name early in it and a line more.
        std::fs::write(&path, read.replace("\"n3\"", "\"X3\"") + &line("new") + "\n").expect("written");
        {
            let current = store.current(MOST).expect("a graph");
            let graph = &current.loaded.graph;
            assert!(graph.entity("X3").is_some() && graph.entity("new").is_some());
            assert_eq!((graph.entity("n3"), graph.entities().count()), (None, 51));
        }
        let gone = |graph: &Graph| Ok((change::delete_entities(graph, &["n40"]), ()));
        store.change(MOST, &|| false, gone).expect("a line less");
        assert!(std::fs::read_to_string(&path).expect("a file").contains("\"X3\""));
        assert!(store.at_hand().is_some(), "what this process wrote is not read again");
    }

    #[test]
    fn a_graph_that_is_as_large_as_it_may_be_can_be_made_smaller() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new(directory.path().join("memory.jsonl"), false);
        let texts: Vec<String> = (0..780).map(|number| format!("{number:06}")).collect();
        let observations = texts.iter().map(String::as_str).collect();
        let new = [NewEntity { name: "a", entity_type: "t", observations }];
        store
            .change(MOST, &|| false, |graph| Ok((change::create_entities(graph, &new).0, ())))
            .expect("a line");
        let most = store.bytes();
        assert!(matches!(
            store.change(most, &|| false, |graph| {
                let new = [NewEntity { name: &texts.concat(), entity_type: "t", observations: Vec::new() }];
                Ok((change::create_entities(graph, &new).0, ()))
            }),
            Err(GraphError::TooLarge { .. })
        ));
        for gone in ["000005", "000007"] {
            let deletion = [Deletion { entity_name: "a", observations: vec![gone] }];
            let memory = MemoryBudget::new(usize::MAX);
            store
                .change(most, &|| false, |graph| {
                    Ok((change::delete_observations(graph, &deletion, &memory)?, ()))
                })
                .expect("an observation less");
        }
        let current = store.current(MOST).expect("a graph");
        let graph = &current.loaded.graph;
        assert_eq!(graph.line(0).matches("\"000").count(), 778);
        assert!(!graph.line(0).contains("000005") && graph.line(0).ends_with("\"000779\"]}"));
        assert!(store.bytes() <= most, "{} of {most}", store.bytes());
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_refused_and_keeps_nobody_waiting() {
        for place in ["memory.jsonl", "memory.jsonl.unfinished"] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("memory.jsonl");
            if place.ends_with("unfinished") {
                std::fs::write(&path, line("a") + "\n{\"type\":").expect("a file");
            }
            let pipe = directory.path().join(place);
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
            assert!(made.success());
            let store = Store::new(path, false);
            let refused = create(&store, "b").expect_err("a pipe");
            assert!(matches!(refused, GraphError::NoFile { .. }), "{refused}");
            // Also where somebody reads from it.
            let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
            let refused = create(&store, "b").expect_err("a pipe");
            assert!(matches!(refused, GraphError::NoFile { .. }), "{refused}");
        }
    }

    #[test]
    fn a_graph_that_nobody_uses_is_let_go_and_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new(directory.path().join("memory.jsonl"), false);
        create(&store, "a").expect("a line");
        let bytes = store.bytes();
        assert!(bytes > 0);
        store.let_go_after(Duration::from_hours(24));
        assert_eq!(store.bytes(), bytes, "it was used a moment ago");
        store.let_go_after(Duration::ZERO);
        assert_eq!(store.bytes(), 0);
        assert!(store.at_hand().is_none());
        assert!(!store.current(MOST).expect("a graph").is_new, "nobody changed it");
        assert_eq!(store.current(MOST).expect("a graph").loaded.graph.entities().count(), 1);
    }

    #[test]
    fn only_what_is_new_is_read_of_a_longer_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("memory.jsonl");
        let (one, other) = (Store::new(path.clone(), false), Store::new(path, false));
        for number in 0..100 {
            create(&one, &format!("one {number}")).expect("a line");
            create(&other, &format!("other {number}")).expect("a line");
            assert!(one.current(MOST).expect("a graph").is_new);
            assert!(!one.current(MOST).expect("a graph").is_new);
        }
        for store in [&one, &other] {
            assert_eq!(store.current(MOST).expect("a graph").loaded.graph.entities().count(), 200);
        }
        // A replacement is read as a whole.
        one.change(MOST, &|| false, |graph| Ok((change::delete_entities(graph, &["one 50"]), ())))
            .expect("a line less");
        create(&other, "one 50").expect("a line");
        assert_eq!(one.current(MOST).expect("a graph").loaded.graph.entities().count(), 200);
    }

    #[test]
    fn much_that_is_replaced_does_not_pile_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new(directory.path().join("memory.jsonl"), false);
        create(&store, "a").expect("a line");
        let long = "x".repeat(4096);
        for number in 0..100 {
            store
                .change(MOST, &|| false, |graph| {
                    let at = graph.entity("a").ok_or(GraphError::Cancelled)?;
                    let text = line("a").replace("[]", &format!("[\"{number}{long}\"]"));
                    Ok((Change { replaced: vec![(at, text)], ..Change::default() }, ()))
                })
                .expect("another line");
        }
        assert!(store.bytes() < 160 * 1024, "{}", store.bytes());
        let current = store.current(MOST).expect("a graph");
        let graph = &current.loaded.graph;
        assert!(graph.entity("a").is_some_and(|at| graph.line(at).contains("[\"99xxx")));
    }
}
