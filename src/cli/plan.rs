//! `rolegate plan FILE`

use std::{fs, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Context, Failure, Output, metadata};
use crate::{
    admin::{
        apply::{self, Applied},
        plan::Metadata,
        relocation::Report,
        shut_out::ShutOut,
        tenant_file::TenantFile,
    },
    app::{self, Clock, Random},
    domain::{
        actor::{Actor, Occasion, Tally},
        id::IdSource,
    },
    outbound::Outbound,
};

#[derive(Debug, Args)]
pub struct Plan {
    /// The tenant's file (TOML)
    file: PathBuf,
}

impl Plan {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let (file, metadata) = read(&self.file, &Outbound::new(&context.config.outbound_networks)).await?;
        let db = app::look_at_database(&context.config, context.migrations).await?;
        let now = Clock::System.now();
        let ids = IdSource::new(now, Random::System.bytes());
        let mut occasion = Occasion {
            actor: Actor::HostOperator,
            now,
            ids,
            correlation: correlation(&Random::System),
            client_request_id: None,
            tally: Tally::default(),
        };
        let previewed = apply::preview(&db, &mut occasion, &file, &metadata).await?;
        print_warnings(&previewed, output)?;
        if context.json {
            return output.json(&json!({
                "changes": previewed.changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "assignments": {
                    "origins_added": previewed.counts.origins_added,
                    "origins_removed": previewed.counts.origins_removed,
                    "accounts_touched": previewed.counts.accounts,
                    "complete": previewed.unfinished.is_empty(),
                },
                "sign_ins_refused": previewed.shut_out.iter().map(shown).collect::<Vec<_>>(),
                "moves": previewed.moves.iter().map(moved).collect::<Vec<_>>(),
            }));
        }
        print_changes(&previewed, output)?;
        print_verdict(&previewed, "adds", "removes", "touches", output)?;
        previewed.shut_out.iter().try_for_each(|shut_out| output.line(shut_out.sentence("would be")))
    }
}

fn moved(report: &Report) -> Value {
    json!({ "organization": report.organization, "gained": report.gained, "lost": report.lost, "complete": report.complete })
}

fn shown(shut_out: &ShutOut) -> Value {
    json!({
        "connection": shut_out.connection,
        "people": shut_out.people,
        "named": shut_out.named,
        "complete": !shut_out.or_more,
    })
}

/// The file, and the metadata it names.
pub(super) async fn read(path: &PathBuf, outbound: &Outbound) -> Result<(TenantFile, Metadata), Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{} cannot be read ({error}): name the tenant's file", path.display())))?;
    let file = TenantFile::parse(path, &text)?;
    let metadata = metadata::fetch_all(&file, outbound).await?;
    Ok((file, metadata))
}

/// Stands in the audit rows of one command.
pub(super) fn correlation(random: &Random) -> String {
    format!("cli-{:016x}", u64::from_be_bytes(random.bytes()))
}

pub(super) fn print_changes(applied: &Applied, output: &mut Output) -> Result<(), Failure> {
    if applied.changes.is_empty() {
        return output.line("nothing to do");
    }
    for change in &applied.changes {
        output.line(change)?;
    }
    applied.moves.iter().flat_map(Report::sentences).try_for_each(|sentence| output.line(sentence))
}

pub(super) fn print_warnings(applied: &Applied, output: &mut Output) -> Result<(), Failure> {
    applied.warnings.iter().try_for_each(|warning| output.warn(warning))
}

pub(super) fn print_verdict(applied: &Applied, adds: &str, removes: &str, touches: &str, output: &mut Output) -> Result<(), Failure> {
    if applied.changes.is_empty() {
        return Ok(());
    }
    let counts = applied.counts;
    output.line(format!(
        "assignments: {adds} {} and {removes} {} of their origins, {touches} {} accounts",
        counts.origins_added, counts.origins_removed, counts.accounts
    ))?;
    if applied.unfinished.is_empty() {
        return Ok(());
    }
    output.line("more accounts of the changed connections are evaluated after this transaction")
}
