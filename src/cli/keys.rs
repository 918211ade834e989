//! `rolegate keys create|import|list|activate|retire|remove|rewrap`

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Failure, Output, plan::correlation, token::Named};
use crate::{
    admin::{
        rewrap,
        sp_key::{self, Sealing},
    },
    app::App,
    db::{self, Db, sp_key::SpKeyRow},
    domain::{
        actor::{Actor, Occasion},
        connection::Connection,
        id::SpKeyId,
    },
    keys::{
        Keys,
        pair::{self, Algorithm, SECONDS_OF_A_DAY},
    },
    policy::{
        access::{Grant, authorize},
        action::Action,
    },
    provision::Precondition,
    saml::{Certificate, KeyPair},
};

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key pair: the first signs at once, a further one is published as the next
    Create(Create),
    /// Bring a key pair
    Import(Import),
    /// List the keys of a connection
    List(Named),
    /// Switch signing to the next key; the old one goes on decrypting
    Activate(Step),
    /// Take a key out of the metadata; it goes on decrypting
    Retire(Step),
    /// Destroy a retired key
    Remove(Step),
    /// Go over to a new master key
    Rewrap(Rewrap),
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    named: Named,
    /// rsa-3072 signs and decrypts, ec-p256 only signs
    #[arg(long, default_value = "rsa-3072")]
    algorithm: Algorithm,
    /// How long its certificate counts
    #[arg(long, value_name = "DAYS", default_value_t = pair::VALID_DAYS, value_parser = clap::value_parser!(i64).range(1..=pair::MOST_VALID_DAYS))]
    valid_days: i64,
}

#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    named: Named,
    /// The private key, PEM without a passphrase
    #[arg(long, value_name = "FILE")]
    private_key: PathBuf,
    /// Its certificate, PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
}

#[derive(Debug, Args)]
pub struct Step {
    #[command(flatten)]
    named: Named,
    /// The key's id, as `keys list` shows it
    id: String,
    /// Do it although it may break sign-ins, as a refusal said
    #[arg(long)]
    confirm: bool,
}

#[derive(Debug, Args)]
pub struct Rewrap {
    /// The new master key (32 bytes as hexadecimal or base64); made when the file is not there
    #[arg(long, value_name = "FILE")]
    new_key: PathBuf,
}

/// The operator's right at a connection, for this file and `certificates`.
pub(super) async fn grant<A: Action>(db: &Db, connection: &Connection) -> Result<Grant<A>, Failure> {
    let model = db::model::load_model(db, connection.tenant).await?;
    Ok(authorize(&Actor::HostOperator, &model, connection.organization)?)
}

impl KeysCommand {
    pub(super) async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Create(create) => {
                let json = context.json;
                let app = context.open().await?;
                let connection = create.named.find(&app.db).await?.connection;
                let serial = u64::from_be_bytes(app.random.bytes()) >> 1;
                let valid_secs = create.valid_days * SECONDS_OF_A_DAY;
                let pair = pair::generate(create.algorithm, connection.slug.as_str(), serial, app.now(), valid_secs)?;
                add(&app, &connection, &pair, json, output).await
            }
            Self::Import(import) => {
                let json = context.json;
                let read = |path: &PathBuf| {
                    fs::read_to_string(path).map_err(|error| Failure::new(format!("{} cannot be read: {error}", path.display())))
                };
                let pair = KeyPair::from_pem(&read(&import.private_key)?, &read(&import.certificate)?)?;
                let app = context.open().await?;
                let connection = import.named.find(&app.db).await?.connection;
                add(&app, &connection, &pair, json, output).await
            }
            Self::List(named) => list(&named, context, output).await,
            Self::Activate(step) => {
                let opened = step.open(context).await?;
                let grant = grant(&opened.app.db, &opened.connection).await?;
                let (db, none) = (&opened.app.db, &Precondition::None);
                let (row, _) =
                    sp_key::activate(&grant, db, &mut opened.occasion(), &opened.connection, none, opened.id, step.confirm).await?;
                opened.tell(&row, output).await
            }
            Self::Retire(step) => {
                let opened = step.open(context).await?;
                let grant = grant(&opened.app.db, &opened.connection).await?;
                let (db, none) = (&opened.app.db, &Precondition::None);
                let (row, _) =
                    sp_key::retire(&grant, db, &mut opened.occasion(), &opened.connection, none, opened.id, step.confirm).await?;
                opened.tell(&row, output).await
            }
            Self::Remove(step) => {
                let opened = step.open(context).await?;
                let grant = grant(&opened.app.db, &opened.connection).await?;
                let (db, none) = (&opened.app.db, &Precondition::None);
                sp_key::remove(&grant, db, &mut opened.occasion(), &opened.connection, none, opened.id, step.confirm).await?;
                output.line(format!(
                    "key {} of {} is removed: what is encrypted for it can be read no more",
                    opened.id, opened.connection.slug
                ))?;
                opened.app.seal(opened.connection.tenant).await;
                Ok(())
            }
            Self::Rewrap(rewrap) => rewrap.run(context, output).await,
        }
    }
}

/// What a step on one key needs.
struct Opened {
    app: App,
    connection: Connection,
    id: SpKeyId,
    json: bool,
}

impl Step {
    async fn open(&self, context: Context) -> Result<Opened, Failure> {
        let id = SpKeyId::parse(&self.id)?;
        let json = context.json;
        let app = context.open().await?;
        let connection = self.named.find(&app.db).await?.connection;
        Ok(Opened { app, connection, id, json })
    }
}

impl Opened {
    fn occasion(&self) -> Occasion {
        self.app.occasion(Actor::HostOperator, correlation(&self.app.random))
    }

    async fn tell(&self, row: &SpKeyRow, output: &mut Output) -> Result<(), Failure> {
        if self.json { output.json(&shown(row)) } else { output.line(words(row)) }?;
        self.app.seal(self.connection.tenant).await;
        Ok(())
    }
}

async fn add(app: &App, connection: &Connection, pair: &KeyPair, json: bool, output: &mut Output) -> Result<(), Failure> {
    let grant = grant(&app.db, connection).await?;
    let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
    let sealing = Sealing { keys: &app.keys, nonce: app.random.bytes() };
    let (row, _) = sp_key::add(&grant, &app.db, &mut occasion, connection, &Precondition::None, &sealing, pair).await?;
    if json {
        output.json(&shown(&row))?;
    } else {
        output.line(words(&row))?;
        let metadata = app.config.public_url.join(&format!("/connections/{}/saml/metadata", connection.slug));
        output.line(format!("let the identity provider load {metadata} now"))?;
    }
    output.finish()?;
    app.seal(connection.tenant).await;
    Ok(())
}

async fn list(named: &Named, context: Context, output: &mut Output) -> Result<(), Failure> {
    let db = context.database().await?;
    let connection = named.find(&db).await?.connection;
    let rows = sp_key::list(&grant(&db, &connection).await?, &db, &connection).await?;
    if context.json {
        return output.rows(rows.iter().map(shown));
    }
    if rows.is_empty() {
        return output.line(format!("{0} has no key yet: `rolegate keys create --connection {0}` makes one", connection.slug));
    }
    rows.iter().try_for_each(|row| output.line(words(row)))
}

fn shown(row: &SpKeyRow) -> Value {
    json!({
        "id": row.id,
        "state": row.state,
        "fingerprint_sha256": row.fingerprint,
        "subject": row.subject,
        "key": row.key_kind,
        "certificate": Certificate::from_der(&row.certificate_der).map(|certificate| certificate.to_pem()).ok(),
        "not_before": row.not_before.to_string(),
        "not_after": row.not_after.to_string(),
        "added_at": row.added_at.to_string(),
        "current_since": row.current_since.map(|at| at.to_string()),
        "retired_at": row.retired_at.map(|at| at.to_string()),
        "last_decrypted_at": row.last_decrypted_at.map(|at| at.to_string()),
    })
}

fn words(row: &SpKeyRow) -> String {
    let state = match row.state {
        db::sp_key::SpKeyState::Next => "next: published, does not sign yet",
        db::sp_key::SpKeyState::Current => "current: signs",
        db::sp_key::SpKeyState::Retired => "retired: only decrypts",
    };
    let used = row.last_decrypted_at.map_or_else(|| "never decrypted with".to_owned(), |at| format!("last decrypted with {at}"));
    let short = row.fingerprint.get(..16).unwrap_or(&row.fingerprint);
    format!("{}  {}  SHA-256 {short}…  {state}  until {}  {used}", row.id, row.key_kind, row.not_after)
}

impl Rewrap {
    async fn run(self, context: Context, output: &mut Output) -> Result<(), Failure> {
        let json = context.json;
        let db = context.database().await?;
        let path = context.config.master_key_file.clone();
        let next = match Keys::find(&self.new_key)? {
            Some(keys) => keys,
            None => Keys::create(&self.new_key, crate::app::Random::System.bytes())?,
        };
        // An earlier run may have come to its end: then the database is the new key's, and the present one opens nothing any more.
        let done = db::installation::find_key_check(&db).await?.is_some_and(|check| next.gives(&check));
        let outcome = if done {
            rewrap::Rewrapped { keys: 0, was_done: true }
        } else {
            let app = context.open().await?;
            let mut occasion = app.occasion(Actor::HostOperator, correlation(&app.random));
            let outcome = rewrap::rewrap(&app.db, &app.keys, &next, &mut occasion, &mut || app.random.bytes()).await?;
            for tenant in db::tenant::list_tenants(&app.db).await? {
                app.seal(tenant.id).await;
            }
            outcome
        };
        if json {
            return output.json(&json!({ "private_keys": outcome.keys, "new_key_file": self.new_key, "was_done": outcome.was_done }));
        }
        if outcome.was_done {
            output.line("the database belongs to this key already")?;
        } else {
            output.line(format!("{} private keys are sealed under the new master key, and the database belongs to it", outcome.keys))?;
        }
        output.line(format!(
            "put {} in the place of {} (or name it in master_key_file), back it up, and restart every node",
            self.new_key.display(),
            path.display()
        ))
    }
}
