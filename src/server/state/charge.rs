//! Sums of what is kept, counted by ownership: what is counted carries its part of the sum, and takes it along.
//!
//! Invariant: a [`Sum`] is that of its [`Charge`]s that are not dropped, whichever way they went.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much there is of something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    amount: Arc<AtomicUsize>,
}

impl Sum {
    pub(crate) fn get(&self) -> usize {
        self.amount.load(Ordering::Relaxed)
    }

    /// Adds what is there in any case.
    pub(crate) fn charge(&self, amount: usize) -> Charge {
        self.amount.fetch_add(amount, Ordering::Relaxed);
        Charge { sum: self.clone(), amount }
    }

    /// Adds what may be there as long as the sum is at most `max`.
    pub(crate) fn try_charge(&self, amount: usize, max: usize) -> Option<Charge> {
        let fits = |sum: usize| sum.checked_add(amount).filter(|sum| *sum <= max);
        self.amount.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Charge { sum: self.clone(), amount })
    }
}

/// A part of a sum, for as long as it is held.
#[derive(Debug)]
#[must_use = "dropping it takes it out of the sum"]
pub(crate) struct Charge {
    sum: Sum,
    amount: usize,
}

impl Charge {
    pub(crate) fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.sum.amount.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_is_that_of_its_charges(
            steps in vec((0..4_usize, 0..100_usize), 0..60),
            max in 0..300_usize,
        ) {
            let sum = Sum::default();
            let mut held: Vec<Charge> = Vec::new();
            for (step, amount) in steps {
                let counted: usize = held.iter().map(Charge::amount).sum();
                match step {
                    0 => held.push(sum.charge(amount)),
                    1 => {
                        let charge = sum.try_charge(amount, max);
                        prop_assert_eq!(charge.is_some(), counted + amount <= max);
                        held.extend(charge);
                    }
                    2 if !held.is_empty() => drop(held.swap_remove(amount % held.len())),
                    _ => drop(sum.charge(amount)),
                }
                prop_assert_eq!(sum.get(), held.iter().map(Charge::amount).sum::<usize>());
            }
            drop(held);
            prop_assert_eq!(sum.get(), 0);
        }
    }
}
