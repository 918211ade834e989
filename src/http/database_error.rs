//! Answers to a client when the database fails. An error that passes is 503 with `Retry-After`, never 500.

use super::error::{INTERNAL, Kind, Problem, ScimFailure, chain};
use crate::db::DbError;

const AWAY: &str = "The gateway cannot do this at the moment; try again.";
/// A commit was not answered, or what follows a commit failed.
const MAY_BE_WRITTEN: &str =
    "The change may have been written: the database did not answer. Send the same request again, or read the resource first.";

/// Logs what the database did, once.
fn log(error: &DbError) {
    if matches!(error, DbError::RightsChanged | DbError::Revoked) {
        tracing::info!(%error, "a request was refused inside its transaction");
    } else if error.passes() {
        tracing::warn!(error = chain(error), "the database failed a request, which may be sent again");
    } else {
        tracing::error!(error = chain(error), "a request failed");
    }
}

fn kind(error: &DbError) -> Kind {
    if error.passes() { Kind::Unavailable } else { Kind::Internal }
}

fn detail(error: &DbError) -> &'static str {
    match error {
        DbError::Uncertain(_) => MAY_BE_WRITTEN,
        error if error.passes() => AWAY,
        _ => INTERNAL,
    }
}

impl From<DbError> for ScimFailure {
    fn from(error: DbError) -> Self {
        if matches!(error, DbError::Revoked) {
            return Self::unauthenticated();
        }
        log(&error);
        Self::new(kind(&error), detail(&error))
    }
}

impl ScimFailure {
    /// The failure of what follows a commit: the change was written, and its answer could not be made.
    #[must_use]
    pub fn after_commit(self) -> Self {
        if self.kind == Kind::Unavailable { Self { detail: MAY_BE_WRITTEN.to_owned(), ..self } } else { self }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        log(&error);
        let code = match &error {
            DbError::Uncertain(_) => "may_be_written",
            error if error.passes() => "unavailable",
            _ => "internal",
        };
        Self::new(kind(&error), code, detail(&error))
    }
}
