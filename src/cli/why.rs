//! `rolegate why`

use clap::Args;

use super::{Context, Failure, Output, find_tenant};
use crate::{
    admin::{
        history::{self, Reason},
        listing,
    },
    app::Clock,
    domain::{id::AccountId, time::Timestamp},
};

#[derive(Debug, Args)]
pub struct Why {
    /// The account: its user name, e-mail address or id
    #[arg(long, value_name = "NAME")]
    account: String,
    /// The role, as it was called then
    #[arg(long, value_name = "NAME")]
    role: String,
    /// When, no later than now: 2026-03-03T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    at: Timestamp,
    /// Which tenant, where there are several
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

impl Why {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let db = context.database().await?;
        let tenant = find_tenant(&db, self.tenant.as_deref()).await?;
        let found = listing::find_accounts(&db, tenant.id, &self.account).await?;
        let [row] = found.as_slice() else {
            let named = &self.account;
            return Err(Failure::new(match found.len() {
                0 => format!("there is no account {named:?}: `rolegate accounts` lists them"),
                count => format!("{count} accounts are {named:?}: name one by its id, as `rolegate accounts --json` shows it"),
            }));
        };
        let past = history::role_at(&db, tenant.id, AccountId::parse(&row.account.id)?, &self.role, self.at, Clock::System.now()).await?;
        if context.json {
            return output.json(&past);
        }
        let who = &row.account.user_name;
        if past.held {
            output.line(format!("{who} held {} at {}:", self.role, self.at))?;
            return past.because.iter().try_for_each(|reason| output.line(words(reason)));
        }
        output.line(format!("{who} did not hold {} at {}, by the audit trail", self.role, self.at))?;
        match &past.before {
            Some(reason) => output.line(format!("last before that: {}", words(reason).trim())),
            None => Ok(()),
        }
    }
}

fn words(reason: &Reason) -> String {
    let rule = reason.rule.as_ref().map(|rule| format!(" \"{rule}\"")).unwrap_or_default();
    let version = reason.mapping_version.map(|version| format!(", mapping {version}")).unwrap_or_default();
    let connection = reason.connection_slug.as_ref().map(|slug| format!(" of {slug}")).unwrap_or_default();
    let by = reason.by.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let since = if reason.since.is_empty() { "a time before the trail".to_owned() } else { reason.since.clone() };
    let until = reason.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    format!(
        "  at {} ({}): {}{rule}{connection}{version}, by {}{by}, since {since}{until}",
        reason.organization, reason.reach, reason.origin, reason.by_kind
    )
}
