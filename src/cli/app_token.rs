//! `rolegate app-token create|list|revoke`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, Output, duration::Span, find_tenant, plan::correlation};
use crate::{
    admin::app_token::{self, AppTokenState, MAX_TTL_SECS},
    app::{App, Clock},
    db::{self, app_token::AppTokenRow, tenant::Tenant},
    domain::{
        actor::Actor,
        id::{AppTokenId, OrganizationId},
        model::RoleModel,
        name::Title,
    },
    policy::{
        access::{Grant, authorize, authorize_subtree},
        action::ManageAppTokens,
    },
};

#[derive(Debug, Subcommand)]
pub enum AppToken {
    /// Make a token by which an application reads the role store; it is shown this once
    Create(Create),
    /// List the tokens of applications
    List(Named),
    /// Revoke a token at once
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub struct Named {
    /// Which tenant, where there are several
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    named: Named,
    /// Which application it is for
    #[arg(long)]
    name: String,
    /// What it looks at, with what is below; the root when it is left out
    #[arg(long, value_name = "SLUG")]
    organization: Option<String>,
    /// How long it counts: a number with s, m, h, d or w; 366d at most
    #[arg(long, default_value = "90d")]
    ttl: Span,
}

#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    named: Named,
    /// The token's id, as `app-token list` shows it
    id: String,
}

impl AppToken {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context, output).await,
            Self::List(named) => list(&named, context, output).await,
            Self::Revoke(revoke) => revoke.run(context, output).await,
        }
    }
}

/// The operator of the host has every right.
fn grant(model: &RoleModel, at: OrganizationId) -> Result<Grant<ManageAppTokens>, Failure> {
    Ok(authorize(&Actor::HostOperator, model, at)?)
}

async fn open(named: &Named, context: Context) -> Result<(App, Tenant, RoleModel), Failure> {
    let app = context.open().await?;
    let tenant = find_tenant(&app.db, named.tenant.as_deref()).await?;
    let model = db::model::load_model(&app.db, tenant.id).await?;
    Ok((app, tenant, model))
}

impl Create {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let json = context.json;
        let name = Title::parse("--name", &self.name)?;
        if self.ttl.secs > MAX_TTL_SECS {
            return Err(Failure::new(format!("--ttl: a token lasts {} days at most", MAX_TTL_SECS / 86_400)));
        }
        let (app, tenant, model) = open(&self.named, context).await?;
        let at = match &self.organization {
            None => model.organizations.root(),
            Some(slug) => model.organizations.find_slug(slug).ok_or_else(|| Failure::new(format!("there is no organization {slug:?}")))?.id,
        };
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let grant = authorize_subtree(&Actor::HostOperator, &model, at)?;
        let (row, secret) = app_token::create(&grant, &app.db, &mut occasion, tenant.id, &name, self.ttl.secs, app.random.bytes()).await?;
        if json {
            output.json(&json!({ "id": row.id, "token": secret.expose(), "expires_at": row.expires_at.to_string() }))?;
        } else {
            output.line(format!("token {} of {}, until {}, shown this once:", row.id, row.name, row.expires_at))?;
            output.line(secret.expose())?;
        }
        output.finish()?;
        app.seal(tenant.id).await;
        Ok(())
    }
}

fn words(state: AppTokenState) -> &'static str {
    match state {
        AppTokenState::Live => "live",
        AppTokenState::Unbacked => "unbacked (its owner could not make it any more: another owner can take it over)",
        AppTokenState::Expired => "expired",
        AppTokenState::Revoked => "revoked",
    }
}

async fn list(named: &Named, context: Context, output: &mut Output) -> Result<(), Failure> {
    let db = context.database().await?;
    let tenant = find_tenant(&db, named.tenant.as_deref()).await?;
    let model = db::model::load_model(&db, tenant.id).await?;
    let slug = |row: &AppTokenRow| model.organizations.find(row.organization).map_or_else(String::new, |found| found.slug.to_string());
    let rows = app_token::list_all(&db, &model, Clock::System.now()).await?;
    if context.json {
        return output.rows(rows.iter().map(|(row, state)| {
            json!({
                "id": row.id,
                "name": row.name,
                "organization": slug(row),
                "created_at": row.created_at.to_string(),
                "expires_at": row.expires_at.to_string(),
                "revoked_at": row.revoked_at.map(|at| at.to_string()),
                "last_used_at": row.last_used_at.map(|at| at.to_string()),
                "state": state,
            })
        }));
    }
    if rows.is_empty() {
        return output.line("no application has a token yet: `rolegate app-token create --name NAME` makes one");
    }
    for (row, state) in &rows {
        let used = row.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
        output.line(format!("{}  {}  {}  at {}  until {}  {used}", row.id, words(*state), row.name, slug(row), row.expires_at))?;
    }
    Ok(())
}

impl Revoke {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let id = AppTokenId::parse(&self.id)?;
        let (app, tenant, model) = open(&self.named, context).await?;
        let missing = || Failure::new(format!("there is no token {id}: `rolegate app-token list` shows them"));
        let row = app_token::find(&app.db, tenant.id, id).await?.ok_or_else(missing)?;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        app_token::revoke(&grant(&model, row.organization)?, &app.db, &mut occasion, tenant.id, id).await?;
        output.line(format!("token {id} of {} is revoked", row.name))?;
        app.seal(tenant.id).await;
        Ok(())
    }
}
