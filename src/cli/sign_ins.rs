//! `rolegate sign-ins`: why a sign-in was refused, by the reference number that the person was shown.

use std::cmp::Reverse;

use clap::Args;
use serde_json::{Value, json};

use super::{Context, Failure, NO_TENANT, Output, no_connection, tenants};
use crate::{
    db::{
        self, Db,
        sign_in::{SignInLogRow, SignInOutcome},
        tenant::Tenant,
    },
    domain::{connection::Connection, id::EventId},
};

#[derive(Debug, Args)]
pub struct SignIns {
    /// Only of this tenant
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// Only through this connection
    #[arg(long, value_name = "SLUG")]
    connection: Option<String>,
    /// Only the one with this reference number
    #[arg(long, value_name = "REF", value_parser = EventId::parse)]
    reference: Option<EventId>,
    /// At most so many of each connection
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
}

impl SignIns {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let db = context.database().await?;
        let tenants = tenants(&db, self.tenant.as_deref()).await?;
        if tenants.is_empty() && !context.json {
            return output.line(NO_TENANT);
        }
        let mut found = Vec::new();
        let mut is_known = false;
        for tenant in &tenants {
            for connection in db::connection::list_connections(&db, tenant.id).await?.into_iter().map(|row| row.connection) {
                if self.connection.as_ref().is_none_or(|slug| connection.slug.as_str() == slug) {
                    is_known = true;
                    found.extend(self.of(&db, tenant, &connection).await?.into_iter().map(|row| (connection.slug.clone(), row)));
                }
            }
        }
        if let (Some(slug), false) = (&self.connection, is_known) {
            return Err(no_connection(&db, slug).await?);
        }
        if let (Some(reference), true) = (self.reference, found.is_empty()) {
            return Err(Failure::new(format!("there is no sign-in {reference}: they are kept for 90 days")));
        }
        // The newest first, whatever connection it was through.
        found.sort_by_key(|(_, row)| Reverse((row.at, row.id)));
        if context.json {
            let rows: Vec<_> = found.iter().map(|(slug, row)| shown(slug.as_str(), row)).collect();
            return output.json(&rows);
        }
        if found.is_empty() {
            return output.line("nobody has signed in by SAML yet");
        }
        for (slug, row) in &found {
            let outcome = match row.outcome {
                SignInOutcome::Accepted => "accepted".to_owned(),
                SignInOutcome::Refused => format!("REFUSED ({})", row.step.as_deref().unwrap_or("sign-in")),
            };
            let cure = row.why.cure.as_ref().map(|cure| format!(" – {cure}")).unwrap_or_default();
            let repeated = match row.occurrences {
                1 => String::new(),
                times => format!(" ({times} times until {})", row.last_at),
            };
            output.line(format!("{}  {slug}  {}  {outcome}: {}{cure}{repeated}", row.at, row.id, row.message))?;
        }
        Ok(())
    }

    async fn of(&self, db: &Db, tenant: &Tenant, connection: &Connection) -> Result<Vec<SignInLogRow>, Failure> {
        Ok(match self.reference {
            Some(reference) => db::sign_in::find_sign_in(db, tenant.id, connection.id, reference).await?.into_iter().collect(),
            None => db::sign_in::list_sign_in_log(db, tenant.id, connection.id, None, i64::from(self.limit)).await?,
        })
    }
}

fn shown(slug: &str, row: &SignInLogRow) -> Value {
    json!({
        "reference": row.id,
        "connection": slug,
        "at": row.at.to_string(),
        "outcome": row.outcome,
        "step": row.step,
        "message": row.message,
        "code": row.why.code,
        "expected": row.why.expected,
        "got": row.why.got,
        "cure": row.why.cure,
        "account": row.account,
        "occurrences": row.occurrences,
        "last_at": row.last_at.to_string(),
    })
}
