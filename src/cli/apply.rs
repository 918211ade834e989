//! `rolegate apply FILE`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context, Failure, Output,
    plan::{self, correlation, print_changes, print_verdict, print_warnings},
};
use crate::{
    admin::apply::{self, Applied},
    app::App,
    db,
    domain::{actor::Actor, connection::Connection},
    keys,
    outbound::Outbound,
};

#[derive(Debug, Args)]
pub struct Apply {
    /// The tenant's file (TOML)
    file: PathBuf,
}

impl Apply {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let (file, metadata) = plan::read(&self.file, &Outbound::new(&context.config.outbound_networks)).await?;
        let json = context.json;
        let app = context.open().await?;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let mut mint = || keys::secret(app.random.bytes());
        let applied = apply::apply(&app.db, &mut occasion, &mut mint, &file, &metadata).await?;
        print_warnings(&applied, output)?;
        if json {
            print_json(&app, &applied, output).await?;
        } else {
            print_changes(&applied, output)?;
            print_verdict(&applied, "added", "removed", "touched", output)?;
            for shut_out in &applied.shut_out {
                output.line(shut_out.sentence("are"))?;
            }
            print_addresses(&app, &applied, output).await?;
            for link in &applied.links {
                output.line(format!(
                    "sign-in link for {}, once, until {}: {}",
                    link.email,
                    link.expires_at,
                    app.config.public_url.join(&link.path())
                ))?;
            }
        }
        output.finish()?;
        apply::evaluate_rest(&app.db, &mut occasion, applied.tenant, &applied.unfinished).await?;
        app.seal(applied.tenant).await;
        Ok(())
    }
}

async fn print_json(app: &App, applied: &Applied, output: &mut Output) -> Result<(), Failure> {
    let connections: Vec<_> = enabled(app, applied).await?.iter().map(|connection| shown(app, connection)).collect();
    let link = |link: &crate::admin::sign_in_link::SignInLink| json!({ "email": link.email, "url": app.config.public_url.join(&link.path()), "expires_at": link.expires_at.to_string() });
    let links: Vec<_> = applied.links.iter().map(link).collect();
    output.json(&json!({ "connections": connections, "sign_in_links": links }))
}

async fn enabled(app: &App, applied: &Applied) -> Result<Vec<Connection>, Failure> {
    let rows = db::connection::list_connections(&app.db, applied.tenant).await?;
    Ok(rows.into_iter().map(|row| row.connection).filter(|connection| connection.enabled).collect())
}

/// Of each connection, as far as its protocols are enabled.
async fn print_addresses(app: &App, applied: &Applied, output: &mut Output) -> Result<(), Failure> {
    for connection in enabled(app, applied).await? {
        let shown = shown(app, &connection);
        output.line(format!("connection {}", connection.slug))?;
        let lines = [
            (connection.scim.enabled, "SCIM base URL", "scim_base_url"),
            (connection.saml.enabled, "ACS", "acs_url"),
            (connection.saml.enabled, "entity ID, metadata", "entity_id"),
            (connection.saml.enabled, "sign-in", "login_url"),
        ];
        for (_, what, key) in lines.iter().filter(|(is_shown, ..)| *is_shown) {
            output.line(format!("  {what:<20} {}", shown[key].as_str().unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// What the administrator of the identity provider is asked for.
fn shown(app: &App, connection: &Connection) -> Value {
    let address = |rest: &str| app.config.public_url.join(&format!("/connections/{}/{rest}", connection.slug));
    json!({
        "id": connection.id,
        "slug": connection.slug,
        "scim_base_url": address("scim/v2"),
        "acs_url": address("saml/acs"),
        "entity_id": address("saml/metadata"),
        "metadata_url": address("saml/metadata"),
        "login_url": address("saml/login"),
    })
}
