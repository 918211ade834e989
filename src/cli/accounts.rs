//! `rolegate accounts`

use clap::Args;

use super::{Context, Failure, NO_TENANT, Output, tenants};
use crate::{
    admin::listing::{self, AccountFilter, Row},
    domain::id::AccountId,
};

#[derive(Debug, Args)]
pub struct Accounts {
    /// Only those that satisfy a filter in SCIM grammar, such as 'userName co "ann"' or 'roles.value eq "Auditor"'
    #[arg(long, value_parser = AccountFilter::parse)]
    filter: Option<AccountFilter>,
    /// Only of this tenant
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

impl Accounts {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let db = context.database().await?;
        let tenants = tenants(&db, self.tenant.as_deref()).await?;
        if tenants.is_empty() && !context.json {
            return output.line(NO_TENANT);
        }
        let mut sink = if context.json { Some(output.array()?) } else { None };
        let mut lines = Vec::new();
        for tenant in tenants {
            let mut after = None;
            loop {
                let rows = listing::list_accounts(&db, tenant.id, after).await?;
                for row in rows.iter().filter(|row| self.filter.as_ref().is_none_or(|filter| filter.matches(row))) {
                    match &mut sink {
                        Some(array) => array.row(row)?,
                        None => lines.extend(words(row)),
                    }
                }
                after = rows.last().map(|row| AccountId::parse(&row.account.id)).transpose()?;
                if rows.len() < usize::try_from(listing::PAGE).unwrap_or(usize::MAX) {
                    break;
                }
            }
        }
        match sink {
            Some(array) => array.end(),
            None if lines.is_empty() => output.line("there is no such account"),
            None => lines.iter().try_for_each(|line| output.line(line)),
        }
    }
}

/// One account and what it holds, for people.
fn words(row: &Row) -> Vec<String> {
    let account = &row.account;
    let state = if account.active { "" } else { "  (cannot sign in)" };
    let source = account.connection.as_deref().unwrap_or("local");
    let alike = if row.looks_like_owner { "  (looks like an owner)" } else { "" };
    let head = format!("{}  {source}{state}{alike}", account.user_name);
    let assignments = row.assignments.iter().map(|held| format!("    {}", super::assignments::words(held)));
    std::iter::once(head).chain(assignments).collect()
}
