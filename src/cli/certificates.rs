//! `rolegate certificates add|list|retire`

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Failure, Output, keys::grant, plan::correlation, token::Named};
use crate::{
    admin::certificate,
    db::certificate::{CertificateState, IdpCertificateRow},
    domain::{actor::Actor, id::CertificateId},
    provision::Precondition,
    saml::Certificate,
};

#[derive(Debug, Subcommand)]
pub enum Certificates {
    /// Trust a certificate of the identity provider from now on
    Add(Add),
    /// List the certificates of a connection, with the last sign-in that each verified
    List(Named),
    /// Trust a certificate no longer
    Retire(Retire),
}

#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    named: Named,
    /// PEM, or the base64 of DER as metadata holds it
    #[arg(value_name = "FILE")]
    certificate: PathBuf,
}

#[derive(Debug, Args)]
pub struct Retire {
    #[command(flatten)]
    named: Named,
    /// The certificate's id, as `certificates list` shows it
    id: String,
    /// Do it although it may break sign-ins, as a refusal said
    #[arg(long)]
    confirm: bool,
}

impl Certificates {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(context, output).await,
            Self::List(named) => list(&named, context, output).await,
            Self::Retire(retire) => retire.run(context, output).await,
        }
    }
}

impl Add {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let path = &self.certificate;
        let text = fs::read_to_string(path).map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
        let new = Certificate::parse(&text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let json = context.json;
        let app = context.open().await?;
        let connection = self.named.find(&app.db).await?.connection;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let grant = grant(&app.db, &connection).await?;
        let (row, added, _) = certificate::add(&grant, &app.db, &mut occasion, &connection, &Precondition::None, &new).await?;
        if json {
            output.json(&shown(&row))?;
        } else {
            output.line(if added { words(&row) } else { format!("trusted already: {}", words(&row)) })?;
        }
        output.finish()?;
        app.seal(connection.tenant).await;
        Ok(())
    }
}

impl Retire {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let id = CertificateId::parse(&self.id)?;
        let json = context.json;
        let app = context.open().await?;
        let connection = self.named.find(&app.db).await?.connection;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let grant = grant(&app.db, &connection).await?;
        let (row, _) = certificate::retire(&grant, &app.db, &mut occasion, &connection, &Precondition::None, id, self.confirm).await?;
        if json { output.json(&shown(&row)) } else { output.line(words(&row)) }?;
        output.finish()?;
        app.seal(connection.tenant).await;
        Ok(())
    }
}

async fn list(named: &Named, context: Context, output: &mut Output) -> Result<(), Failure> {
    let db = context.database().await?;
    let connection = named.find(&db).await?.connection;
    let rows = certificate::list(&grant(&db, &connection).await?, &db, &connection).await?;
    if context.json {
        return output.rows(rows.iter().map(shown));
    }
    if rows.is_empty() {
        return output.line(format!("{} trusts no certificate yet: `rolegate certificates add` adds one", connection.slug));
    }
    rows.iter().try_for_each(|row| output.line(words(row)))
}

fn shown(row: &IdpCertificateRow) -> Value {
    json!({
        "id": row.id,
        "state": row.state,
        "fingerprint_sha256": row.fingerprint,
        "subject": row.subject,
        "key": row.key_kind,
        "not_before": row.not_before.to_string(),
        "not_after": row.not_after.to_string(),
        "added_at": row.added_at.to_string(),
        "retired_at": row.retired_at.map(|at| at.to_string()),
        "first_used_at": row.first_used_at.map(|at| at.to_string()),
        "last_used_at": row.last_used_at.map(|at| at.to_string()),
    })
}

fn words(row: &IdpCertificateRow) -> String {
    let state = match row.state {
        CertificateState::Next => "next",
        CertificateState::Current => "current",
        CertificateState::Retired => "retired",
    };
    let used = row.last_used_at.map_or_else(|| "never signed in with".to_owned(), |at| format!("last sign-in {at}"));
    let short = row.fingerprint.get(..16).unwrap_or(&row.fingerprint);
    format!("{}  {state}  {}  {}  SHA-256 {short}…  until {}  {used}", row.id, row.subject, row.key_kind, row.not_after)
}
