//! What is usual: how long something takes at each load, learnt over the whole of the time, or read from a file.
//!
//! Latencies depend on the load, so windows are compared with those of the same load: a band is a factor of two in calls a
//! second. A band is the median of its windows, and its noise their deviation, as logarithms: noise of latencies is
//! relative. Invariants: what is learnt is a sample of all windows, so that a slow decline is not learnt as it goes; a band
//! that was read from a file learns nothing.

use super::robust::{Sample, Spread};
use serde::{Deserialize, Serialize};

/// Bands of load; the last one has what is above it as well.
pub(super) const BANDS: usize = 20;
/// Windows that a band must have seen before anything is compared with it: five minutes.
const MIN_WINDOWS: usize = 30;

/// The load of a window of ten seconds.
pub(super) fn band_of(calls: u64) -> usize {
    (calls.max(1).ilog2() as usize).min(BANDS - 1)
}

/// What is usual in one band, as it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BandBaseline {
    /// The load: windows of ten seconds with from 2 to the power of this many calls to twice as many.
    pub band: usize,
    /// Windows that it stands for.
    pub windows: u64,
    /// Median of the medians of the windows, in nanoseconds.
    pub p50_ns: f64,
    /// Noise of these medians: the standard deviation of their logarithms, robustly estimated.
    pub p50_noise: f64,
    /// The same for the 95th percentiles.
    pub p95_ns: f64,
    /// Noise of the 95th percentiles.
    pub p95_noise: f64,
}

/// What is usual for one method or tool.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    /// Those that were seen, each with its number.
    bands: Vec<(usize, Band)>,
}

#[derive(Debug, Default)]
struct Band {
    /// Logarithms of p50 and p95 in nanoseconds.
    learnt: Sample<[f32; 2]>,
    windows: u64,
    /// What `learnt` says, or what was read; worked out anew when `learnt` changed.
    usual: Option<BandBaseline>,
    is_read: bool,
}

impl Baseline {
    /// What is usual in a band; nothing until enough was seen.
    pub(super) fn usual(&self, band: usize) -> Option<&BandBaseline> {
        let (_, found) = self.bands.iter().find(|(number, _)| *number == band)?;
        found.usual.as_ref()
    }

    fn band(&mut self, band: usize) -> &mut Band {
        let known = self.bands.iter().position(|(number, _)| *number == band);
        let at = known.unwrap_or_else(|| {
            self.bands.push((band, Band::default()));
            self.bands.len() - 1
        });
        &mut self.bands[at].1
    }

    /// Learns a window.
    pub(super) fn learn(&mut self, band: usize, p50_ns: u64, p95_ns: u64) {
        let own = self.band(band);
        if own.is_read {
            return;
        }
        own.windows += 1;
        let is_taken = own.learnt.add([p50_ns, p95_ns].map(|ns| (ns.max(1) as f32).ln()));
        let values = own.learnt.values();
        if !is_taken || values.len() < MIN_WINDOWS {
            return;
        }
        let spread = |at: usize| Spread::of(values.iter().map(|value| f64::from(value[at])));
        let (p50, p95) = (spread(0), spread(1));
        own.usual = Some(BandBaseline {
            band,
            windows: own.windows,
            p50_ns: p50.median.exp(),
            p50_noise: p50.deviation,
            p95_ns: p95.median.exp(),
            p95_noise: p95.deviation,
        });
    }

    /// Takes what was saved instead of what is learnt.
    pub(super) fn read(&mut self, saved: &[BandBaseline]) {
        for usual in saved.iter().filter(|usual| usual.band < BANDS) {
            *self.band(usual.band) = Band { usual: Some(*usual), is_read: true, ..Band::default() };
        }
    }

    /// All bands in which something is usual.
    pub(super) fn to_saved(&self) -> Vec<BandBaseline> {
        self.bands.iter().filter_map(|(_, band)| band.usual).collect()
    }

    /// Heap bytes.
    pub(super) fn bytes(&self) -> usize {
        let learnt: usize = self.bands.iter().map(|(_, band)| band.learnt.bytes()).sum();
        learnt + self.bands.capacity() * size_of::<(usize, Band)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_told_apart_by_factors_of_two() {
        for (calls, band) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (1_023, 9), (1_024, 10), (u64::MAX, 19)]
        {
            assert_eq!(band_of(calls), band, "{calls}");
        }
    }

    #[test]
    fn a_band_is_usual_once_enough_was_seen_and_a_saved_one_at_once() {
        let mut baseline = Baseline::default();
        for window in 0..MIN_WINDOWS as u64 {
            assert_eq!(baseline.usual(5), None);
            baseline.learn(5, 1_000 + window, 2_000 + 10 * window);
        }
        let usual = *baseline.usual(5).expect("enough");
        assert!((usual.p50_ns / 1_014.5 - 1.0).abs() < 1e-3, "{usual:?}");
        assert!(usual.p95_noise > 2.0 * usual.p50_noise, "{usual:?}");
        assert_eq!(baseline.to_saved(), [usual]);
        let mut other = Baseline::default();
        other.read(&[usual, BandBaseline { band: BANDS, ..usual }]);
        other.learn(5, 9, 9);
        assert_eq!((other.usual(5), other.to_saved().len()), (Some(&usual), 1));
    }
}
