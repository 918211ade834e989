//! A transaction on SQLite. Its driver works in a thread of its own, and the way there and back costs more than most statements: the
//! beginning goes with the first of them, the commit with the last, and in between those of which nobody waits for the answer go with the
//! next, all in one text.

use std::{collections::HashMap, mem};

use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    DbError, Value,
    file::{Borrowed, Connections},
    sqlite_arguments,
};
use crate::db::attempt;

/// What an outstanding read is known by, until its rows are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub struct SqliteTx {
    /// `None` once it has ended.
    connection: Option<Borrowed>,
    is_begun: bool,
    /// A statement failed or was not awaited: PostgreSQL refuses whatever comes after that, and so does this.
    is_broken: bool,
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
    pub(super) async fn begin(writer: &Connections) -> Result<Self, DbError> {
        let connection = Some(writer.acquire().await?);
        Ok(Self { connection, is_begun: false, is_broken: false, waiting: Batch::default(), tickets: 0, rows: HashMap::new() })
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
        self.rows.remove(&ticket).ok_or_else(|| DbError::misused("the statement that was asked ahead failed"))
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
        if self.is_begun {
            self.push("commit".to_owned(), None, Vec::new());
            let all = self.waiting.texts.len();
            attempt::noted(async {
                let (outcome, done) = self.run_counting().await;
                (outcome.map(drop), done + 1 >= all)
            })
            .await?;
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

    async fn run_waiting(&mut self) -> Result<u64, DbError> {
        self.run_counting().await.0
    }

    /// How many rows the last one touched, and how many of them ran to their end.
    async fn run_counting(&mut self) -> (Result<u64, DbError>, usize) {
        let (text, values, tickets) = self.waiting.take();
        let was_broken = mem::replace(&mut self.is_broken, true);
        let Some(connection) = self.connection.as_mut().filter(|_| !was_broken) else {
            return (Err(DbError::misused("a statement of the transaction failed before")), 0);
        };
        let (ran, outcome) = connection.run(AssertSqlSafe(text).into_sql_str(), values).await;
        let done = ran.rows.len();
        if let Err(error) = outcome {
            return (Err(error.into()), done);
        }
        self.rows.extend(tickets.into_iter().zip(ran.rows).filter_map(|(ticket, rows)| Some((ticket?, rows))));
        self.is_broken = false;
        (Ok(ran.touched), done)
    }
}

/// What was begun and not committed is undone before anybody else gets the connection.
impl Drop for SqliteTx {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|_| self.is_begun) {
            connection.undo();
        }
    }
}
