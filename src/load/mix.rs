//! The steps of a load test in the proportions of their weights, in an order that is the same in each run.

use super::random::Random;
use super::request::{PreparedStep, Wording};
use super::step::LoadStep;
use super::template::{Sources, TemplateError};
use std::collections::HashMap;

/// The seed of each run: two runs ask the same.
const SEED: u64 = 0x6d63_706f_6f6c;

/// The steps, and what their requests are made of.
pub(super) struct Mix {
    pub(super) steps: Vec<PreparedStep>,
    /// The first step of each operation.
    pub(super) operations: Vec<usize>,
    /// The sums of the weights up to each step.
    until: Vec<u64>,
    random: Random,
    count: u64,
    scratch: Vec<u8>,
}

impl Mix {
    pub(super) fn new(steps: &[LoadStep], wording: &Wording) -> Result<Self, TemplateError> {
        let mut sum = 0;
        let until = steps.iter().map(|step| {
            sum += u64::from(step.weight);
            sum
        });
        let until = until.collect();
        let mut mix = Self::prepared(steps, wording)?;
        for (number, step) in mix.steps.iter_mut().enumerate() {
            step.operation = number;
            mix.operations.push(number);
        }
        Ok(Self { until, ..mix })
    }

    /// Steps of which others say when they come. Those of one method and name are counted together.
    pub(super) fn of_trace(steps: &[LoadStep], wording: &Wording) -> Result<Self, TemplateError> {
        let mut mix = Self::prepared(steps, wording)?;
        let mut known: HashMap<(String, String), usize> = HashMap::new();
        for (number, step) in mix.steps.iter_mut().enumerate() {
            let operation = known.entry((step.method.clone(), step.name.clone())).or_insert_with(|| {
                mix.operations.push(number);
                mix.operations.len() - 1
            });
            step.operation = *operation;
        }
        Ok(mix)
    }

    fn prepared(steps: &[LoadStep], wording: &Wording) -> Result<Self, TemplateError> {
        let steps = steps.iter().map(|step| wording.prepare(step)).collect::<Result<_, _>>()?;
        let (random, scratch) = (Random(SEED), Vec::new());
        Ok(Self { steps, operations: Vec::new(), until: Vec::new(), random, count: 0, scratch })
    }

    /// What is counted of a step together with others.
    pub(super) fn operation(&self, step: usize) -> usize {
        self.steps[step].operation
    }

    /// The step of the next request.
    pub(super) fn pick(&mut self) -> usize {
        match self.until.last() {
            Some(all) if self.until.len() > 1 => {
                let drawn = self.random.below(*all);
                self.until.partition_point(|until| *until <= drawn)
            }
            _ => 0,
        }
    }

    /// Writes a request of a step.
    pub(super) fn write(
        &mut self,
        step: usize,
        id: u64,
        wording: &Wording,
        session: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut sources = Sources { id, count: self.count, random: &mut self.random };
        wording.write(&self.steps[step], &mut sources, session, &mut self.scratch, out);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Era;
    use super::super::target::LoadTarget;
    use super::*;
    use serde_json::Map;

    #[test]
    fn each_step_is_picked_as_often_as_its_weight_says() {
        let target = LoadTarget::parse("unix:/x").expect("a target");
        let wording = Wording::new(&target, Era::Legacy, None);
        let step = |name: &str, weight| LoadStep::method(name, Map::new()).weight(weight);
        let mut mix =
            Mix::new(&[step("a", 1), step("never", 0), step("b", 3), step("c", 6)], &wording).expect("a mix");
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            counts[mix.pick()] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, want) in [(counts[0], 1_000), (counts[2], 3_000), (counts[3], 6_000)] {
            assert!((want - 200..want + 200).contains(&count), "{counts:?}");
        }
    }
}
