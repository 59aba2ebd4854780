//! Who is given each request when it has ended, the names that clients give themselves, and what each did.
//!
//! Invariants: names have a bound in number and length, however many clients there are; a client is a number of eight
//! bits, so that sessions and requests hold no text; once a name is known, nothing is allocated.

use crate::memory::{ClientReport, lasting};
use crate::server::state::client_activity::ClientActivity;
use crate::traffic::EndedRequest;
use std::fmt;
use std::sync::OnceLock;

/// Names that are kept; what a process serves are a handful of programs.
const MAX_NAMES: usize = 64;
/// The longest name; the rest is cut off.
const MAX_NAME_BYTES: usize = 64;

/// What is given the requests.
type Sink = Box<dyn Fn(&EndedRequest<'_>) + Send + Sync>;

/// The number of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ClientNumber(u8);

impl ClientNumber {
    /// A client without a name, or with one too many.
    pub(crate) const UNNAMED: Self = Self(1);
    const FIRST_NAME: u8 = 2;

    pub(crate) const fn of_u8(number: u8) -> Self {
        Self(number)
    }

    pub(crate) const fn to_u8(self) -> u8 {
        self.0
    }

    /// Whether it stands for no client.
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// It, or else [`Self::UNNAMED`].
    pub(crate) fn or_unnamed(self) -> Self {
        if self.is_none() { Self::UNNAMED } else { self }
    }
}

/// Who is given the requests that end.
pub(crate) struct RequestObserver {
    sink: Sink,
    clients: [OnceLock<Box<KnownClient>>; MAX_NAMES],
    unnamed: ClientActivity,
}

/// The clients of one name.
struct KnownClient {
    name: Box<str>,
    activity: ClientActivity,
}

impl RequestObserver {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, clients: [const { OnceLock::new() }; MAX_NAMES], unnamed: ClientActivity::default() }
    }

    /// The number of the client that calls itself so.
    pub(crate) fn number_of(&self, name: &str) -> ClientNumber {
        let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
        if name.is_empty() {
            return ClientNumber::UNNAMED;
        }
        let known = || KnownClient { name: name.into(), activity: ClientActivity::default() };
        let new = || lasting(|| Box::new(known()));
        for (entry, number) in self.clients.iter().zip(ClientNumber::FIRST_NAME..) {
            if &*entry.get_or_init(new).name == name {
                return ClientNumber(number);
            }
        }
        ClientNumber::UNNAMED
    }

    /// The name of a client; `None` if it has none.
    pub(crate) fn name_of(&self, client: ClientNumber) -> Option<&str> {
        self.known(client).map(|known| &*known.name)
    }

    fn known(&self, client: ClientNumber) -> Option<&KnownClient> {
        let index = client.0.checked_sub(ClientNumber::FIRST_NAME)?;
        self.clients.get(usize::from(index))?.get().map(|known| &**known)
    }

    /// Counts a request of a client, and hands it on.
    pub(crate) fn note(&self, client: ClientNumber, request: &EndedRequest<'_>) {
        self.known(client).map_or(&self.unnamed, |known| &known.activity).note(request);
        (self.sink)(request);
    }

    /// What each client did; those without a name, or with one too many, have an empty one. `sessions` are those that
    /// are open: whose, and the bytes of each.
    pub(crate) fn report(&self, sessions: &[(ClientNumber, u64)]) -> Vec<ClientReport> {
        let named = (ClientNumber::FIRST_NAME..).map(ClientNumber).zip(&self.clients);
        let named = named.filter_map(|(number, known)| {
            let known = known.get()?;
            Some((number, known.activity.report(&known.name)?))
        });
        let unnamed = self.unnamed.report("").map(|report| (ClientNumber::UNNAMED, report));
        let mut reports: Vec<_> = named.chain(unnamed).collect();
        for (client, bytes) in sessions {
            if let Some((_, report)) = reports.iter_mut().find(|(number, _)| *number == client.or_unnamed()) {
                report.sessions += 1;
                report.session_bytes += bytes;
            }
        }
        reports.into_iter().map(|(_, report)| report).collect()
    }

    /// Heap bytes of the names and counts.
    pub(crate) fn bytes(&self) -> usize {
        let known = self.clients.iter().filter_map(OnceLock::get);
        known.map(|known| known.name.len() + size_of::<KnownClient>()).sum()
    }
}

impl fmt::Debug for RequestObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestObserver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::RequestResult;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn names_are_numbers_and_bounded() {
        let observer = RequestObserver::new(Box::new(|_| {}));
        let first = observer.number_of("one");
        assert_eq!((observer.name_of(first), observer.number_of("one")), (Some("one"), first));
        let long = "\u{e9}".repeat(1_000);
        let cut = observer.number_of(&long);
        assert_eq!(observer.name_of(cut).map(str::len), Some(MAX_NAME_BYTES));
        assert_eq!(observer.number_of(""), ClientNumber::UNNAMED);
        for n in 0..1_000 {
            observer.number_of(&n.to_string());
        }
        assert_eq!(observer.number_of("one too many"), ClientNumber::UNNAMED);
        assert_eq!((observer.name_of(ClientNumber::UNNAMED), observer.name_of(first)), (None, Some("one")));
        assert!(observer.bytes() <= MAX_NAMES * (MAX_NAME_BYTES + 1_024), "{}", observer.bytes());
    }

    #[test]
    fn what_clients_did_is_told_by_their_names() {
        let given = Arc::new(AtomicUsize::new(0));
        let sink = Arc::clone(&given);
        let observer = RequestObserver::new(Box::new(move |_| {
            sink.fetch_add(1, Ordering::Relaxed);
        }));
        let (editor, idle) = (observer.number_of("editor"), observer.number_of("idle"));
        let request = |client, result, ms| {
            observer.note(
                client,
                &EndedRequest {
                    client: None,
                    principal: 0,
                    method: None,
                    tool: None,
                    result,
                    answer_bytes: 100,
                    took: Duration::from_millis(ms),
                },
            );
        };
        for ms in [1, 1, 1, 50] {
            request(editor, RequestResult::Ok, ms);
        }
        request(editor, RequestResult::ToolError, 1);
        request(ClientNumber::default(), RequestResult::Error(-32601), 2);
        let reports =
            observer.report(&[(editor, 700), (editor, 50), (idle, 9), (ClientNumber::default(), 3)]);
        let told: Vec<_> = reports
            .iter()
            .map(|r| {
                (
                    r.name.as_str(),
                    r.requests,
                    r.errors,
                    r.answer_bytes,
                    r.busy_ms,
                    r.sessions,
                    r.session_bytes,
                )
            })
            .collect();
        assert_eq!(told, [("editor", 5, 1, 500, 54, 2, 750), ("", 1, 1, 100, 2, 1, 3)]);
        let near = |ns: u64, ms: f64| (ns as f64 / (ms * 1e6) - 1.0).abs() < 0.08;
        assert!(near(reports[0].p50_ns, 1.0) && near(reports[0].p99_ns, 50.0), "{:?}", reports[0]);
        assert_eq!(given.load(Ordering::Relaxed), 6);
    }
}
