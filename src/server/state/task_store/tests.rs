//! Tasks that begin, ask and end in any order, and the bounds of all of them.

use super::*;
use crate::server::state::task::Input;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

/// All orders of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let with = |order: &Vec<usize>, at| {
        let mut order = order.clone();
        order.insert(at, last);
        order
    };
    orders(last).iter().flat_map(|order| (0..count).map(move |at| with(order, at))).collect()
}

fn store(max_tasks: usize) -> TaskStore {
    TaskStore::new(&Limits { max_tasks, ..Limits::default() })
}

fn is_cancelled(store: &TaskStore, id: &str) -> bool {
    store.poll_cancelled(id, &mut Context::from_waker(Waker::noop())).is_ready()
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn shown(store: &TaskStore, id: &str, principal: u128) -> Option<serde_json::Value> {
    let mut reply = Reply::new(BufferPool::default(), 1 << 20);
    store.write(id, principal, &mut reply).then(|| {
        let members = reply.finish().expect("room");
        let json = format!("{{{}}}", String::from_utf8_lossy(&members));
        serde_json::from_str(&json).expect("JSON")
    })
}

#[test]
fn a_task_goes_from_working_to_its_result_and_stays() {
    let (store, now) = (store(4), SystemTime::now());
    let id = store.create(1, now).expect("room");
    assert_eq!(shown(&store, &id, 1).expect("mine")["status"], "working");
    assert!(shown(&store, &id, 2).is_none(), "of another principal");
    store.complete(&id, &raw(r#"{"content":[]}"#), now, None).expect("room");
    store.fail(&id, &raw("{}"), now, None).expect("room");
    assert!(store.cancel(&id, 1, now));
    let task = shown(&store, &id, 1).expect("mine");
    assert_eq!(task["status"], "completed");
    assert_eq!(task["result"]["content"], serde_json::json!([]));
    assert!(task["createdAt"].as_str().is_some_and(|time| time.ends_with('Z')));
}

#[test]
fn inputs_are_answered_one_by_one_and_once() {
    let (store, now) = (store(4), SystemTime::now());
    let mut cx = Context::from_waker(Waker::noop());
    let id = store.create(1, now).expect("room");
    store.ask(&id, "a", &InputRequest::roots(), now).expect("room");
    store.ask(&id, "b", &InputRequest::roots(), now).expect("room");
    let task = shown(&store, &id, 1).expect("mine");
    assert_eq!(task["status"], "input_required");
    assert_eq!(task["inputRequests"].as_object().map(serde_json::Map::len), Some(2));
    let of_another = store.update(&id, 2, [("a", "1")].into_iter(), now);
    assert_eq!(of_another, Updated::Unknown);
    assert_eq!(store.update(&id, 1, [("a", "1"), ("x", "2")].into_iter(), now), Updated::Done);
    assert_eq!(store.update(&id, 1, [("a", "3")].into_iter(), now), Updated::Done);
    assert_eq!(store.poll_answer(&id, "a", &mut cx), Poll::Ready(Some("1".into())));
    assert_eq!(store.poll_answer(&id, "b", &mut cx), Poll::Pending);
    store.ask(&id, "a", &InputRequest::roots(), now).expect("room");
    let task = shown(&store, &id, 1).expect("mine");
    assert_eq!(task["inputRequests"].as_object().map(serde_json::Map::len), Some(1), "{task}");
    assert!(store.cancel(&id, 1, now));
    assert_eq!(store.poll_answer(&id, "b", &mut cx), Poll::Ready(None));
    assert!(is_cancelled(&store, &id));
}

#[test]
fn the_store_is_bounded_and_forgets() {
    let (store, now) = (store(2), SystemTime::now());
    let first = store.create(1, now).expect("room");
    store.create(1, now).expect("room");
    assert_eq!(store.create(1, now), Err(StoreFull));
    let later = now + Limits::default().task_ttl();
    store.create(1, later).expect("those whose time is over make room");
    assert!(is_cancelled(&store, &first));
    store.sweep(later + Limits::default().task_ttl());
    assert_eq!(store.len(), 0);
}

/// A task is kept for as long as its client wants, within what the server allows.
#[test]
fn each_task_has_its_own_time() {
    let (store, begun) = (store(8), SystemTime::now());
    let times = [1, 20, 100_000].map(Duration::from_secs);
    let ids = times.map(|ttl| store.create_for(1, Some(7), ttl, begun).expect("room"));
    let there_after = |seconds| {
        store.sweep(begun + Duration::from_secs(seconds));
        ids.each_ref().map(|id| shown(&store, id, 1).is_some())
    };
    let most = Limits::default().task_ttl().as_secs();
    assert_eq!(
        there_after(Limits::default().task_poll_interval().as_secs()),
        [true; 3],
        "long enough for a question"
    );
    assert_eq!(there_after(19), [false, true, true]);
    assert_eq!(there_after(20), [false, false, true]);
    assert_eq!(there_after(most - 1), [false, false, true]);
    assert_eq!(there_after(most), [false; 3]);
}

#[test]
fn one_principal_leaves_tasks_to_others() {
    let (store, now) = (store(20), SystemTime::now());
    let fill = |principal| std::iter::from_fn(|| store.create(principal, now).ok()).count();
    assert_eq!([fill(1), fill(2), fill(3)], [15, 3, 1]);
    assert!(StoreFull.to_string().contains("principal_share_percent"));
    store.cancel_all(now);
    assert_eq!((store.unfinished.held(), fill(4)), (0, 15));
    store.sweep(now + Limits::default().task_ttl());
    assert_eq!((store.len(), store.bytes(), store.unfinished.held()), (0, 0, 0));
}

/// Tasks end in every way and order, each twice: a slot comes back once.
#[test]
fn a_task_gives_its_slot_back_once_however_it_ends() {
    let json = raw("{}");
    for order in orders(4) {
        let (store, now) = (store(8), SystemTime::now());
        let ids: Vec<_> = std::iter::from_fn(|| store.create(1, now).ok()).collect();
        assert_eq!(ids.len(), 6);
        for (ended, way) in order.iter().enumerate() {
            for _ in 0..2 {
                match way {
                    0 => store.complete(&ids[0], &json, now, None).expect("room"),
                    1 => store.fail(&ids[1], &json, now, None).expect("room"),
                    2 => assert!(store.cancel(&ids[2], 1, now)),
                    _ => store.fail_without_room(&ids[3], &json, now),
                }
                assert_eq!(store.unfinished.held(), 5 - ended, "{order:?}");
            }
        }
        assert_eq!(store.len(), 6, "what has ended is kept while there is room");
        assert_eq!(std::iter::from_fn(|| store.create(1, now).ok()).count(), 4, "{order:?}");
        assert_eq!(store.len(), 8, "two that have ended made room");
        assert!(ids[4..].iter().all(|id| shown(&store, id, 1).is_some()), "those that run did not");
        let later = now + Limits::default().task_ttl();
        store.create(1, later).expect("those whose time is over make room");
        assert_eq!((store.len(), store.unfinished.held()), (1, 1));
    }
}

#[test]
fn a_new_task_replaces_the_oldest_finished_one_of_who_keeps_most() {
    let (store, begun) = (store(4), SystemTime::now());
    let end = |principal, second| {
        let at = begun + Duration::from_secs(second);
        let id = store.create(principal, at).expect("room");
        store.complete(&id, &raw("{}"), at, None).expect("room");
        id
    };
    let few = end(2, 0);
    let many = [1, 2, 3, 4, 5].map(|second| end(1, second));
    let is_there = |principal, id: &str| shown(&store, id, principal).is_some();
    assert!(is_there(2, &few), "another principal's flood takes nothing from who keeps less");
    assert_eq!(many.each_ref().map(|id| is_there(1, id)), [false, false, true, true, true]);
    end(2, 6);
    assert!(is_there(2, &few) && !is_there(1, &many[2]));
}

/// A question of a call that is no task counts while it waits, beside what tasks hold.
#[test]
fn a_question_counts_while_it_waits() {
    let store = TaskStore::new(&Limits { max_task_bytes: Some(4_096), ..Limits::default() });
    let question = store.keep_question(1, 3_000).expect("room");
    assert_eq!(store.bytes(), 3_000);
    let error = store.keep_question(1, 600).expect_err("it has its share");
    assert!(error.to_string().contains("max_task_bytes"), "{error}");
    drop(store.keep_question(2, 600).expect("another principal has room"));
    drop(question);
    assert_eq!(store.bytes(), 0);
}

/// A waker that counts its wakes and locks the store, as the code of an executor may.
struct CountingWaker {
    store: Arc<TaskStore>,
    woken: AtomicUsize,
}

impl CountingWaker {
    fn new(store: &Arc<TaskStore>) -> Arc<Self> {
        Arc::new(Self { store: Arc::clone(store), woken: AtomicUsize::new(0) })
    }

    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst) > 0
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.store.len();
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

/// A driver, two waits of a handler and two updates, in every order: an update wakes the wait for its answer. Each
/// step is atomic, as one lock guards all state.
#[test]
fn an_update_wakes_the_wait_for_its_answer_in_any_order() {
    const STEPS: usize = 6;
    for order in orders(STEPS) {
        let store = Arc::new(store(4));
        let now = SystemTime::now();
        let id = store.create(1, now).expect("room");
        for key in ["a", "b"] {
            store.ask(&id, key, &InputRequest::roots(), now).expect("room");
        }
        let [driver, first, second] = [(); 3].map(|()| CountingWaker::new(&store));
        let mut waits = [false; 2];
        for step in &order {
            let wait = |key: &str, counting: &Arc<CountingWaker>| {
                let waker = Waker::from(Arc::clone(counting));
                store.poll_answer(&id, key, &mut Context::from_waker(&waker)).is_pending()
            };
            match step {
                0 | 5 => {
                    let waker = Waker::from(Arc::clone(&driver));
                    let cx = &mut Context::from_waker(&waker);
                    assert!(store.poll_cancelled(&id, cx).is_pending());
                }
                1 => waits[0] = wait("a", &first),
                2 => waits[1] = wait("b", &second),
                3 => drop(store.update(&id, 1, [("a", "1")].into_iter(), now)),
                _ => drop(store.update(&id, 1, [("b", "2")].into_iter(), now)),
            }
        }
        assert_eq!(waits, [first.is_woken(), second.is_woken()], "{order:?}");
        assert!(!driver.is_woken(), "{order:?}");
        assert!(store.cancel(&id, 1, now) && driver.is_woken(), "{order:?}");
    }
}

#[test]
fn no_wake_is_lost_on_several_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for _ in 0..200 {
            let (store, now) = (Arc::new(store(4)), SystemTime::now());
            let id = store.create(1, now).expect("room");
            let keys = ["a", "b", "c", "d"];
            let mut waits = Vec::new();
            for key in keys {
                store.ask(&id, key, &InputRequest::roots(), now).expect("room");
                let (store, id) = (Arc::clone(&store), id.clone());
                waits.push(tokio::spawn(async move {
                    std::future::poll_fn(|cx| {
                        let _ = store.poll_cancelled(&id, cx);
                        store.poll_answer(&id, key, cx)
                    })
                    .await
                }));
            }
            for key in keys {
                let (store, id) = (Arc::clone(&store), id.clone());
                tokio::spawn(async move { store.update(&id, 1, [(key, "1")].into_iter(), now) });
            }
            for wait in waits {
                let answer = tokio::time::timeout(Duration::from_mins(1), wait).await;
                assert_eq!(answer.expect("woken").expect("no panic").as_deref(), Some("1"));
            }
        }
    });
}

#[test]
fn the_principal_that_keeps_most_loses_its_oldest_result() {
    let store = TaskStore::new(&Limits { max_task_bytes: Some(4 * 1024), ..Limits::default() });
    let result = |bytes: usize| raw(&format!("\"{}\"", "x".repeat(bytes - 2)));
    let end = |principal, bytes, at: SystemTime| {
        let id = store.create(principal, at).expect("room");
        store.complete(&id, &result(bytes), at, None).map(|()| id)
    };
    let begun = SystemTime::now();
    let at = |second| begun + Duration::from_secs(second);
    let small = end(1, 1_000, at(0)).expect("room");
    let flood: Vec<_> = (1..6).map(|n| end(2, 1_000, at(n)).expect("room")).collect();
    let is_there = |principal, id: &str| shown(&store, id, principal).is_some();
    assert!(is_there(1, &small), "another principal's flood takes nothing from who keeps less");
    let left: Vec<_> = flood.iter().map(|id| is_there(2, id)).collect();
    assert_eq!(left, [false, false, true, true, true]);
    let error = end(1, 5_000, at(9)).expect_err("more than all may keep");
    assert!(error.to_string().contains("max_task_bytes"), "{error}");
    assert!(is_there(1, &small), "nothing is given up for what does not fit anyway");
    let waiting = store.create(1, at(9)).expect("room");
    store.ask(&waiting, "k", &InputRequest::roots(), at(9)).expect("room, for which a result is given up");
    let answer = "x".repeat(5_000);
    let full = store.update(&waiting, 1, [("k", answer.as_str())].into_iter(), at(9));
    assert!(matches!(full, Updated::Full(_)), "{full:?}");
}

/// Messages of running tasks are counted before a task is accepted, and leave room for another principal.
#[test]
fn messages_of_running_tasks_are_counted_and_shared() {
    const ROOM: usize = 1024 * 1024;
    let pool = BufferPool::default();
    for bytes in [100, 4_000, 100_000, 300_000] {
        let store = TaskStore::new(&Limits { max_task_bytes: Some(ROOM), ..Limits::default() });
        let message = Frame::copied(&pool, &vec![b'x'; bytes]);
        let mut kept = Vec::new();
        while let Ok(one) = store.keep_message(1, &message) {
            kept.push(one);
            assert!(kept.len() * bytes <= ROOM, "{bytes} B are refused when nothing is left");
        }
        assert!(!kept.is_empty(), "{bytes} B fit");
        let held: usize = kept.iter().map(|(frame, _)| frame.held_bytes()).sum();
        assert!((held..=ROOM * 3 / 4).contains(&store.bytes()), "{bytes} B: {} of {held}", store.bytes());
        assert!(kept.iter().all(|(frame, _)| frame.bytes() == message.bytes()));
        let other = store.keep_message(2, &message);
        assert!(other.is_ok() || bytes > ROOM / 4, "{bytes} B of another principal fit");
        drop((kept, other));
        assert_eq!(store.bytes(), 0);
    }
    drop(pool);
}

/// What a call may keep of an answer counts until its task ends.
#[test]
fn an_answer_counts_until_the_task_ends() {
    let (store, now) = (store(4), SystemTime::now());
    let id = store.create(1, now).expect("room");
    store.ask(&id, "k", &InputRequest::roots(), now).expect("room");
    let answer = "x".repeat(5_000);
    assert_eq!(store.update(&id, 1, [("k", answer.as_str())].into_iter(), now), Updated::Done);
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(store.poll_answer(&id, "k", &mut cx), Poll::Ready(Some(answer.as_str().into())));
    assert_eq!(store.poll_answer(&id, "k", &mut cx), Poll::Ready(None));
    assert!(store.bytes() > answer.len());
    assert!(store.cancel(&id, 1, now));
    assert!(store.bytes() < answer.len());
}

proptest! {
    #[test]
    fn the_sum_of_bytes_is_what_a_recount_finds(
        steps in vec((0..8_u8, 0..6_usize, 0..900_usize), 0..60),
    ) {
        let store = TaskStore::new(&Limits { max_task_bytes: Some(2 * 1024), max_tasks: 5, ..Limits::default() });
        let mut cx = Context::from_waker(Waker::noop());
        let (mut ids, mut now) = (Vec::new(), SystemTime::now());
        for (step, which, bytes) in steps {
            now += Duration::from_millis(1);
            let text = format!("\"{}\"", "x".repeat(bytes));
            let key = ["a", "b"][which % 2];
            let id: String = which.checked_rem(ids.len()).map(|at| ids.swap_remove(at)).unwrap_or_default();
            let kept = match step {
                0 => { ids.extend(store.create(which as u128 % 2, now)); Ok(()) }
                1 => store.complete(&id, &raw(&text), now, None),
                2 => store.fail(&id, &raw(&text), now, None),
                3 => store.ask(&id, key, &InputRequest::elicitation(&text, "{}"), now),
                4 => { store.update(&id, which as u128 % 2, [(key, text.as_str())].into_iter(), now); Ok(()) }
                5 => { drop(store.poll_answer(&id, key, &mut cx)); Ok(()) }
                6 => { store.cancel(&id, which as u128 % 2, now); Ok(()) }
                _ => { store.fail_without_room(&id, &raw("7"), now); Ok(()) }
            };
            ids.push(id);
            prop_assert!(kept.is_ok() || store.bytes.get() + bytes > 1_000);
            let recount: usize = store.tasks.with(|tasks, _| tasks.values().map(|task| {
                task.outcome_bytes() + task.inputs.values().map(|input| match input {
                    Input::Asked { request, .. } => request.room.amount(),
                    Input::Answered(answer) => answer.room.amount(),
                }).sum::<usize>()
            }).sum());
            prop_assert_eq!(store.bytes.get(), recount);
            prop_assert!(recount <= 2 * 1024 + 5, "{} B, and a byte for each that failed for want of room", recount);
        }
        store.sweep(now + Limits::default().task_ttl());
        prop_assert_eq!((store.bytes(), store.len()), (0, 0));
    }
}

/// A client whose running tasks hold most of the room takes no result of one that holds little, and loses none of its own:
/// a message that was served makes room for what it came to.
#[test]
fn results_of_who_keeps_little_stay_when_those_of_a_flood_come() {
    const ROOM: usize = 1 << 20;
    let store = TaskStore::new(&Limits { max_task_bytes: Some(ROOM), ..Limits::default() });
    let (pool, begun, ended) = (BufferPool::default(), SystemTime::now(), AtomicUsize::new(0));
    let message = Frame::copied(&pool, &vec![b'x'; 40_000]);
    let result = raw(&format!("\"{}\"", "x".repeat(40_000)));
    let start = |principal| {
        let (frame, room) = store.keep_message(principal, &message).ok()?;
        Some((store.create(principal, begun).expect("a slot"), frame, room))
    };
    let end = |(id, frame, room): (String, Frame, TaskRoom)| {
        drop(frame);
        let at = begun + Duration::from_millis(ended.fetch_add(1, Ordering::Relaxed) as u64);
        store.complete(&id, &result, at, Some(room)).expect("the room that its message had");
        id
    };
    let flood: Vec<_> = std::iter::from_fn(|| start(1)).collect();
    assert!(store.bytes() > ROOM / 2, "{} B", store.bytes());
    let few: Vec<String> = (0..3).map(|_| end(start(2).expect("room for another client"))).collect();
    let many: Vec<String> = flood.into_iter().map(&end).collect();
    // More comes from the same client: its own results make room.
    while shown(&store, &many[2], 1).is_some() {
        end(start(1).expect("room"));
    }
    assert!(few.iter().all(|id| shown(&store, id, 2).is_some()), "nothing of the other client is lost");
    let why = |id: &str, principal| store.why_missing(id, TaskOwner::Principal(principal));
    assert_eq!(why(&many[0], 1), NoTask::MadeRoom);
    assert_eq!([why(&many[0], 2), why("7", 1)], [NoTask::Unknown; 2], "of another client, and of nobody");
    store.sweep(begun + Limits::default().task_ttl());
    assert_eq!(why(&many[0], 1), NoTask::Unknown, "its time is over");
    assert_eq!(store.bytes(), 0);
}

/// What the tasks of one principal hold, in a model beside the store.
#[derive(Debug, Default, Clone)]
struct Model {
    running: Vec<(String, usize)>,
    /// The oldest first.
    ended: Vec<(String, usize)>,
}

impl Model {
    fn ended_bytes(&self) -> usize {
        self.ended.iter().map(|(_, bytes)| bytes).sum()
    }

    fn bytes(&self) -> usize {
        self.ended_bytes() + self.running.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }
}

const MODEL_BYTES: usize = 30_000;

/// Takes what is gone from the store out of the model, and checks who lost what to `asker`: it holds what it asked for, or
/// was refused so many bytes.
fn check_losses(store: &TaskStore, before: &mut [Model; 3], asker: usize, refused: Option<usize>) {
    let holders = before.iter().enumerate().filter(|(at, model)| *at == asker || model.bytes() > 0).count();
    let share = MODEL_BYTES / holders;
    let own_ended: usize = before[asker].ended_bytes();
    let others: usize = before
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != asker)
        .map(|(_, model)| model.ended_bytes().min(model.bytes().saturating_sub(share)))
        .sum();
    let free = MODEL_BYTES.saturating_sub(before.iter().map(Model::bytes).sum());
    for (principal, model) in before.iter_mut().enumerate() {
        let is_kept = |(id, _): &(String, usize)| shown(store, id, principal as u128).is_some();
        let lost: Vec<usize> =
            model.ended.iter().filter(|task| !is_kept(task)).map(|(_, bytes)| *bytes).collect();
        let order: Vec<bool> = model.ended.iter().map(is_kept).collect();
        assert!(order.is_sorted(), "the oldest go first: {order:?}");
        model.ended.retain(is_kept);
        assert!(refused.is_none() || lost.is_empty(), "nothing is given up for what is refused");
        let Some(latest) = lost.last().filter(|_| principal != asker) else { continue };
        // Before it lost the last one, it held more than an equal share, or more than who asked.
        model.ended.push((String::new(), *latest));
    }
    let own = before[asker].bytes();
    for (principal, model) in before.iter_mut().enumerate() {
        if model.ended.last().is_some_and(|(id, _)| id.is_empty()) {
            let held = model.bytes();
            assert!(
                held > share.min(own),
                "{principal} held {held}, {asker} holds {own}, a share is {share}"
            );
            model.ended.pop();
        }
    }
    if let Some(bytes) = refused {
        assert!(free + own_ended + others < bytes, "{bytes} B are refused: {free} + {own_ended} + {others}");
    }
}

proptest! {
    /// Three clients begin and end tasks of any size in any order.
    #[test]
    fn who_keeps_little_loses_nothing_to_who_keeps_more(
        steps in vec((0..3_usize, 0..3_u8, 1..9_000_usize), 1..60),
    ) {
        let limits = Limits { max_task_bytes: Some(MODEL_BYTES), max_tasks: 1_000, ..Limits::default() };
        let (store, pool) = (TaskStore::new(&limits), BufferPool::default());
        let (mut now, mut rooms) = (SystemTime::now(), std::collections::HashMap::new());
        let mut models = [Model::default(), Model::default(), Model::default()];
        for (who, step, bytes) in steps {
            now += Duration::from_millis(1);
            if step == 0 || models[who].running.is_empty() {
                let message = Frame::copied(&pool, &vec![b'x'; bytes]);
                // Its share of what runs is another rule.
                let Ok((frame, room)) = store.keep_message(who as u128, &message) else {
                    check_losses(&store, &mut models, who, Some(usize::MAX));
                    continue;
                };
                drop(frame);
                let id = store.create(who as u128, now).expect("a slot");
                models[who].running.push((id.clone(), room.amount()));
                rooms.insert(id, room);
                check_losses(&store, &mut models, who, None);
                continue;
            }
            let at = bytes % models[who].running.len();
            let (id, _) = models[who].running.remove(at);
            let room = rooms.remove(&id);
            if step == 1 {
                store.cancel(&id, who as u128, now);
                continue;
            }
            let json = raw(&format!("\"{}\"", "x".repeat(bytes)));
            if store.complete(&id, &json, now, room).is_ok() {
                models[who].ended.push((id, json.get().len()));
                // Its own is the youngest, and is not given up for itself.
                prop_assert!(shown(&store, &models[who].ended.last().expect("one").0, who as u128).is_some());
                check_losses(&store, &mut models, who, None);
            } else {
                check_losses(&store, &mut models, who, Some(json.get().len()));
                store.cancel(&id, who as u128, now);
            }
            let held: usize = models.iter().map(Model::bytes).sum();
            prop_assert_eq!(store.bytes.get(), held);
        }
    }
}
