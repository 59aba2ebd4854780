//! Counting by ownership: a value holds the part of a sum that it stands for, and subtracts it when it is dropped.
//!
//! Invariant: a [`Sum`] is the sum of its [`Charge`]s that were not dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A sum of charges. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    shared: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    amount: AtomicUsize,
    charges: AtomicUsize,
}

impl Sum {
    pub(crate) fn get(&self) -> usize {
        self.shared.amount.load(Ordering::Relaxed)
    }

    /// How many charges it is the sum of.
    pub(crate) fn charges(&self) -> usize {
        self.shared.charges.load(Ordering::Relaxed)
    }

    /// Adds `amount`, whatever the sum is.
    pub(crate) fn charge(&self, amount: usize) -> Charge {
        self.shared.amount.fetch_add(amount, Ordering::Relaxed);
        self.charged(amount)
    }

    /// Adds `amount` unless the sum would exceed `max`.
    pub(crate) fn try_charge(&self, amount: usize, max: usize) -> Option<Charge> {
        let fits = |sum: usize| sum.checked_add(amount).filter(|sum| *sum <= max);
        self.shared.amount.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(self.charged(amount))
    }

    fn charged(&self, amount: usize) -> Charge {
        self.shared.charges.fetch_add(1, Ordering::Relaxed);
        Charge { sum: self.clone(), amount }
    }
}

/// A part of a sum until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it subtracts it from the sum"]
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
        self.sum.shared.amount.fetch_sub(self.amount, Ordering::Relaxed);
        self.sum.shared.charges.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_is_the_sum_of_its_charges(
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
                prop_assert_eq!(sum.charges(), held.len());
            }
            drop(held);
            prop_assert_eq!(sum.get(), 0);
        }
    }
}
