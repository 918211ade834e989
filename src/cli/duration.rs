//! Spans of time on the command line: `90d`, `12h`, `30m`.

use std::str::FromStr;

/// Whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub secs: i64,
}

/// Ten years: longer is a mistake.
const MOST_SECS: i64 = 3650 * 86_400;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not a span of time: a number with s, m, h, d or w was expected, such as 90d");
        let unit = text.chars().next_back().ok_or_else(refused)?;
        let unit_secs = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err(refused()),
        };
        let number: i64 = text[..text.len() - 1].parse().map_err(|_| refused())?;
        let secs = number.checked_mul(unit_secs).ok_or_else(refused)?;
        if (1..=MOST_SECS).contains(&secs) { Ok(Self { secs }) } else { Err(format!("{text} is not between 1s and 3650d")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!("90d".parse(), Ok(Span { secs: 7_776_000 }));
        assert_eq!("1s".parse(), Ok(Span { secs: 1 }));
        for wrong in ["", "d", "90", "0d", "-1d", "4000d", "1y", "1é", "9999999999999999w"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
