//! What the demo prints: a story in steps, and claims that are checked before they are printed.

use std::fmt::Display;

use crate::{
    admin::{
        listing::{self, Row},
        why,
    },
    cli::{Failure, Output},
    db::Db,
    domain::id::TenantId,
};

pub struct Teller<'o> {
    output: &'o mut Output,
    step: usize,
    failed: usize,
}

impl<'o> Teller<'o> {
    pub fn new(output: &'o mut Output) -> Self {
        Self { output, step: 0, failed: 0 }
    }

    pub fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.step += 1;
        self.output.line("")?;
        self.output.line(format!("{}. {title}", self.step))
    }

    pub fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        self.output.line(format!("   {line}"))
    }

    /// Prints what was seen to be so, or that it was not.
    pub fn claim(&mut self, words: &str, is_so: bool) -> Result<(), Failure> {
        self.failed += usize::from(!is_so);
        self.output.line(format!("   {} {words}", if is_so { "[ok]    " } else { "[FAILED]" }))?;
        self.output.finish()
    }

    /// Everybody, what they hold, and why.
    pub async fn everybody(&mut self, db: &Db, tenant: TenantId) -> Result<(), Failure> {
        for row in listing::list_accounts(db, tenant, None).await? {
            self.person(&row)?;
        }
        self.output.finish()
    }

    fn person(&mut self, row: &Row) -> Result<(), Failure> {
        let account = &row.account;
        let name = account.display_name.as_deref().unwrap_or(&account.user_name);
        let state = if account.active { "" } else { ", may not sign in: what is held sleeps" };
        let known = account.connection.as_ref().map_or_else(|| "local".to_owned(), |connection| format!("through {connection}"));
        self.line(format!("{name} <{}>, {known}{state}", account.user_name))?;
        for assignment in &row.assignments {
            self.line(format!("    {} at {}", assignment.role, assignment.organization))?;
            for origin in &assignment.origins {
                self.line(format!("        {}", why::of(origin)))?;
            }
        }
        if row.assignments.is_empty() {
            self.line("    holds nothing")?;
        }
        Ok(())
    }

    /// Fails when anything did not happen as told.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.output.finish()?;
        match self.failed {
            0 => Ok(()),
            1 => Err(Failure::new("one thing did not happen as told above")),
            failed => Err(Failure::new(format!("{failed} things did not happen as told above"))),
        }
    }
}
