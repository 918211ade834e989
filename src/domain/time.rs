//! Points in time. Nothing below reads a clock: the time of a request is passed in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, within the years 1..=9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date and time: one such as 2026-01-31T23:59:59Z was expected")]
pub struct TimeError(String);

impl Timestamp {
    #[must_use]
    pub const fn from_millis(at_ms: i64) -> Self {
        Self(at_ms)
    }

    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 date-time with `Z` or an offset and any number of decimals; what is finer than a millisecond is cut off.
    ///
    /// # Errors
    /// When the text is no date-time, or has no zone.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_millisecond())).map_err(|_| TimeError(text.chars().take(64).collect()))
    }

    #[must_use]
    pub fn plus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(1000)))
    }
}

/// RFC 3339 in UTC, with milliseconds only when there are some.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        fmt::Display::fmt(&at, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_offsets_and_decimals_are_read_and_written_in_utc() {
        let at = Timestamp::parse("2026-03-03T10:00:00.1239+02:00").unwrap();
        assert_eq!(at.to_string(), "2026-03-03T08:00:00.123Z");
        assert_eq!(Timestamp::parse("2026-03-03T08:00:00Z").unwrap().to_string(), "2026-03-03T08:00:00Z");
        assert!(Timestamp::parse("2026-03-03T08:00:00").is_err());
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
