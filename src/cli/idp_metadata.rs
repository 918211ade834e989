//! `rolegate metadata show|import|refresh|accept|decline`

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Failure, Output, keys::grant, plan::correlation, token::Named};
use crate::{
    admin::metadata::{
        self, Changes, Source,
        reading::{self, ReadingError},
    },
    db::idp_metadata::{MetadataRow, ProposalRow, ProposalState, What},
    domain::{actor::Actor, id::EventId},
    provision::Precondition,
};

#[derive(Debug, Subcommand)]
pub enum MetadataCommand {
    /// Where a connection's metadata comes from, and what it brought that waits for a decision
    Show(Named),
    /// Take over the metadata of an identity provider, from a file or from an address that is read again as often as it says
    Import(Import),
    /// Read the address now
    Refresh(Named),
    /// Take over what a reading proposed
    Accept(Decide),
    /// Leave what a reading proposed, and do not have it proposed again
    Decline(Decide),
}

#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    named: Named,
    /// The document
    #[arg(value_name = "FILE", required_unless_present = "url", conflicts_with = "url")]
    file: Option<PathBuf>,
    /// Or where it is; https
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Trust certificates that the address brings later without being asked
    #[arg(long, requires = "url")]
    auto_trust: bool,
    /// Do it although the document is of another identity provider, as a refusal said
    #[arg(long)]
    confirm: bool,
}

#[derive(Debug, Args)]
pub struct Decide {
    #[command(flatten)]
    named: Named,
    /// The proposal's id, as `metadata show` lists it
    id: String,
}

impl MetadataCommand {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Show(named) => show(&named, context, output).await,
            Self::Import(import) => import.run(context, output).await,
            Self::Refresh(named) => refresh(&named, context, output).await,
            Self::Accept(decide) => decide.run(true, context, output).await,
            Self::Decline(decide) => decide.run(false, context, output).await,
        }
    }
}

fn unreadable(error: &ReadingError) -> Failure {
    Failure::new(error.words())
}

impl Import {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let json = context.json;
        let app = context.open().await?;
        let connection = self.named.find(&app.db).await?.connection;
        let document = match (&self.file, &self.url) {
            (Some(path), _) => {
                let bytes = fs::read(path).map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))?;
                reading::parse(bytes).await
            }
            (None, url) => reading::fetch(&app.outbound, url.as_deref().unwrap_or_default()).await,
        };
        let document = document.map_err(|error| unreadable(&error))?;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let source = Source { url: self.url.as_deref(), auto_trust: self.auto_trust, confirmed: self.confirm };
        let grant = grant(&app.db, &connection).await?;
        let (changes, _) = metadata::import(&grant, &app.db, &mut occasion, &connection, &Precondition::None, &document, source).await?;
        tell(&changes, json, output)?;
        app.seal(connection.tenant).await;
        Ok(())
    }
}

async fn refresh(named: &Named, context: Context, output: &mut Output) -> Result<(), Failure> {
    let json = context.json;
    let app = context.open().await?;
    let connection = named.find(&app.db).await?.connection;
    let source = metadata::find_source(&grant(&app.db, &connection).await?, &app.db, &connection).await?;
    let source = source.ok_or_else(|| Failure::new("its metadata was uploaded: `rolegate metadata import --url` has it read again"))?;
    let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
    let changes = reading::read(&app.db, &app.outbound, &source, &mut occasion).await?.map_err(Failure::new)?;
    tell(&changes, json, output)?;
    app.seal(connection.tenant).await;
    Ok(())
}

impl Decide {
    async fn run(self, accepted: bool, context: Context, output: &mut Output) -> Result<(), Failure> {
        let id = EventId::parse(&self.id)?;
        let json = context.json;
        let app = context.open().await?;
        let connection = self.named.find(&app.db).await?.connection;
        let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
        let grant = grant(&app.db, &connection).await?;
        let (row, _) = metadata::decide(&grant, &app.db, &mut occasion, &connection, &Precondition::None, id, accepted).await?;
        if json { output.json(&proposal(&row)) } else { output.line(words(&row)) }?;
        output.finish()?;
        app.seal(connection.tenant).await;
        Ok(())
    }
}

async fn show(named: &Named, context: Context, output: &mut Output) -> Result<(), Failure> {
    let db = context.database().await?;
    let connection = named.find(&db).await?.connection;
    let (row, proposals) = metadata::show(&grant(&db, &connection).await?, &db, &connection).await?;
    if context.json {
        let proposals: Vec<_> = proposals.iter().map(proposal).collect();
        return output.json(&json!({ "source": row.as_ref().map(source), "proposals": proposals }));
    }
    match row {
        None => output.line("its metadata came with the tenant's file, or there is none yet")?,
        Some(MetadataRow { url: None, set_at, .. }) => output.line(format!("uploaded at {set_at}"))?,
        Some(row) => {
            let trust = if row.auto_trust { ", certificates of it are trusted at once" } else { "" };
            output.line(format!("{}{trust}", row.url.as_deref().unwrap_or_default()))?;
            if let Some(at) = row.read_at {
                output.line(format!("last read at {at}"))?;
            }
            if let Some(error) = &row.last_error {
                output.line(format!("{} readings in a row failed, the last one because: {error}", row.failures))?;
            }
        }
    }
    proposals.iter().try_for_each(|row| output.line(words(row)))
}

fn tell(changes: &Changes, json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        output.json(changes)?;
        return output.finish();
    }
    if *changes == Changes::default() {
        output.line("nothing new")?;
    }
    if let Some((before, after)) = &changes.entity_id {
        output.line(format!("entity ID: {before:?} became {after:?}"))?;
    }
    for change in &changes.addresses {
        output.line(format!("{}: {} became {}", name(change.what), change.before.as_deref().unwrap_or("none"), change.after))?;
    }
    for (what, list) in [
        ("trusted from now on", &changes.certificates_added),
        ("proposed", &changes.proposed),
        ("trusted here and not in the metadata", &changes.certificates_missing),
        ("in the metadata and retired here: it stays retired", &changes.certificates_retired),
        ("in the metadata and expired: not trusted", &changes.certificates_expired),
    ] {
        list.iter().try_for_each(|one| output.line(format!("{what}: {one}")))?;
    }
    output.finish()
}

fn name(what: What) -> &'static str {
    match what {
        What::Certificate => "certificate",
        What::SsoUrl => "sign-in by redirect",
        What::SsoPostUrl => "sign-in by POST",
        What::SloRedirectUrl => "logout by redirect",
        What::SloPostUrl => "logout by POST",
        What::SignedRequests => "wants signed requests",
    }
}

fn words(row: &ProposalRow) -> String {
    let state = match row.state {
        ProposalState::Open => "OPEN",
        ProposalState::Accepted => "accepted",
        ProposalState::Declined => "declined",
        ProposalState::Withdrawn => "withdrawn",
    };
    format!("{}  {state}  {}  {}", row.id, name(row.what), row.key)
}

fn source(row: &MetadataRow) -> Value {
    json!({
        "url": row.url,
        "auto_trust": row.auto_trust,
        "read_at": row.read_at.map(|at| at.to_string()),
        "valid_until": row.valid_until.map(|at| at.to_string()),
        "next_reading_at": row.due_at.map(|at| at.to_string()),
        "failures": row.failures,
        "last_error": row.last_error,
    })
}

fn proposal(row: &ProposalRow) -> Value {
    json!({ "id": row.id, "what": row.what, "key": row.key, "state": row.state, "proposed_at": row.proposed_at.to_string() })
}
