//! Why a SAML message was refused, in words for the administrator of a connection. What the browser sees is one constant page;
//! this text goes to the provisioning log. It names elements, places and configured values, never what a message says of a person.

use std::fmt;

/// The step of the assertion consumer that refused, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Base64 and bytes.
    Encoding,
    /// XML: bounds and well-formedness.
    Scan,
    /// The closed grammar of messages.
    Structure,
    Signature,
    Decryption,
    /// Values inside the verified bytes that cannot be read.
    Assertion,
    Conditions,
    InResponseTo,
    Identity,
}

impl Step {
    /// The word in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Scan => "scan",
            Self::Structure => "structure",
            Self::Signature => "signature",
            Self::Decryption => "decryption",
            Self::Assertion => "assertion",
            Self::Conditions => "conditions",
            Self::InResponseTo => "in_response_to",
            Self::Identity => "identity",
        }
    }
}

/// A refusal: what was wrong with which part, what stood there, what was expected, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub step: Step,
    code: &'static str,
    what: String,
    pub got: Option<String>,
    pub expected: Option<String>,
    pub cure: Option<&'static str>,
}

/// Longer values say no more and fill logs.
const SHOWN: usize = 200;

impl Refusal {
    pub(super) fn new(step: Step, code: &'static str, what: impl Into<String>) -> Self {
        Self { step, code, what: what.into(), got: None, expected: None, cure: None }
    }

    pub(super) fn got(mut self, got: impl Into<String>) -> Self {
        let got = got.into();
        self.got = Some(if got.chars().count() > SHOWN { got.chars().take(SHOWN).chain(['…']).collect() } else { got });
        self
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(super) fn cure(mut self, cure: &'static str) -> Self {
        self.cure = Some(cure);
        self
    }

    /// A short word that stays the same over releases.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match (&self.got, &self.expected) {
            (Some(got), Some(expected)) => write!(f, ": was {got:?}, expected {expected:?}")?,
            (Some(got), None) => write!(f, ": {got:?}")?,
            (None, Some(expected)) => write!(f, ": expected {expected:?}")?,
            (None, None) => {}
        }
        match self.cure {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_a_sentence_and_escapes_what_came_from_outside() {
        let refusal = Refusal::new(Step::Conditions, "audience", "the Audience").got("a\nb").expected("c").cure("fix it");
        assert_eq!(refusal.to_string(), r#"the Audience: was "a\nb", expected "c"; fix it"#);
        assert_eq!(Refusal::new(Step::Scan, "x", "x").got("y".repeat(500)).got.unwrap().chars().count(), 201);
    }
}
