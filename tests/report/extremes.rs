//! Files say anything: each number of a report or a history, and all of them, as large and as small as it can be.

use super::{history, sample};
use mcpool::memory::{History, MemoryReport};
use mcpool::report::{
    Moment, Prices, Terms, diagnose, diagnose_history, difference, propose, write_html, write_markdown,
    write_prometheus, write_table,
};
use serde_json::{Value, json};

/// What a number of a file may be.
fn extremes() -> [Value; 6] {
    [json!(0), json!(1), json!(u32::MAX), json!(u64::MAX), json!(u64::MAX - 1), json!(1e300)]
}

/// Calls `found` with each number in a value, and its path.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| numbers(item, &format!("{path}/{at}"), found));
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                numbers(field, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Each number alone, and all that can, at each extreme. Returns how many could be read.
fn each_extreme<T>(json: &Value, parse: impl Fn(&str) -> Option<T>, look: impl Fn(&T)) -> usize {
    let mut paths = Vec::new();
    numbers(json, "", &mut paths);
    let mut read = 0;
    for extreme in extremes() {
        let mut all = json.clone();
        for path in &paths {
            let mut one = json.clone();
            *one.pointer_mut(path).expect("it is there") = extreme.clone();
            if let Some(parsed) = parse(&one.to_string()) {
                look(&parsed);
                *all.pointer_mut(path).expect("it is there") = extreme.clone();
                read += 1;
            }
        }
        look(&parse(&all.to_string()).expect("each of them could be read"));
    }
    read
}

#[test]
fn a_history_may_have_any_number_anywhere() {
    let mut recorded = history::quiet(190);
    // Of few samples each number is tried, and the rules about growth need some minutes of them.
    let rest = recorded.samples.split_off(3);
    let json = serde_json::to_value(&recorded).expect("JSON");
    let look = |few: &History| {
        let mut many = few.clone();
        many.samples.extend(rest.iter().cloned());
        let mut same = few.clone();
        same.samples = few.samples.iter().cycle().take(200).cloned().collect();
        for history in [few, &many, &same] {
            for since in [0, u64::MAX] {
                let mut text = Vec::new();
                let clock = |unix_ms: u64| unix_ms.to_string();
                diagnose_history(history, since, &clock).write(80, &mut text).expect("written");
                for at in [0, history.taken_unix_ms, u64::MAX] {
                    if let Some(moment) = Moment::of(history, at) {
                        moment.write(&clock, 80, &mut text).expect("written");
                    }
                }
            }
        }
    };
    assert!(each_extreme(&json, |text| History::from_json(text).ok(), look) > 300);
}

#[test]
fn a_report_may_have_any_number_anywhere() {
    let full = sample::full();
    let json = serde_json::to_value(&full).expect("JSON");
    let terms =
        Terms { prices: Prices::default(), budget_bytes: None, target_hit_ratio: None, least_window_ms: 0 };
    let asked = Terms { budget_bytes: Some(1 << 20), target_hit_ratio: Some(0.99), ..terms };
    let look = |report: &MemoryReport| {
        let mut out = Vec::new();
        diagnose(report).write(80, &mut out).expect("written");
        write_table(report, 80, &mut out).expect("written");
        write_markdown(report, &mut out).expect("written");
        write_html(report, &mut out).expect("written");
        write_prometheus(report, &mut out).expect("written");
        difference(&full, report, 0.1).write(80, &mut out).expect("written");
        difference(report, &full, 0.1).write(80, &mut out).expect("written");
        for terms in [terms, asked] {
            propose(&[full.clone(), report.clone()], &terms);
        }
    };
    assert!(each_extreme(&json, |text| MemoryReport::from_json(text).ok(), look) > 300);
}
