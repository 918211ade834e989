//! How fast somebody may ask: a bucket of tokens that fills steadily and is emptied by requests.

use super::time::Timestamp;

/// What fits in, and how fast it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// 0: no limit.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

/// Thousandths of a request, so that milliseconds fill it without fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    thousandths: i64,
    at: Timestamp,
}

const ONE: i64 = 1000;

impl Bucket {
    #[must_use]
    pub fn full(rate: Rate, now: Timestamp) -> Self {
        Self { thousandths: Self::room(rate), at: now }
    }

    fn room(rate: Rate) -> i64 {
        i64::from(rate.burst.max(1)) * ONE
    }

    /// Takes one request out.
    ///
    /// # Errors
    /// When it is empty: after how many whole seconds there is room again.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), u32> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let passed = now.millis().saturating_sub(self.at.millis()).max(0);
        self.thousandths = self.thousandths.saturating_add(passed.saturating_mul(i64::from(rate.per_second))).min(Self::room(rate));
        // A clock that was set back gives nothing twice.
        self.at = self.at.max(now);
        if self.thousandths >= ONE {
            self.thousandths -= ONE;
            return Ok(());
        }
        let missing_ms = (ONE - self.thousandths).div_euclid(i64::from(rate.per_second)) + 1;
        Err(u32::try_from(missing_ms.div_euclid(1000) + 1).unwrap_or(u32::MAX))
    }

    /// Whether it has filled up again, so that it need not be kept.
    #[must_use]
    pub fn is_full_at(&self, rate: Rate, now: Timestamp) -> bool {
        let passed = now.millis().saturating_sub(self.at.millis()).max(0);
        self.thousandths.saturating_add(passed.saturating_mul(i64::from(rate.per_second))) >= Self::room(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate { per_second: 200, burst: 1000 };
        let mut bucket = Bucket::full(rate, NOW);
        assert_eq!((0..1500).filter(|_| bucket.take(rate, NOW).is_ok()).count(), 1000);
        assert_eq!(bucket.take(rate, NOW), Err(1));
        assert_eq!((0..500).filter(|_| bucket.take(rate, NOW.plus_secs(1)).is_ok()).count(), 200);
        assert!(bucket.take(rate, NOW).is_err(), "a clock that was set back");
        assert!(!bucket.is_full_at(rate, NOW.plus_secs(5)) && bucket.is_full_at(rate, NOW.plus_secs(6)));
        assert_eq!((0..5000).filter(|_| bucket.take(rate, NOW.plus_secs(900)).is_ok()).count(), 1000);
    }

    #[test]
    fn a_slow_rate_says_how_long_to_wait_and_zero_is_no_limit() {
        let slow = Rate { per_second: 1, burst: 0 };
        let mut bucket = Bucket::full(slow, NOW);
        assert!(bucket.take(slow, NOW).is_ok());
        assert_eq!(bucket.take(slow, NOW), Err(2));
        let none = Rate { per_second: 0, burst: 0 };
        assert!((0..5000).all(|_| bucket.take(none, NOW).is_ok()));
    }
}
