//! A transaction on SQLite. Its driver works in a thread of its own, and the way there and back costs more than most statements: the
//! beginning goes with the first of them, the commit with the last, and in between those of which nobody waits for the answer go with the
//! next, all in one text.

use std::{collections::HashMap, mem};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Either, Executor as _, Sqlite, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{DbError, Value, sqlite_arguments};
use crate::db::attempt;

/// What an outstanding read is known by, until its rows are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub struct SqliteTx {
    /// `None` once it has ended.
    connection: Option<PoolConnection<Sqlite>>,
    is_begun: bool,
    waiting: Batch,
    tickets: u64,
    rows: HashMap<Ticket, Vec<SqliteRow>>,
}

/// Statements that run one after another as one text, each with a ticket where its rows are wanted.
#[derive(Debug, Default)]
struct Batch {
    texts: Vec<String>,
    tickets: Vec<Option<Ticket>>,
    values: Vec<Value>,
}

impl Batch {
    fn push(&mut self, text: String, ticket: Option<Ticket>, values: Vec<Value>) {
        self.texts.push(text);
        self.tickets.push(ticket);
        self.values.extend(values);
    }

    /// Its text and values; what is left are the tickets.
    fn take(&mut self) -> (String, SqliteArguments, Vec<Option<Ticket>>) {
        let Self { texts, tickets, values } = mem::take(self);
        (texts.join("; "), sqlite_arguments(values), tickets)
    }
}

impl SqliteTx {
    /// Nobody else writes from its first statement on.
    pub(super) async fn begin(writer: &SqlitePool) -> Result<Self, DbError> {
        let connection = Some(writer.acquire().await?);
        Ok(Self { connection, is_begun: false, waiting: Batch::default(), tickets: 0, rows: HashMap::new() })
    }

    /// Runs it before the next one.
    pub(super) fn later(&mut self, text: String, values: Vec<Value>) {
        self.push(text, None, values);
    }

    /// As [`Self::later`], for one whose rows are fetched with the ticket.
    pub(super) fn ahead(&mut self, text: String, values: Vec<Value>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.push(text, Some(ticket), values);
        ticket
    }

    pub(super) async fn fetch(&mut self, ticket: Ticket) -> Result<Vec<SqliteRow>, DbError> {
        if !self.rows.contains_key(&ticket) {
            self.settle().await?;
        }
        Ok(self.rows.remove(&ticket).unwrap_or_default())
    }

    /// Its rows, and how many it touched.
    pub(super) async fn run(&mut self, text: String, values: Vec<Value>) -> Result<(Vec<SqliteRow>, u64), DbError> {
        let ticket = self.ahead(text, values);
        let touched = self.run_waiting().await?;
        Ok((self.rows.remove(&ticket).unwrap_or_default(), touched))
    }

    pub(super) async fn settle(&mut self) -> Result<(), DbError> {
        if self.waiting.texts.is_empty() { Ok(()) } else { self.run_waiting().await.map(drop) }
    }

    pub(super) async fn commit(mut self) -> Result<(), DbError> {
        if self.is_begun || !self.waiting.texts.is_empty() {
            self.push("commit".to_owned(), None, Vec::new());
            attempt::noted(self.run_waiting()).await?;
        }
        self.connection = None;
        Ok(())
    }

    fn push(&mut self, text: String, ticket: Option<Ticket>, values: Vec<Value>) {
        if !mem::replace(&mut self.is_begun, true) {
            self.waiting.push("begin immediate".to_owned(), None, Vec::new());
        }
        self.waiting.push(text, ticket, values);
    }

    /// How many rows the last one touched.
    async fn run_waiting(&mut self) -> Result<u64, DbError> {
        let (text, values, tickets) = self.waiting.take();
        let connection = self.connection.as_mut().ok_or_else(|| DbError::corrupt("a transaction", "it has ended"))?;
        let mut results = (&mut **connection).fetch_many(sqlx::query_with(AssertSqlSafe(text), values));
        let (mut at, mut touched) = (0, 0);
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Left(done) => {
                    touched = done.rows_affected();
                    at += 1;
                }
                Either::Right(row) => {
                    if let Some(ticket) = tickets[at] {
                        self.rows.entry(ticket).or_default().push(row);
                    }
                }
            }
        }
        for ticket in tickets.into_iter().flatten() {
            self.rows.entry(ticket).or_default();
        }
        Ok(touched)
    }
}

/// What was begun and not committed is undone before anybody else gets the connection. Where no runtime is left to do that, the connection
/// is closed, which undoes it too.
impl Drop for SqliteTx {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take().filter(|_| self.is_begun) else { return };
        match tokio::runtime::Handle::try_current() {
            // That nothing is under way any more, as after a full disk, is no error of this one.
            Ok(runtime) => drop(runtime.spawn(async move { connection.execute("rollback").await.map(drop) })),
            Err(_) => drop(connection.detach()),
        }
    }
}
