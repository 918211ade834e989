//! `rolegate oauth-client create|list|add-secret|revoke-secret|revoke`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Failure, Output, find_connection, plan::correlation};
use crate::{
    admin::oauth_client::{self, Made, OauthClientError},
    app::{App, Clock},
    db::{
        self, Db,
        oauth::{ClientRow, SecretRow},
    },
    domain::{
        actor::{Actor, Occasion},
        connection::Connection,
        id::{OauthClientId, OauthSecretId},
        name::Title,
        time::Timestamp,
    },
    policy::{
        access::{Grant, authorize},
        action::ManageScimTokens,
    },
};

#[derive(Debug, Subcommand)]
pub enum OauthClient {
    /// Make a client with its first secret, which is shown this once
    Create(Create),
    /// List the clients of a connection and their secrets
    List(Named),
    /// Give a client a second secret, to change the first without a pause
    AddSecret(OneClient),
    /// Revoke one secret, and the access tokens that it gave
    RevokeSecret(OneSecret),
    /// Revoke a client with all its secrets and access tokens
    Revoke(OneClient),
}

#[derive(Debug, Args)]
pub struct Named {
    /// The connection
    #[arg(long, value_name = "SLUG")]
    connection: String,
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    named: Named,
    /// What people call it
    #[arg(long, default_value = "SCIM client")]
    name: String,
}

#[derive(Debug, Args)]
pub struct OneClient {
    #[command(flatten)]
    named: Named,
    /// The client's id, as `oauth-client list` shows it
    client: String,
}

#[derive(Debug, Args)]
pub struct OneSecret {
    #[command(flatten)]
    one: OneClient,
    /// The secret's id, as `oauth-client list` shows it
    secret: String,
}

impl OauthClient {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context, output).await,
            Self::List(named) => list(&named, context, output).await,
            Self::AddSecret(one) => add_secret(&one, context, output).await,
            Self::RevokeSecret(one) => revoke_secret(&one, context, output).await,
            Self::Revoke(one) => revoke(&one, context, output).await,
        }
    }
}

/// The connection, and the host operator's right to give it credentials.
async fn find(named: &Named, db: &Db) -> Result<(Connection, Grant<ManageScimTokens>), Failure> {
    let connection = find_connection(db, &named.connection).await?.connection;
    let model = db::model::load_model(db, connection.tenant).await?;
    let grant = authorize(&Actor::HostOperator, &model, connection.organization)?;
    Ok((connection, grant))
}

fn refused(error: OauthClientError, connection: &Connection) -> Failure {
    match error {
        OauthClientError::NotFound | OauthClientError::NoRoom => {
            Failure::new(format!("{}: {error} (`rolegate oauth-client list --connection {}`)", connection.slug, connection.slug))
        }
        OauthClientError::Db(error) => error.into(),
    }
}

/// A command that changes something: the application and what it is done with.
struct Changing {
    app: App,
    occasion: Occasion,
    connection: Connection,
    grant: Grant<ManageScimTokens>,
    json: bool,
}

impl Changing {
    async fn begin(named: &Named, context: Context) -> Result<Self, Failure> {
        let json = context.json;
        let app = context.open().await?;
        let (connection, grant) = find(named, &app.db).await?;
        let occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        Ok(Self { app, occasion, connection, grant, json })
    }

    /// The only answer with a secret in it.
    async fn tell_once(self, made: &Made, output: &mut Output) -> Result<(), Failure> {
        let slug = &self.connection.slug;
        let token_url = self.app.config.public_url.join(&format!("/connections/{slug}/oauth/token"));
        if self.json {
            output.json(&json!({
                "client_id": made.client,
                "secret_id": made.id,
                "client_secret": made.secret.expose(),
                "expires_at": made.expires_at.to_string(),
                "token_url": token_url,
            }))?;
        } else {
            output.line(format!("token URL      {token_url}"))?;
            output.line(format!("client id      {}", made.client))?;
            output.line(format!(
                "client secret  {} (secret {}, until {}, shown this once)",
                made.secret.expose(),
                made.id,
                made.expires_at
            ))?;
        }
        self.end(output).await
    }

    async fn end(self, output: &mut Output) -> Result<(), Failure> {
        output.finish()?;
        self.app.seal(self.connection.tenant).await;
        Ok(())
    }
}

impl Create {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let name = Title::parse("name", &self.name)?;
        let mut work = Changing::begin(&self.named, context).await?;
        let Changing { app, occasion, connection, grant, .. } = &mut work;
        let made = oauth_client::create(grant, &app.db, occasion, connection, name.as_str(), app.random.bytes()).await;
        let made = made.map_err(|error| refused(error, connection))?;
        work.tell_once(&made, output).await
    }
}

async fn add_secret(one: &OneClient, context: Context, output: &mut Output) -> Result<(), Failure> {
    let client = OauthClientId::parse(&one.client)?;
    let mut work = Changing::begin(&one.named, context).await?;
    let Changing { app, occasion, connection, grant, .. } = &mut work;
    let made = oauth_client::add_secret(grant, &app.db, occasion, connection, client, app.random.bytes()).await;
    let made = made.map_err(|error| refused(error, connection))?;
    work.tell_once(&made, output).await
}

async fn revoke_secret(one: &OneSecret, context: Context, output: &mut Output) -> Result<(), Failure> {
    let (client, secret) = (OauthClientId::parse(&one.one.client)?, OauthSecretId::parse(&one.secret)?);
    let mut work = Changing::begin(&one.one.named, context).await?;
    let Changing { app, occasion, connection, grant, .. } = &mut work;
    let revoked = oauth_client::revoke_secret(grant, &app.db, occasion, connection, client, secret).await;
    revoked.map_err(|error| refused(error, connection))?;
    output.line(format!("secret {secret} of client {client} is revoked"))?;
    work.end(output).await
}

async fn revoke(one: &OneClient, context: Context, output: &mut Output) -> Result<(), Failure> {
    let client = OauthClientId::parse(&one.client)?;
    let mut work = Changing::begin(&one.named, context).await?;
    let Changing { app, occasion, connection, grant, .. } = &mut work;
    let revoked = oauth_client::revoke(grant, &app.db, occasion, connection, client).await;
    revoked.map_err(|error| refused(error, connection))?;
    output.line(format!("client {client} of {} is revoked", connection.slug))?;
    work.end(output).await
}

async fn list(named: &Named, context: Context, output: &mut Output) -> Result<(), Failure> {
    let db = context.database().await?;
    let (connection, grant) = find(named, &db).await?;
    let rows = oauth_client::list(&grant, &db, &connection).await.map_err(|error| refused(error, &connection))?;
    let now = Clock::System.now();
    if context.json {
        return output.rows(rows.iter().map(|(client, secrets)| shown(&connection, client, secrets, now)));
    }
    if rows.is_empty() {
        let slug = &connection.slug;
        return output.line(format!("{slug} has no OAuth client yet: `rolegate oauth-client create --connection {slug}` makes one"));
    }
    for (client, secrets) in &rows {
        let end = client.revoked_at.map(|at| format!("  revoked {at}")).unwrap_or_default();
        output.line(format!("{}  {}{end}", client.id, client.name))?;
        for secret in secrets {
            let used = secret.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
            output.line(format!("  secret {}  {}, until {}  {used}", secret.id, state(client, secret, now), secret.expires_at))?;
        }
    }
    Ok(())
}

/// A client that is revoked takes its secrets with it.
fn state(client: &ClientRow, secret: &SecretRow, now: Timestamp) -> &'static str {
    if client.revoked_at.or(secret.revoked_at).is_some() {
        "revoked"
    } else if secret.expires_at <= now {
        "expired"
    } else {
        "live"
    }
}

fn shown(connection: &Connection, client: &ClientRow, secrets: &[SecretRow], now: Timestamp) -> Value {
    let secret = |row: &SecretRow| {
        json!({
            "id": row.id,
            "created_at": row.created_at.to_string(),
            "expires_at": row.expires_at.to_string(),
            "revoked_at": row.revoked_at.map(|at| at.to_string()),
            "last_used_at": row.last_used_at.map(|at| at.to_string()),
            "state": state(client, row, now),
        })
    };
    json!({
        "client_id": client.id,
        "connection": connection.slug,
        "name": client.name,
        "created_at": client.created_at.to_string(),
        "revoked_at": client.revoked_at.map(|at| at.to_string()),
        "secrets": secrets.iter().map(secret).collect::<Vec<_>>(),
    })
}
