//! Circles of files: files that use each other, straight or through others, can't be read one after the other.

use crate::house::Use;
use crate::source::Breach;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Each group of files that all reach each other, with one shortest way round.
pub(crate) fn circles(uses: &[Use]) -> Vec<Breach> {
    let mut by_file: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for used in uses {
        by_file.entry(&used.from).or_default().push(used);
    }
    let mut seen = BTreeSet::new();
    let mut breaches = Vec::new();
    for file in by_file.keys().copied() {
        let members = circle_of(file, &by_file);
        if members.is_empty() || !members.iter().all(|member| seen.insert(*member)) {
            continue;
        }
        let way = members.iter().filter_map(|member| way_back(member, &by_file)).min_by_key(Vec::len);
        let way = way.unwrap_or_default();
        let steps: Vec<String> = way
            .iter()
            .map(|used| format!("{}:{} uses `{}` of {}", used.from, used.line, used.path, used.to))
            .collect();
        let first = way.first().map_or((file, 1), |used| (used.from.as_str(), used.line));
        let fault = format!("a circle of {} files: {}", members.len(), steps.join(", "));
        breaches.push(Breach::new(first.0, first.1, fault));
    }
    breaches
}

/// All files that `file` reaches and that reach it, itself included; none if nothing leads back to it.
fn circle_of<'u>(file: &'u str, by_file: &BTreeMap<&str, Vec<&'u Use>>) -> BTreeSet<&'u str> {
    let ahead = reached(file, by_file);
    ahead.iter().copied().filter(|other| reached(other, by_file).contains(file)).collect()
}

fn reached<'u>(file: &'u str, by_file: &BTreeMap<&str, Vec<&'u Use>>) -> BTreeSet<&'u str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![file];
    while let Some(file) = left.pop() {
        for used in by_file.get(file).into_iter().flatten() {
            if reached.insert(used.to.as_str()) {
                left.push(&used.to);
            }
        }
    }
    reached
}

/// The fewest uses that lead from `file` back to it.
fn way_back<'u>(file: &str, by_file: &BTreeMap<&str, Vec<&'u Use>>) -> Option<Vec<&'u Use>> {
    let mut ways = VecDeque::from([(file, Vec::new())]);
    let mut seen = BTreeSet::new();
    while let Some((at, way)) = ways.pop_front() {
        for used in by_file.get(at).into_iter().flatten() {
            let longer = [&way[..], &[*used]].concat();
            if used.to == file {
                return Some(longer);
            }
            if seen.insert(used.to.as_str()) {
                ways.push_back((&used.to, longer));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(pairs: &[(&str, &str)]) -> Vec<Use> {
        let used = |(from, to): &(&str, &str)| Use {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            line: 7,
            path: "X".to_owned(),
        };
        pairs.iter().map(used).collect()
    }

    #[test]
    fn a_circle_is_found_once_and_with_its_shortest_way() {
        let found = circles(&uses(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "b"), ("b", "d"), ("e", "a")]));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["b:7: a circle of 3 files: b:7 uses `X` of c, c:7 uses `X` of b"]);
    }

    #[test]
    fn two_circles_are_two_breaches() {
        assert_eq!(circles(&uses(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c")])).len(), 2);
    }

    #[test]
    fn a_file_used_from_two_sides_is_no_circle() {
        assert_eq!(circles(&uses(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])), []);
    }
}
