//! `rolegate token create|list|revoke`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, Output, duration::Span, find_connection, keys::grant, plan::correlation};
use crate::{
    admin::scim_token::{self, Minted, ScimTokenError},
    app::{App, Clock},
    db::{self, Db, connection::ConnectionRow, token::TokenState},
    domain::{actor::Actor, connection::Connection, id::TokenId},
};

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a SCIM token; it is shown this once
    Create(Create),
    /// List the tokens of a connection
    List(Named),
    /// Revoke a token at once
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub struct Named {
    /// The connection
    #[arg(long, value_name = "SLUG")]
    pub(super) connection: String,
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    named: Named,
    /// How long it counts: a number with s, m, h, d or w
    #[arg(long, default_value = "90d")]
    ttl: Span,
}

#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    named: Named,
    /// The token's id, as `token list` shows it
    id: String,
}

impl Token {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context, output).await,
            Self::List(named) => list(&named, context, output).await,
            Self::Revoke(revoke) => revoke.run(context, output).await,
        }
    }
}

impl Named {
    pub(super) async fn find(&self, db: &Db) -> Result<ConnectionRow, Failure> {
        find_connection(db, &self.connection).await
    }
}

impl Create {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let json = context.json;
        let app = context.open().await?;
        let row = self.named.find(&app.db).await?.connection;
        let Minted { id, token, expires_at } = mint(&app, &row, self.ttl.secs).await?;
        if json {
            output.json(&json!({ "id": id, "token": token.expose(), "expires_at": expires_at.to_string() }))?;
        } else {
            output.line(format!("token {id} of {}, until {expires_at}, shown this once:", row.slug))?;
            output.line(token.expose())?;
        }
        output.finish()?;
        app.seal(row.tenant).await;
        Ok(())
    }
}

/// Makes a token of the connection, as the operator of the host.
pub(super) async fn mint(app: &App, connection: &Connection, ttl_secs: i64) -> Result<Minted, Failure> {
    let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
    let grant = grant(&app.db, connection).await?;
    Ok(scim_token::create(&grant, &app.db, &mut occasion, connection, ttl_secs, app.random.bytes()).await?)
}

async fn list(named: &Named, context: Context, output: &mut Output) -> Result<(), Failure> {
    let db = context.database().await?;
    let row = named.find(&db).await?.connection;
    let tokens = db::token::list_tokens(&db, row.tenant, row.id).await?;
    let now = Clock::System.now();
    if context.json {
        return output.rows(tokens.iter().map(|token| {
            json!({
                "id": token.id,
                "connection": row.slug,
                "created_at": token.created_at.to_string(),
                "expires_at": token.expires_at.to_string(),
                "revoked_at": token.revoked_at.map(|at| at.to_string()),
                "last_used_at": token.last_used_at.map(|at| at.to_string()),
                "state": token.state_at(now),
            })
        }));
    }
    if tokens.is_empty() {
        return output.line(format!("{} has no token yet: `rolegate token create --connection {}` makes one", row.slug, row.slug));
    }
    for token in &tokens {
        let state = match token.state_at(now) {
            TokenState::Revoked => format!("revoked {}", token.revoked_at.map_or_else(String::new, |at| at.to_string())),
            TokenState::Expired => format!("EXPIRED {}", token.expires_at),
            TokenState::Live => format!("until {}", token.expires_at),
        };
        let used = token.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
        output.line(format!("{}  {state}  {used}", token.id))?;
    }
    Ok(())
}

impl Revoke {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let id = TokenId::parse(&self.id)?;
        let app: App = context.open().await?;
        let row = self.named.find(&app.db).await?.connection;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let grant = grant(&app.db, &row).await?;
        match scim_token::revoke(&grant, &app.db, &mut occasion, &row, id).await {
            Err(ScimTokenError::NotFound) => {
                let words = format!("the connection {} has no token {id} that counts: `rolegate token list` shows them", row.slug);
                return Err(Failure::new(words));
            }
            other => other?,
        }
        output.line(format!("token {id} of {} is revoked", row.slug))?;
        app.seal(row.tenant).await;
        Ok(())
    }
}
