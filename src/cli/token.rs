//! `rolegate token create|list|revoke`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, Output, duration::Span, find_connection, plan::correlation};
use crate::{
    app::{App, Clock},
    db::{self, Db, DbError, audit::Entry, connection::ConnectionRow, token::TokenState},
    domain::{actor::Actor, connection::Connection, id::TokenId, secret::Secret, time::Timestamp},
    keys,
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

/// A token that was made now; nothing else knows its secret.
pub(super) struct Minted {
    pub id: TokenId,
    pub token: Secret<String>,
    pub expires_at: Timestamp,
}

/// Makes a token of the connection, with its audit row.
pub(super) async fn mint(app: &App, connection: &Connection, ttl_secs: i64) -> Result<Minted, DbError> {
    let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
    let token = keys::scim_token(app.random.bytes());
    let id: TokenId = occasion.ids.make();
    let expires_at = occasion.now.plus_secs(ttl_secs);
    let (tenant, hash) = (connection.tenant, keys::hash(token.expose()));
    let mut tx = app.db.begin().await?;
    db::token::insert_token(&mut tx, tenant, connection.id, id, &hash, occasion.now, expires_at).await?;
    let entry = Entry {
        action: "scim_token.created",
        target_kind: "scim_token",
        target_id: id.to_string(),
        detail: json!({ "connection": connection.slug, "expires_at": expires_at.to_string() }),
    };
    db::audit::tell(&mut tx, tenant, &mut occasion, &[entry]).await?;
    tx.commit().await?;
    Ok(Minted { id, token, expires_at })
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
        let mut tx = app.db.begin().await?;
        if !db::token::revoke_token(&mut tx, row.tenant, row.id, id, occasion.now).await? {
            return Err(Failure::new(format!(
                "the connection {} has no token {id} that counts: `rolegate token list` shows them",
                row.slug
            )));
        }
        let entry = Entry {
            action: "scim_token.revoked",
            target_kind: "scim_token",
            target_id: id.to_string(),
            detail: json!({ "connection": row.slug }),
        };
        db::audit::tell(&mut tx, row.tenant, &mut occasion, &[entry]).await?;
        tx.commit().await?;
        output.line(format!("token {id} of {} is revoked", row.slug))?;
        app.seal(row.tenant).await;
        Ok(())
    }
}
