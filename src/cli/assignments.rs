//! `rolegate assignments`

use clap::Args;

use super::{Context, Failure, NO_TENANT, Output, tenants};
use crate::{
    admin::{
        listing::{self, Assignment, Row},
        why,
    },
    domain::id::AccountId,
};

#[derive(Debug, Args)]
pub struct Assignments {
    /// Only of the accounts of this user name, e-mail address or id
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only of this tenant
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

impl Assignments {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let db = context.database().await?;
        let mut found = Vec::new();
        let tenants = tenants(&db, self.tenant.as_deref()).await?;
        if tenants.is_empty() && !context.json {
            return output.line(NO_TENANT);
        }
        for tenant in tenants {
            if let Some(name) = &self.account {
                found.extend(listing::find_accounts(&db, tenant.id, name).await?);
                continue;
            }
            let mut after = None;
            loop {
                let rows = listing::list_accounts(&db, tenant.id, after).await?;
                after = rows.last().map(|row| AccountId::parse(&row.account.id)).transpose()?;
                let last = rows.len() < usize::try_from(listing::PAGE).unwrap_or(usize::MAX);
                found.extend(rows);
                if last {
                    break;
                }
            }
        }
        if let (Some(name), true) = (&self.account, found.is_empty()) {
            return Err(Failure::new(format!("there is no account {name:?}: `rolegate accounts --filter 'userName co \"…\"'` finds them")));
        }
        print(&found, context.json, output)
    }
}

fn print(found: &[Row], json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        return output.rows(found);
    }
    if found.iter().all(|row| row.assignments.is_empty()) {
        return output.line("nobody holds anything");
    }
    for row in found {
        for held in &row.assignments {
            output.line(format!("{}  {}", row.account.user_name, words(held)))?;
        }
    }
    Ok(())
}

/// An assignment and why it is there.
pub(super) fn words(held: &Assignment) -> String {
    let origins: Vec<_> = held.origins.iter().map(|origin| format!("{}, since {}", why::of(origin), origin.since)).collect();
    let scope = held.resource_scope.as_deref().map(|scope| format!(" / {scope}")).unwrap_or_default();
    format!("{} at {}{scope} ({}): {}", held.role, held.organization, held.reach, origins.join("; "))
}
