//! Two SQL engines, one SQL text. Everything that differs between SQLite and PostgreSQL stands in this file and in `migrate`.
//!
//! Callers write one text in the portable subset (`text`, `bigint`, `boolean`; `$1` placeholders; `on conflict`; `returning`).
//! [`Bind`] admits only what both drivers encode and [`Record`] only what both decode, so what one engine alone knows does not compile.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, str::FromStr, time::Duration};

use sqlx::{
    Arguments, AssertSqlSafe, Encode, FromRow, Postgres, SqlSafeStr, SqlStr, Sqlite, Type,
    postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow},
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::attempt;

/// A value that both drivers can encode.
pub trait Bind<'q>: Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres> + Send {}
impl<'q, T: Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres> + Send> Bind<'q> for T {}

/// A row that both drivers can decode.
pub trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Record for T {}

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database address {address:?} is not understood: sqlite://FILE or postgres://… was expected")]
    Address { address: String },
    /// Another transaction was in the way; the same work may succeed when it is done again.
    #[error("the database asks to try again")]
    Transient(#[source] sqlx::Error),
    /// Somebody else has the name already. The transaction can only be given up.
    #[error("a name that must be unique is taken")]
    Taken(#[source] sqlx::Error),
    #[error("the database's file cannot be opened or made: its folder must be there and be writable by this user")]
    File(#[source] sqlx::Error),
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
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

    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        // 40001 serialization_failure, 40P01 deadlock_detected, 55P03 lock_not_available; SQLITE_BUSY and its extended codes.
        let transient = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| matches!(&*code, "40001" | "40P01" | "55P03" | "5" | "261" | "517"));
        // SQLITE_CANTOPEN.
        let cannot_open = error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "14");
        let taken = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
        // Somebody deleted meanwhile what the statement refers to: done again, the work finds that it is gone.
        let transient = transient || error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation);
        match error {
            _ if taken => Self::Taken(error),
            _ if transient => Self::Transient(error),
            _ if cannot_open => Self::File(error),
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => Self::Unreachable(error),
            _ => Self::Statement(error),
        }
    }
}

/// The database: on SQLite one writer and a pool of readers, on PostgreSQL one pool.
#[derive(Debug, Clone)]
pub enum Db {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

/// A new database file is its owner's alone; SQLite makes the files beside it in the same mode. What goes wrong here, opening says.
fn make_for_owner(path: &Path, address: &str) {
    let is_made = address.split_once("mode=").is_none_or(|(_, mode)| mode.starts_with("rwc"));
    if is_made && !address.contains(":memory:") {
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    }
}

/// How many connections are held: readers on SQLite, all on PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub struct PoolSize(pub u32);

impl Db {
    /// Opens `sqlite://FILE` (made when absent) or `postgres://…`.
    pub async fn open(address: &str, size: PoolSize) -> Result<Self, DbError> {
        let refused = || DbError::Address { address: address.split('@').next_back().unwrap_or_default().to_owned() };
        if address.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(address)
                .map_err(|_| refused())?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .statement_cache_capacity(400)
                .busy_timeout(Duration::from_secs(10));
            make_for_owner(options.get_filename(), address);
            let writer =
                SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(30)).connect_with(options.clone()).await?;
            let readers = SqlitePoolOptions::new().max_connections(size.0).min_connections(0).connect_lazy_with(options.read_only(true));
            Ok(Self::Sqlite { writer, readers })
        } else if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(address)
                .map_err(|_| refused())?
                .statement_cache_capacity(400)
                .application_name("rolegate")
                .options([("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "30s"), ("lock_timeout", "20s")]);
            Ok(Self::Postgres(
                PgPoolOptions::new().max_connections(size.0).acquire_timeout(Duration::from_secs(10)).connect_with(options).await?,
            ))
        } else {
            Err(refused())
        }
    }

    /// Whether the address names a file that is not there yet.
    #[must_use]
    pub fn is_absent(address: &str) -> bool {
        let options = SqliteConnectOptions::from_str(address).ok().filter(|_| address.starts_with("sqlite:"));
        options.is_some_and(|options| !address.contains(":memory:") && !options.get_filename().exists())
    }

    /// Begins the only kind of transaction there is. It must not be cancelled half way (sqlx 0.9.0 could hand the connection back
    /// with the transaction still open): requests run in tasks of their own, which a client that hangs up does not end.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        match self {
            Self::Sqlite { writer, .. } => Ok(Tx::Sqlite(writer.begin_with("begin immediate").await?)),
            Self::Postgres(pool) => Ok(Tx::Postgres(pool.begin().await?)),
        }
    }

    /// A statement outside any transaction, for reading.
    pub fn query(&self, sql: &'static str) -> Query<'_> {
        Query::new(Target::Pool(self), sql.into_sql_str())
    }

    /// As [`Tx::query_set`], for reading.
    pub fn query_set(&self, sql: &'static str, rows: usize) -> Query<'_> {
        Query::new(Target::Pool(self), repeat(sql, rows, self.is_sqlite()))
    }

    pub(super) fn query_built(&self, sql: String) -> Query<'_> {
        Target::Pool(self).query_built(sql)
    }

    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite { .. })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// An open transaction; dropped without [`Tx::commit`], it leaves nothing behind.
#[derive(Debug)]
pub enum Tx {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Tx {
    pub fn query(&mut self, sql: &'static str) -> Query<'_> {
        Query::new(Target::Tx(self), sql.into_sql_str())
    }

    /// A `select` whose rows stay locked until the end: `for update` on PostgreSQL; on SQLite the writer is alone anyway.
    pub fn lock(&mut self, sql: &'static str) -> Query<'_> {
        let sql = match self {
            Self::Sqlite(_) => sql.into_sql_str(),
            Self::Postgres(_) => AssertSqlSafe(format!("{sql} for update")).into_sql_str(),
        };
        Query::new(Target::Tx(self), sql)
    }

    /// A statement over a set: the one group `{($1, $2)}` in the text is repeated `rows` times, numbered on, separated by commas.
    /// Placeholders outside the group keep their numbers and are bound first. At most [`SET_LIMIT`] rows: chunk longer sets.
    pub fn query_set(&mut self, sql: &'static str, rows: usize) -> Query<'_> {
        let sql = repeat(sql, rows, matches!(self, Self::Sqlite(_)));
        Query::new(Target::Tx(self), sql)
    }

    /// As [`Tx::query_set`], and locks like [`Tx::lock`].
    pub fn lock_set(&mut self, sql: &'static str, rows: usize) -> Query<'_> {
        let suffix = if matches!(self, Self::Postgres(_)) { " for update" } else { "" };
        let sql = AssertSqlSafe(format!("{}{suffix}", repeat(sql, rows, suffix.is_empty()).as_str())).into_sql_str();
        Query::new(Target::Tx(self), sql)
    }

    pub async fn commit(self) -> Result<(), DbError> {
        let commit = async {
            match self {
                Self::Sqlite(tx) => Ok(tx.commit().await?),
                Self::Postgres(tx) => Ok(tx.commit().await?),
            }
        };
        attempt::noted(commit).await
    }
}

/// Rows in one set statement; 16 columns of them stay below SQLite's 32,766 and PostgreSQL's 65,535 placeholders.
pub const SET_LIMIT: usize = 2_000;

/// `{…}` repeated, its placeholders numbered on from the highest one.
fn repeat(sql: &str, rows: usize, sqlite: bool) -> SqlStr {
    assert!((1..=SET_LIMIT).contains(&rows), "a set statement takes 1 to {SET_LIMIT} rows, not {rows}");
    let (head, rest) = sql.split_once('{').expect("a set statement has a group in braces");
    let (group, tail) = rest.split_once('}').expect("the group in braces is closed");
    let pieces: Vec<&str> = group.split('$').map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
    let width = pieces.len() - 1;
    let first =
        group.split('$').nth(1).and_then(|piece| piece.split(|c: char| !c.is_ascii_digit()).next()).and_then(|n| n.parse::<usize>().ok());
    let first = first.expect("the group in braces has placeholders");
    let mut text = String::with_capacity(sql.len() + rows * (group.len() + 6 * width));
    text.push_str(head);
    for row in 0..rows {
        if row > 0 {
            text.push_str(", ");
        }
        text.push_str(pieces[0]);
        for (column, piece) in pieces[1..].iter().enumerate() {
            text.push('$');
            text.push_str(&(first + row * width + column).to_string());
            text.push_str(piece);
        }
    }
    text.push_str(tail);
    numbered(text, sqlite)
}

/// SQLite keeps a list of the names of placeholders, and `$1` and `?1` are names: both it and the driver go through the list for each
/// value, which makes many of them quadratic. A bare `?` has no name, and means the same where each stands once and in order.
fn numbered(text: String, sqlite: bool) -> SqlStr {
    if !sqlite {
        return AssertSqlSafe(text).into_sql_str();
    }
    let digits = |rest: &str| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (head, rest) = text.split_once('$').unwrap_or((&text, ""));
    let in_order = rest.split('$').zip(1_usize..).all(|(rest, place)| rest[..digits(rest)].parse() == Ok(place));
    if !in_order {
        return AssertSqlSafe(text.replace('$', "?")).into_sql_str();
    }
    let bare = rest.split('$').fold(head.to_owned(), |bare, rest| bare + "?" + &rest[digits(rest)..]);
    AssertSqlSafe(bare).into_sql_str()
}

/// Where a statement runs. What only reads takes `impl Into<Target<'_>>` and is asked with `db` or, inside a transaction, `&mut *tx`.
pub enum Target<'t> {
    Tx(&'t mut Tx),
    Pool(&'t Db),
}

impl<'t> From<&'t mut Tx> for Target<'t> {
    fn from(tx: &'t mut Tx) -> Self {
        Self::Tx(tx)
    }
}

impl<'t> From<&'t Db> for Target<'t> {
    fn from(db: &'t Db) -> Self {
        Self::Pool(db)
    }
}

impl<'t> Target<'t> {
    /// The same place for one statement more.
    pub fn again(&mut self) -> Target<'_> {
        match self {
            Self::Tx(tx) => Target::Tx(tx),
            Self::Pool(db) => Target::Pool(db),
        }
    }

    pub fn query(&mut self, sql: &'static str) -> Query<'_> {
        match self {
            Self::Tx(tx) => tx.query(sql),
            Self::Pool(db) => db.query(sql),
        }
    }

    /// As [`Tx::query_set`].
    pub fn query_set(&mut self, sql: &'static str, rows: usize) -> Query<'_> {
        match self {
            Self::Tx(tx) => tx.query_set(sql, rows),
            Self::Pool(db) => db.query_set(sql, rows),
        }
    }

    pub(super) fn query_built(self, sql: String) -> Query<'t> {
        let sql = numbered(sql, matches!(self, Self::Tx(Tx::Sqlite(_)) | Self::Pool(Db::Sqlite { .. })));
        Query::new(self, sql)
    }
}

enum Values {
    Sqlite(SqliteArguments),
    Postgres(PgArguments),
}

/// A statement with its values, ready to run.
#[must_use]
pub struct Query<'t> {
    target: Target<'t>,
    sql: SqlStr,
    values: Values,
    failed: Option<sqlx::Error>,
}

impl<'t> Query<'t> {
    fn new(target: Target<'t>, sql: SqlStr) -> Self {
        let sqlite = matches!(target, Target::Tx(Tx::Sqlite(_)) | Target::Pool(Db::Sqlite { .. }));
        let values = if sqlite { Values::Sqlite(SqliteArguments::default()) } else { Values::Postgres(PgArguments::default()) };
        Self { target, sql, values, failed: None }
    }

    pub fn bind<'q>(mut self, value: impl Bind<'q>) -> Self {
        let outcome = match &mut self.values {
            Values::Sqlite(values) => values.add(value),
            Values::Postgres(values) => values.add(value),
        };
        if let Err(error) = outcome {
            self.failed.get_or_insert(sqlx::Error::Encode(error));
        }
        self
    }

    pub async fn optional<R: Record>(self) -> Result<Option<R>, DbError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        Ok(match (self.target, self.values) {
            (Target::Tx(Tx::Sqlite(tx)), Values::Sqlite(values)) => sqlx::query_as_with(self.sql, values).fetch_optional(&mut **tx).await?,
            (Target::Tx(Tx::Postgres(tx)), Values::Postgres(values)) => {
                sqlx::query_as_with(self.sql, values).fetch_optional(&mut **tx).await?
            }
            (Target::Pool(Db::Sqlite { readers, .. }), Values::Sqlite(values)) => {
                sqlx::query_as_with(self.sql, values).fetch_optional(readers).await?
            }
            (Target::Pool(Db::Postgres(pool)), Values::Postgres(values)) => {
                sqlx::query_as_with(self.sql, values).fetch_optional(pool).await?
            }
            _ => unreachable!("values are made for the engine of the target"),
        })
    }

    pub async fn all<R: Record>(self) -> Result<Vec<R>, DbError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        Ok(match (self.target, self.values) {
            (Target::Tx(Tx::Sqlite(tx)), Values::Sqlite(values)) => sqlx::query_as_with(self.sql, values).fetch_all(&mut **tx).await?,
            (Target::Tx(Tx::Postgres(tx)), Values::Postgres(values)) => sqlx::query_as_with(self.sql, values).fetch_all(&mut **tx).await?,
            (Target::Pool(Db::Sqlite { readers, .. }), Values::Sqlite(values)) => {
                sqlx::query_as_with(self.sql, values).fetch_all(readers).await?
            }
            (Target::Pool(Db::Postgres(pool)), Values::Postgres(values)) => sqlx::query_as_with(self.sql, values).fetch_all(pool).await?,
            _ => unreachable!("values are made for the engine of the target"),
        })
    }

    /// Runs the statement; how many rows it touched.
    pub async fn run(self) -> Result<u64, DbError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        Ok(match (self.target, self.values) {
            (Target::Tx(Tx::Sqlite(tx)), Values::Sqlite(values)) => {
                sqlx::query_with(self.sql, values).execute(&mut **tx).await?.rows_affected()
            }
            (Target::Tx(Tx::Postgres(tx)), Values::Postgres(values)) => {
                sqlx::query_with(self.sql, values).execute(&mut **tx).await?.rows_affected()
            }
            (Target::Pool(Db::Sqlite { writer, .. }), Values::Sqlite(values)) => {
                sqlx::query_with(self.sql, values).execute(writer).await?.rows_affected()
            }
            (Target::Pool(Db::Postgres(pool)), Values::Postgres(values)) => {
                sqlx::query_with(self.sql, values).execute(pool).await?.rows_affected()
            }
            _ => unreachable!("values are made for the engine of the target"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_repeated_and_numbered_on() {
        assert_eq!(repeat("insert into t (a, b) values {($1, $2)}", 2, false).as_str(), "insert into t (a, b) values ($1, $2), ($3, $4)");
        assert_eq!(
            repeat("select 1 from t where tenant = $1 and id in ({$2}) order by id", 3, true).as_str(),
            "select 1 from t where tenant = ? and id in (?, ?, ?) order by id"
        );
        assert_eq!(
            repeat("update t set a = $2 where tenant = $1 and a <> $2 and id in ({$3})", 2, true).as_str(),
            "update t set a = ?2 where tenant = ?1 and a <> ?2 and id in (?3, ?4)",
            "what stands twice, or not in order, keeps its number"
        );
        assert_eq!(numbered("select 1".to_owned(), true).as_str(), "select 1");
    }
}
