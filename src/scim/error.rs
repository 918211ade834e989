//! What the engine refuses, in the words of RFC 7644 §3.12. Status codes and `scimType` strings are made where HTTP is spoken.

use std::fmt;

/// The kinds of RFC 7644, table 9, and two of our own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    InvalidFilter,
    TooMany,
    Uniqueness,
    Mutability,
    InvalidSyntax,
    InvalidPath,
    NoTarget,
    InvalidValue,
    InvalidVers,
    Sensitive,
    /// RFC 9865: the cursor is not one that was given out.
    InvalidCursor,
    /// RFC 9865: the cursor was given out too long ago.
    ExpiredCursor,
    /// The body or the number of operations is above its limit.
    TooLarge,
}

/// A refusal: its kind, and words that name the place and say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    pub kind: ErrorKind,
    pub detail: String,
}

impl ScimError {
    pub fn new(kind: ErrorKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }

    pub(crate) fn value(detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidValue, detail)
    }

    pub(crate) fn syntax(detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidSyntax, detail)
    }

    pub(crate) fn path(detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidPath, detail)
    }

    pub(crate) fn mutability(detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Mutability, detail)
    }

    pub(crate) fn no_target(detail: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NoTarget, detail)
    }
}
