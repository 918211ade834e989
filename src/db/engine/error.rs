//! Errors of the database, grouped by what the caller can do.

use sqlx::{error::DatabaseError, sqlite::SqliteError};

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database address {address:?} is not understood: sqlite://FILE or postgres://… was expected")]
    Address { address: String },
    /// Another transaction was in the way; the same work may succeed when it is done again.
    #[error("the database asks to try again")]
    Transient(#[source] sqlx::Error),
    /// The bearer of a SCIM client was revoked, or has expired, after the request was let in.
    #[error("the token was revoked or has expired")]
    Revoked,
    /// The rights of the actor changed after they were read. The same work is decided again by the current rights.
    #[error("the rights of the actor changed after they were read")]
    RightsChanged,
    /// See [`crate::db::attempt::rehearse`].
    #[error("the work was a rehearsal: nothing is committed")]
    Rehearsed,
    /// A unique name is taken. The transaction can only be rolled back.
    #[error("a name that must be unique is taken")]
    Taken(#[source] sqlx::Error),
    #[error("the database's file cannot be opened or made: its folder must be there and be writable by this user")]
    File(#[source] sqlx::Error),
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// It is read-only, full, overloaded or ended the statement. The transaction was not written.
    #[error("the database cannot do this at the moment")]
    Unable(#[source] sqlx::Error),
    /// The connection was lost between a commit and its answer.
    #[error("the database did not answer a commit: the change may have been written")]
    Uncertain(#[source] sqlx::Error),
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
    #[error("the database holds {what} that cannot be read: {why}")]
    Corrupt { what: &'static str, why: String },
    #[error("the database's tables could not be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl DbError {
    pub fn corrupt(what: &'static str, why: &(impl ToString + ?Sized)) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }

    /// An error of this program: the engine was used in a wrong way.
    pub(super) fn misused(how: &str) -> Self {
        Self::Statement(sqlx::Error::Protocol(how.to_owned()))
    }

    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_) | Self::RightsChanged)
    }

    /// Whether the same work may succeed later, without a change by anybody who asks for it.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Transient(_)
            | Self::Unreachable(_)
            | Self::Unable(_)
            | Self::Uncertain(_)
            | Self::File(_)
            | Self::Revoked
            | Self::RightsChanged => true,
            Self::Rehearsed | Self::Address { .. } | Self::Taken(_) | Self::Statement(_) | Self::Corrupt { .. } | Self::Migrate(_) => false,
        }
    }

    /// The error as the answer to a commit: a database that refuses a commit has not made it, a connection that ends may have.
    pub(in crate::db) fn of_commit(self) -> Self {
        match self {
            Self::Unreachable(error) => Self::Uncertain(error),
            Self::Statement(error) if error.as_database_error().is_none() => Self::Uncertain(error),
            other => other,
        }
    }
}

/// The meaning of an error code of either engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Transient,
    File,
    Unreachable,
    Unable,
    Other,
}

/// PostgreSQL, appendix A of its documentation.
fn postgres(code: &str) -> Meaning {
    match code {
        // serialization_failure, deadlock_detected, lock_not_available.
        "40001" | "40P01" | "55P03" => Meaning::Transient,
        // query_canceled, read_only_sql_transaction, the timeouts of idle sessions and of transactions.
        "57014" | "25006" | "25P03" | "25P04" | "57P05" => Meaning::Unable,
        // invalid_catalog_name: the database is not there, or not yet.
        "3D000" => Meaning::Unreachable,
        code => match code.get(..2) {
            // connection exceptions, refused log-ins, operator intervention (a server that ends or starts), system errors.
            Some("08" | "28" | "57" | "58") => Meaning::Unreachable,
            // insufficient resources: full disk, out of memory, too many connections.
            Some("53") => Meaning::Unable,
            _ => Meaning::Other,
        },
    }
}

/// SQLite's primary result codes; an extended one has its primary code in the lowest byte.
fn sqlite(code: u32) -> Meaning {
    match code & 0xff {
        // BUSY.
        5 => Meaning::Transient,
        // CANTOPEN.
        14 => Meaning::File,
        // IOERR: nobody knows whether what was being written is in the file.
        10 => Meaning::Unreachable,
        // PERM, NOMEM, READONLY, INTERRUPT, FULL, PROTOCOL (locking).
        3 | 7 | 8 | 9 | 13 | 15 => Meaning::Unable,
        _ => Meaning::Other,
    }
}

fn meaning(error: &dyn DatabaseError) -> Meaning {
    // Another transaction deleted the row that the statement refers to. A retry finds that it is gone.
    if error.is_foreign_key_violation() {
        return Meaning::Transient;
    }
    let Some(code) = error.code() else { return Meaning::Other };
    if error.try_downcast_ref::<SqliteError>().is_some() { code.parse().map_or(Meaning::Other, sqlite) } else { postgres(&code) }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(reported) if reported.is_unique_violation() => Self::Taken(error),
            sqlx::Error::Database(reported) => match meaning(&**reported) {
                Meaning::Transient => Self::Transient(error),
                Meaning::File => Self::File(error),
                Meaning::Unreachable => Self::Unreachable(error),
                Meaning::Unable => Self::Unable(error),
                Meaning::Other => Self::Statement(error),
            },
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Tls(_) => {
                Self::Unreachable(error)
            }
            _ => Self::Statement(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::admin_shutdown("57P01", Meaning::Unreachable)]
    #[case::starting_up("57P03", Meaning::Unreachable)]
    #[case::connection_failure("08006", Meaning::Unreachable)]
    #[case::io_error("58030", Meaning::Unreachable)]
    #[case::query_canceled("57014", Meaning::Unable)]
    #[case::read_only("25006", Meaning::Unable)]
    #[case::disk_full("53100", Meaning::Unable)]
    #[case::too_many_connections("53300", Meaning::Unable)]
    #[case::deadlock("40P01", Meaning::Transient)]
    #[case::lock_timeout("55P03", Meaning::Transient)]
    #[case::undefined_table("42P01", Meaning::Other)]
    #[case::failed_transaction("25P02", Meaning::Other)]
    fn a_code_of_postgresql_has_a_meaning(#[case] code: &str, #[case] expected: Meaning) {
        assert_eq!(postgres(code), expected);
    }

    #[rstest]
    #[case::full(13, Meaning::Unable)]
    #[case::readonly(8, Meaning::Unable)]
    #[case::readonly_dbmoved(1032, Meaning::Unable)]
    #[case::ioerr_fsync(1034, Meaning::Unreachable)]
    #[case::busy_snapshot(517, Meaning::Transient)]
    #[case::cantopen(14, Meaning::File)]
    #[case::corrupt(11, Meaning::Other)]
    #[case::error(1, Meaning::Other)]
    fn a_code_of_sqlite_has_a_meaning(#[case] code: u32, #[case] expected: Meaning) {
        assert_eq!(sqlite(code), expected);
    }

    #[test]
    fn an_ended_connection_leaves_a_commit_uncertain_and_a_refusal_does_not() {
        let ended = DbError::from(sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()));
        assert!(matches!(ended.of_commit(), DbError::Uncertain(_)));
        let refused = DbError::Unable(sqlx::Error::PoolClosed);
        assert!(matches!(refused.of_commit(), DbError::Unable(_)));
    }
}
