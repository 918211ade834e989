//! The wiring: what every part of the program is handed. The only place that asks the machine for the time and for randomness.

pub mod clock;
pub mod job_watch;
pub mod readiness;

use std::{
    num::NonZero,
    ops::Deref,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, Semaphore, watch};

pub use self::clock::{Clock, DatabaseClock};
use self::{job_watch::JobWatch, readiness::Readiness};
use crate::{
    admin::{
        check_cache::CheckCache, own_keys::OwnKeysCache, provisioning_log::ProvisioningLog, session_rights::SessionRightsCache,
        sign_in_log::SignInLog, trusted::TrustedCache,
    },
    config::Config,
    db::{Db, DbError, PoolSize, installation, seal},
    dns::Dns,
    domain::{
        actor::{Actor, Correlation, Occasion, Tally},
        id::{ConnectionId, IdSource, TenantId},
        time::Timestamp,
    },
    http::{client::Stranger, pace::Pace, queue::Queues, saml::intake::Intake},
    keys::{self, KeyError, Keys},
    outbound::Outbound,
    provision::{PublishedCache, SchemaCache},
};

/// Cheap to clone, which is done for each layer of each request: all parts are shared as one.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What a program is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    pub db: Db,
    /// Goes by the database's.
    pub clock: Clock,
    pub database_clock: DatabaseClock,
    pub random: Random,
    pub keys: Keys,
    pub config: Arc<Config>,
    pub outbound: Outbound,
    pub published: PublishedCache,
    pub trusted: TrustedCache,
    pub session_rights: SessionRightsCache,
    pub own_keys: OwnKeysCache,
    pub checks: CheckCache,
    /// Written down by the jobs.
    pub sign_in_log: SignInLog,
    /// Written down by the jobs.
    pub provisioning_log: ProvisioningLog,
    pub pace: Pace<ConnectionId>,
    /// Sign-ins that begin, at each connection.
    pub beginnings: Pace<ConnectionId>,
    pub strangers: Pace<Stranger>,
    pub schemas: SchemaCache,
    /// One for each core: a signature check cannot be cut short, so that no more of them may run at a time.
    pub verifications: Arc<Semaphore>,
    /// What waits for such a check, in bytes.
    pub intake: Intake,
    /// Woken after every commit that wrote audit rows or left accounts to be mapped again.
    pub committed: Arc<Notify>,
    pub under_way: UnderWay,
    /// Whether the jobs of this node run.
    pub job_watch: JobWatch,
    pub readiness: Readiness,
    /// Of requests that change the same resource.
    pub queues: Queues,
    pub dns: Dns,
}

/// Whether tables are brought up to date when the database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrations {
    Run,
    Leave,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{address}", address = .address)]
    Database { address: String, source: DbError },
    #[error("the tables of {address} are not up to date: run once without --no-migrate")]
    NotMigrated { address: String },
    #[error(
        "{address} does not exist, and the master key {key} does: the database was deleted, or database_url is wrong. Restore the database, \
         or add --new-database to create an empty one",
        key = key.display()
    )]
    DatabaseMissing { address: String, key: PathBuf },
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Refuses to create a database file beside a master key that exists: the file was probably deleted.
pub fn refuse_lost_database(config: &Config) -> Result<(), OpenError> {
    let key = &config.master_key_file;
    if !key.exists() || !Db::is_absent(config.database_url.expose()) {
        return Ok(());
    }
    Err(OpenError::DatabaseMissing { address: config.database_shown(), key: key.clone() })
}

/// Opens the database that the configuration names, for those who need no keys.
pub async fn open_database(config: &Config, migrations: Migrations) -> Result<Db, OpenError> {
    let address = config.database_shown();
    let failed = |source| OpenError::Database { address: address.clone(), source };
    let db = Db::open(config.database_url.expose(), PoolSize(config.database_pool_size)).await.map_err(failed)?;
    match migrations {
        Migrations::Run => db.migrate().await.map_err(failed)?,
        Migrations::Leave if db.is_migrated().await.map_err(failed)? => {}
        Migrations::Leave => return Err(OpenError::NotMigrated { address: config.database_shown() }),
    }
    Ok(db)
}

/// As [`open_database`], for those who only look: a file that is not there yet is an empty database, and is not made.
pub async fn look_at_database(config: &Config, migrations: Migrations) -> Result<Db, OpenError> {
    if !Db::is_absent(config.database_url.expose()) {
        return open_database(config, migrations).await;
    }
    let failed = |source| OpenError::Database { address: "memory".to_owned(), source };
    let db = Db::open("sqlite::memory:", PoolSize(1)).await.map_err(failed)?;
    db.migrate().await.map_err(failed)?;
    Ok(db)
}

impl App {
    /// Opens the database and the master key, and makes sure that they belong together. The key is made when there is neither a file
    /// nor a database that was written with one.
    pub async fn open(config: Config, migrations: Migrations) -> Result<Self, OpenError> {
        Self::open_with(config, migrations, Clock::System, Random::System).await
    }

    /// As [`App::open`], with a clock and randomness of the caller's.
    pub async fn open_with(config: Config, migrations: Migrations, clock: Clock, random: Random) -> Result<Self, OpenError> {
        let db = open_database(&config, migrations).await?;
        let keys = match_keys(&db, &config, &clock, &random).await?;
        let app = Self::assemble(db, keys, config, clock, random);
        app.set_clock().await.map_err(|source| OpenError::Database { address: app.config.database_shown(), source })?;
        Ok(app)
    }

    /// The parts around a database that is open and belongs to these keys.
    #[must_use]
    pub fn assemble(db: Db, keys: Keys, config: Config, clock: Clock, random: Random) -> Self {
        Self(Arc::new(Parts {
            db,
            database_clock: DatabaseClock::of(&clock),
            clock: clock.set_by_database(),
            random,
            keys,
            outbound: Outbound::new(&config.outbound_networks),
            config: Arc::new(config),
            published: PublishedCache::default(),
            trusted: TrustedCache::default(),
            session_rights: SessionRightsCache::default(),
            own_keys: OwnKeysCache::default(),
            checks: CheckCache::default(),
            sign_in_log: SignInLog::default(),
            provisioning_log: ProvisioningLog::default(),
            pace: Pace::default(),
            beginnings: Pace::default(),
            strangers: Pace::default(),
            schemas: SchemaCache::default(),
            verifications: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, NonZero::get))),
            intake: Intake::default(),
            committed: Arc::new(Notify::new()),
            under_way: UnderWay::default(),
            job_watch: JobWatch::default(),
            readiness: Readiness::default(),
            queues: Queues::default(),
            dns: Dns::system(),
        }))
    }

    /// The same, wired otherwise: what was changed is another one's from here on, all else is shared.
    #[must_use]
    pub fn changed(&self, change: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = Parts::clone(self);
        change(&mut parts);
        Self(Arc::new(parts))
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What a change carries along: who, when, under which request, and its identifiers.
    #[must_use]
    pub fn occasion(&self, actor: Actor, correlation: impl Into<Correlation>) -> Occasion {
        let now = self.now();
        let ids = IdSource::new(now, self.random.bytes());
        let Correlation { id: correlation, client_request_id } = correlation.into();
        Occasion { actor, now, ids, correlation, client_request_id, tally: Tally::default() }
    }

    /// Numbers and seals what was committed. A failure is logged and made up for by the next one: the change itself stands.
    pub async fn seal(&self, tenant: TenantId) {
        let key = self.keys.chain();
        loop {
            match seal::seal(&self.db, tenant, &key).await {
                Ok(outcome) if outcome.left => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(tenant.id = %tenant, "audit rows wait for their seal: {error}");
                    return;
                }
            }
        }
    }
}

/// The key of the file, if it is the database's.
async fn match_keys(db: &Db, config: &Config, clock: &Clock, random: &Random) -> Result<Keys, OpenError> {
    let path = &config.master_key_file;
    let failed = |source| OpenError::Database { address: config.database_shown(), source };
    let check = installation::find_key_check(db).await.map_err(failed)?;
    let keys = match (Keys::find(path)?, &check) {
        (Some(keys), _) => keys,
        (None, Some(_)) => return Err(KeyError::Missing { path: path.clone() }.into()),
        (None, None) => {
            let keys = Keys::create(path, random.bytes())?;
            let why = "without it this database does not open again";
            tracing::warn!(path = %path.display(), "a new master key was made: back it up, apart from the database; {why}");
            keys
        }
    };
    let check = match check {
        Some(check) => check,
        None => keep_key_check(db, &keys.check(), clock.now()).await.map_err(failed)?,
    };
    if !keys.gives(&check) {
        return Err(KeyError::Other { path: path.clone() }.into());
    }
    match installation::find_chain_key(db).await.map_err(failed)? {
        Some(sealed) => keys.with_chain(&sealed).ok_or_else(|| KeyError::Other { path: path.clone() }.into()),
        None => Ok(keys),
    }
}

/// The check value that the database keeps: this one, unless another process was first.
async fn keep_key_check(db: &Db, check: &str, now: Timestamp) -> Result<String, DbError> {
    let mut tx = db.begin().await?;
    installation::insert_key_check(&mut tx, check, now).await?;
    tx.commit().await?;
    installation::find_key_check(db).await?.ok_or_else(|| DbError::corrupt("the installation's key check", "it is not there"))
}

/// Counts requests from their beginning to their end, also those whose client is gone: who shuts down waits for them.
#[derive(Debug, Clone)]
pub struct UnderWay(Arc<watch::Sender<usize>>);

impl Default for UnderWay {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl UnderWay {
    /// One more, until the value is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        self.0.send_modify(|count| *count += 1);
        Entered(self.clone())
    }

    pub async fn ended(&self) {
        let mut count = self.0.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

#[derive(Debug)]
pub struct Entered(UnderWay);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// Where random bytes come from. Tests seed it.
#[derive(Debug, Clone)]
pub enum Random {
    System,
    Seeded { seed: [u8; 32], drawn: Arc<AtomicU64> },
}

impl Random {
    #[must_use]
    pub fn seeded(seed: u8) -> Self {
        Self::Seeded { seed: [seed; 32], drawn: Arc::new(AtomicU64::new(0)) }
    }

    /// At most 32 bytes at a time.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= 32) };
        let mut bytes = [0; N];
        match self {
            Self::System => keys::fill_random(&mut bytes),
            Self::Seeded { seed, drawn } => {
                bytes.copy_from_slice(&keys::stretch(*seed, drawn.fetch_add(1, Ordering::SeqCst))[..N]);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rolegate-app-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        async fn open(&self, key: &str) -> Result<App, OpenError> {
            let variables = [("DATA_DIR", self.0.clone()), ("MASTER_KEY_FILE", self.0.join(key))];
            let variables = variables.map(|(name, path)| (format!("ROLEGATE_{name}"), path.to_str().unwrap().to_owned()));
            let config = Config::resolve(None, variables, &|_| unreachable!("no password file")).unwrap();
            App::open_with(config, Migrations::Run, Clock::fixed(Timestamp::from_millis(1_800_000_000_000)), Random::System).await
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn a_database_is_opened_only_with_the_key_it_was_written_with() {
        let folder = Folder::new("key");
        folder.open("master.key").await.unwrap().db.close().await;
        folder.open("master.key").await.unwrap().db.close().await;
        assert!(matches!(folder.open("missing.key").await, Err(OpenError::Key(KeyError::Missing { .. }))));
        Keys::create(&folder.0.join("other.key"), [9; 32]).unwrap();
        assert!(matches!(folder.open("other.key").await, Err(OpenError::Key(KeyError::Other { .. }))));
    }

    #[test]
    fn seeded_randomness_repeats_and_the_machines_does_not() {
        let (one, two) = (Random::seeded(1), Random::seeded(1));
        assert_eq!([one.bytes::<16>(), one.bytes()], [two.bytes(), two.bytes()]);
        assert_ne!(one.bytes::<16>(), one.bytes());
        assert_ne!(Random::System.bytes::<16>(), Random::System.bytes());
    }
}
