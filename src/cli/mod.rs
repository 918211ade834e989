//! The command line: one file a command. What a program reads is printed with `--json`; what went wrong is one line on stderr.
//!
//! Exit status: 0 fine, 1 refused or failed, 2 wrong usage.

mod accounts;
mod app_token;
mod apply;
mod assignments;
mod attention;
mod audit;
mod certificates;
mod check;
mod demo;
mod duration;
mod idp_metadata;
mod keys;
mod metadata;
mod oauth_client;
mod output;
mod owner;
mod plan;
pub mod serve;
mod sign_ins;
mod token;
mod why;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    app::{self, App, Migrations},
    config::{Config, LogFormat},
    db::{Db, connection::ConnectionRow, tenant::Tenant},
    log,
};

pub use output::{Failure, Output};

/// SCIM and SAML-JIT provisioning gateway with role mapping.
#[derive(Debug, Parser)]
#[command(name = "rolegate", version, propagate_version = true, max_term_width = 110, after_help = EXIT_STATUS)]
pub struct Cli {
    /// The configuration file; `rolegate.toml` in the working directory if it is there
    #[arg(long, global = true, value_name = "FILE", env = "ROLEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    /// Create an empty SQLite database although a master key exists; else a missing database is an error
    #[arg(long, global = true)]
    new_database: bool,
    /// Do not bring the tables of the database up to date first
    #[arg(long, global = true)]
    no_migrate: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See the whole product at work on a database of its own; for development
    Demo(demo::Demo),
    /// Run the gateway
    Serve(serve::Serve),
    /// Show what `apply` would change, and what that does to assignments
    Plan(plan::Plan),
    /// Bring a tenant to what its file says, in one transaction
    Apply(apply::Apply),
    /// SCIM tokens of a connection
    #[command(subcommand)]
    Token(token::Token),
    /// The gateway's own keys of a connection, and the master key that protects them
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// The metadata of a connection's identity provider
    #[command(subcommand)]
    Metadata(idp_metadata::MetadataCommand),
    /// The certificates by which a connection's identity provider is believed
    #[command(subcommand)]
    Certificates(certificates::Certificates),
    /// OAuth 2.0 clients of a connection, for identity providers that fetch short-lived SCIM tokens
    #[command(subcommand)]
    OauthClient(oauth_client::OauthClient),
    /// Tokens by which applications behind the role store read it
    #[command(subcommand)]
    AppToken(app_token::AppToken),
    /// List accounts with what they hold, and why
    Accounts(accounts::Accounts),
    /// List assignments with their origins
    Assignments(assignments::Assignments),
    /// Why an account held a role at a time that is past
    Why(why::Why),
    /// Sign-ins of the last 90 days, the newest first, with the reason of each refusal
    SignIns(sign_ins::SignIns),
    /// The way back in for owners
    #[command(subcommand)]
    Owner(owner::Owner),
    /// The audit log and its chain of seals
    #[command(subcommand)]
    Audit(audit::Audit),
    /// What somebody should look at: owners kept, sign-ins that need a decision, metadata that cannot be read
    Attention(attention::Attention),
    /// Check the configuration, the database, the master key, certificates, owners and tokens; for monitors
    Check(check::Check),
}

/// What every command is handed.
pub struct Context {
    pub config: Config,
    pub json: bool,
    pub migrations: Migrations,
}

impl Context {
    /// The database and the keys.
    pub async fn open(self) -> Result<App, Failure> {
        Ok(App::open(self.config, self.migrations).await?)
    }

    /// The database alone.
    pub async fn database(&self) -> Result<Db, Failure> {
        Ok(app::open_database(&self.config, self.migrations).await?)
    }
}

/// Reads the arguments of the process, runs the command and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::stdout();
    let outcome = run(cli, &mut output).and_then(|()| output.finish());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli, output: &mut Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure::new(error.to_string()))?;
    if let Command::Demo(demo) = cli.command {
        // No configuration has a say in it.
        let _log = log::start("warn", LogFormat::Text);
        return runtime.block_on(demo.run(output));
    }
    let config = Config::load(cli.config.as_deref())?;
    let _log = log::start(&config.log_level, config.log_format);
    let migrations = if cli.no_migrate { Migrations::Leave } else { Migrations::Run };
    let makes_none = matches!(cli.command, Command::Check(_));
    if !cli.new_database && !makes_none {
        app::refuse_lost_database(&config)?;
    }
    let context = Context { config, json: cli.json, migrations };
    runtime.block_on(dispatch(cli.command, context, output))
}

async fn dispatch(command: Command, context: Context, output: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Demo(demo) => demo.run(output).await,
        Command::Serve(command) => command.run(context).await,
        Command::Plan(command) => command.run(context, output).await,
        Command::Apply(command) => command.run(context, output).await,
        Command::Token(command) => command.run(context, output).await,
        Command::Keys(command) => command.run(context, output).await,
        Command::Metadata(command) => command.run(context, output).await,
        Command::Certificates(command) => command.run(context, output).await,
        Command::OauthClient(command) => command.run(context, output).await,
        Command::AppToken(command) => command.run(context, output).await,
        Command::Accounts(command) => command.run(context, output).await,
        Command::Assignments(command) => command.run(context, output).await,
        Command::Why(command) => command.run(context, output).await,
        Command::SignIns(command) => command.run(context, output).await,
        Command::Owner(command) => command.run(context, output).await,
        Command::Audit(command) => command.run(context, output).await,
        Command::Attention(command) => command.run(context, output).await,
        Command::Check(command) => command.run(context, output).await,
    }
}

const NO_TENANT: &str = "there is no tenant yet: make one with `rolegate apply FILE`";

const EXIT_STATUS: &str = "Exit status: 0 fine, 1 refused or failed (one line on stderr says why), 2 wrong usage.";

/// The tenant of that slug; the only one when none is named.
async fn find_tenant(db: &Db, slug: Option<&str>) -> Result<Tenant, Failure> {
    let mut tenants = crate::db::tenant::list_tenants(db).await?;
    if let Some(slug) = slug {
        let found = tenants.into_iter().find(|tenant| tenant.slug.as_str() == slug);
        return found.ok_or_else(|| Failure::new(format!("there is no tenant {slug:?}")));
    }
    match tenants.len() {
        1 => Ok(tenants.remove(0)),
        0 => Err(Failure::new(NO_TENANT)),
        _ => {
            let slugs: Vec<_> = tenants.iter().map(|tenant| tenant.slug.as_str()).collect();
            Err(Failure::new(format!("there are several tenants: choose one with --tenant ({})", slugs.join(", "))))
        }
    }
}

/// The tenants meant: the one of that slug, or all.
async fn tenants(db: &Db, slug: Option<&str>) -> Result<Vec<Tenant>, Failure> {
    match slug {
        Some(_) => Ok(vec![find_tenant(db, slug).await?]),
        None => Ok(crate::db::tenant::list_tenants(db).await?),
    }
}

/// The connection of that slug, which is one across all tenants.
async fn find_connection(db: &Db, slug: &str) -> Result<ConnectionRow, Failure> {
    match crate::db::connection::find_connection_by_slug(db, slug).await? {
        Some(row) => Ok(row),
        None => Err(no_connection(db, slug).await?),
    }
}

/// Says which there are.
async fn no_connection(db: &Db, slug: &str) -> Result<Failure, Failure> {
    let mut slugs = Vec::new();
    for tenant in crate::db::tenant::list_tenants(db).await? {
        let rows = crate::db::connection::list_connections(db, tenant.id).await?;
        slugs.extend(rows.into_iter().map(|row| row.connection.slug.to_string()));
    }
    let known = if slugs.is_empty() { "there is none yet".to_owned() } else { format!("there are {}", slugs.join(", ")) };
    Ok(Failure::new(format!("there is no connection {slug:?}: {known}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::command().render_help().to_string().contains("Exit status: 0 fine"));
    }
}
