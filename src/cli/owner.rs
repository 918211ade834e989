//! `rolegate owner recover`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, Output, find_tenant, plan::correlation};
use crate::{admin::recover, domain::actor::Actor, keys};

#[derive(Debug, Subcommand)]
pub enum Owner {
    /// Make a one-time sign-in link for an owner; it is audited and raised as an alarm
    Recover(Recover),
}

#[derive(Debug, Args)]
pub struct Recover {
    /// Which owner, where there are several: e-mail address or user name
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,
    /// Which tenant, where there are several
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

impl Owner {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let Self::Recover(recover) = self;
        let json = context.json;
        let app = context.open().await?;
        let tenant = find_tenant(&app.db, recover.tenant.as_deref()).await?;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let mut mint = || keys::secret(app.random.bytes());
        let link = recover::recover(&app.db, &tenant, &mut occasion, recover.email.as_deref(), &mut mint).await?;
        let url = app.config.public_url.join(&link.path());
        if json {
            output.json(&json!({ "email": link.email, "url": url, "expires_at": link.expires_at.to_string() }))?;
        } else {
            output.line(format!("sign-in link for {}, once, until {}: {url}", link.email, link.expires_at))?;
        }
        output.finish()?;
        app.seal(tenant.id).await;
        Ok(())
    }
}
