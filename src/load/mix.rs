//! The steps of a load test in the proportions of their weights, in an order that is the same in each run.

use super::random::Random;
use super::replay::ReplayPlan;
use super::request::{PreparedStep, Wording};
use super::step::LoadStep;
use super::template::{Sources, TemplateError};
use super::trace::LoadTrace;
use std::sync::Arc;

/// The seed of each run: two runs ask the same.
const SEED: u64 = 0x6d63_706f_6f6c;

/// The steps, and what their requests are made of.
pub(super) struct Mix {
    /// One for each operation.
    pub(super) steps: Vec<PreparedStep>,
    /// The sums of the weights up to each step.
    until: Vec<u64>,
    /// Whose requests are made, in place of those of the steps.
    trace: Option<Arc<LoadTrace>>,
    random: Random,
    count: u64,
    scratch: Vec<u8>,
}

/// What is asked for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) step: usize,
    /// The number of its parameters in the trace, if they are those of a trace.
    shape: Option<u32>,
}

impl Mix {
    pub(super) fn new(steps: &[LoadStep], wording: &Wording) -> Result<Self, TemplateError> {
        let mut sum = 0;
        let until = steps.iter().map(|step| {
            sum += u64::from(step.weight);
            sum
        });
        let until = until.collect();
        Ok(Self { until, ..Self::prepared(steps, wording)? })
    }

    /// The requests of a trace, a step for each tool and method. The trace says which comes when.
    pub(super) fn of_trace(
        plan: &ReplayPlan,
        trace: Option<&Arc<LoadTrace>>,
        wording: &Wording,
    ) -> Result<Self, TemplateError> {
        Ok(Self { trace: trace.cloned(), ..Self::prepared(&plan.steps, wording)? })
    }

    fn prepared(steps: &[LoadStep], wording: &Wording) -> Result<Self, TemplateError> {
        let steps = steps.iter().map(|step| wording.prepare(step)).collect::<Result<_, _>>()?;
        let (random, scratch) = (Random(SEED), Vec::new());
        Ok(Self { steps, until: Vec::new(), trace: None, random, count: 0, scratch })
    }

    /// The most messages of one request.
    pub(super) fn largest_batch(&self) -> usize {
        self.steps.iter().map(|step| step.batch).max().unwrap_or(1)
    }

    /// What the next request asks for.
    pub(super) fn pick(&mut self) -> Choice {
        let step = match self.until.last() {
            Some(all) if self.until.len() > 1 => {
                let drawn = self.random.below(*all);
                self.until.partition_point(|until| *until <= drawn)
            }
            _ => 0,
        };
        Choice { step, shape: None }
    }

    /// What a request of the trace asks for.
    pub(super) fn traced(&self, shape: u32, is_replaced: bool) -> Choice {
        let step = self.trace.as_ref().map_or(0, |trace| trace.operation_of(shape));
        Choice { step, shape: (!is_replaced).then_some(shape) }
    }

    /// Writes a request.
    pub(super) fn write(
        &mut self,
        choice: Choice,
        id: u64,
        wording: &Wording,
        session: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut sources = Sources { id, count: self.count, random: &mut self.random };
        let traced = self.trace.as_ref().zip(choice.shape).map(|(trace, shape)| trace.params(shape));
        let asked = (&self.steps[choice.step], traced);
        wording.write(asked, &mut sources, session, &mut self.scratch, out);
        self.count += asked.0.batch as u64;
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
            counts[mix.pick().step] += 1;
        }
        assert_eq!(counts[1], 0);
        for (count, want) in [(counts[0], 1_000), (counts[2], 3_000), (counts[3], 6_000)] {
            assert!((want - 200..want + 200).contains(&count), "{counts:?}");
        }
    }
}
