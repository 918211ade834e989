//! A tenant with a directory of 1,000 and one of 100,000 people, groups of 10 and of 50,000, an identity provider, and 20 rules each.

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    db::{Db, PoolSize},
    domain::{
        id::{AccountId, GroupId, IdSource},
        time::Timestamp,
    },
    saml::{
        NameId,
        issuer::{IssuerKey, Message, Sign},
    },
};
use samael::crypto::{CertificateDer, Crypto, CryptoProvider, ReduceMode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

#[derive(Debug, Clone)]
pub struct Directory {
    /// Path of the SCIM base.
    pub base: String,
    pub token: String,
    pub users: Arc<Vec<String>>,
    slug: &'static str,
}

impl Directory {
    pub fn user_name(&self, n: usize) -> String {
        format!("{}{n}@acme.example", self.slug)
    }
}

#[derive(Clone)]
pub struct Seed {
    inner: Arc<Inner>,
    pub small: Directory,
    pub large: Directory,
    pub group_of_10: String,
    pub group_of_50_000: String,
    /// The cursor behind the first 99,000 people, once it was walked to, and how many people there were then.
    pub far: Arc<OnceCell<(String, usize)>>,
    /// Where the floor is measured.
    pub scratch: String,
    pub port: u16,
}

struct Inner {
    folder: TempDir,
    address: String,
    idp: IssuerKey,
    counter: AtomicUsize,
    /// People made since in the large directory.
    made: AtomicUsize,
    responses: Mutex<Vec<String>>,
}

const IDP: &str = "https://idp.bench.example";

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

impl Seed {
    pub async fn make(engine: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (address, scratch) = match engine {
            "sqlite" => {
                let file = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
                (file("bench.db"), file("scratch.db"))
            }
            _ => (database("rolegate_bench"), database("rolegate_bench_scratch")),
        };
        let idp = IssuerKey::rsa("bench", now().plus_secs(-3600)).unwrap();
        let mut seed = Self {
            small: Directory {
                base: "/connections/bench-small/scim/v2".to_owned(),
                token: String::new(),
                users: Arc::default(),
                slug: "small",
            },
            large: Directory {
                base: "/connections/bench-large/scim/v2".to_owned(),
                token: String::new(),
                users: Arc::default(),
                slug: "large",
            },
            inner: Arc::new(Inner {
                folder,
                address,
                idp,
                counter: AtomicUsize::new(0),
                made: AtomicUsize::new(0),
                responses: Mutex::default(),
            }),
            group_of_10: String::new(),
            group_of_50_000: String::new(),
            far: Arc::default(),
            scratch,
            port,
        };
        seed.apply();
        seed.small.token = seed.token("bench-small");
        seed.large.token = seed.token("bench-large");
        let db = Db::open(&seed.inner.address, PoolSize(4)).await.unwrap();
        let mut ids = IdSource::new(now(), [42; 16]);
        seed.small.users = Arc::new(people(&db, &mut ids, &seed.small, 1_000).await);
        seed.large.users = Arc::new(people(&db, &mut ids, &seed.large, 100_000).await);
        seed.group_of_10 = group(&db, &mut ids, "ten", &seed.large.users[..10]).await;
        seed.group_of_50_000 = group(&db, &mut ids, "fifty thousand", &seed.large.users[..50_000]).await;
        if engine == "postgres" {
            // What autovacuum has done by the time that so many people are there.
            db.query("vacuum analyze").run().await.unwrap();
        }
        db.close().await;
        seed
    }

    pub fn command(&self) -> Command {
        let folder = self.inner.folder.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        command
            .current_dir(folder)
            .env("ROLEGATE_DATABASE_URL", &self.inner.address)
            .env("ROLEGATE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("ROLEGATE_PUBLIC_URL", format!("http://127.0.0.1:{}", self.port))
            .env("ROLEGATE_MASTER_KEY_FILE", folder.join("master.key"))
            // All sign-ins come from one client.
            .env("ROLEGATE_OPEN_REQUESTS_PER_SECOND", "0")
            .stdin(Stdio::null());
        command
    }

    pub fn log(&self) -> PathBuf {
        self.inner.folder.path().join("serve.log")
    }

    /// A number that no other call gets.
    pub fn unique(&self) -> usize {
        self.inner.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that so many people were made in the large directory.
    pub fn made(&self, people: usize) {
        self.inner.made.fetch_add(people, Ordering::Relaxed);
    }

    /// How many people are in the large directory.
    pub fn people(&self) -> usize {
        self.large.users.len() + self.inner.made.load(Ordering::Relaxed)
    }

    /// Waits until nobody waits any more to be mapped again.
    pub async fn mapped(&self) {
        let db = Db::open(&self.inner.address, PoolSize(1)).await.unwrap();
        let marked = "select account from identity where mapping_version < 0 and scim_state <> 'deleted' limit 1";
        while db.query(marked).optional::<(String,)>().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        db.close().await;
    }

    fn apply(&self) {
        let folder = self.inner.folder.path();
        let certificate = STANDARD.encode(self.inner.idp.certificate().der());
        let metadata = format!(
            r#"<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{IDP}"><md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{IDP}/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>"#
        );
        fs::write(folder.join("idp.xml"), metadata).unwrap();
        let rules = |slug: &str| {
            let rule = |n: i32| {
                format!(
                    "[[connections.rules]]\nname = \"rule {n} of {slug}\"\nwhen = 'groups[value eq \"team-{n}\"] and not (userType eq \"Contractor\")'\ngrant = [{{ role = \"Organization Context Manager\", organization = \"acme\" }}]\n"
                )
            };
            (0..20).map(rule).collect::<Vec<_>>().concat()
        };
        let scim = |slug: &str| {
            let rules = rules(slug);
            format!(
                "[[connections]]\nslug = \"{slug}\"\norganization = \"acme\"\naudience = \"admin\"\n[connections.scim]\nenabled = true\nrequests_per_second = 0\n[connections.default_mapping]\nroles = [\"Organization Member\"]\napply = \"on_create\"\n{rules}"
            )
        };
        let tenant = format!(
            "[tenant]\nslug = \"acme\"\nname = \"Acme\"\npreset = \"owner-member\"\n[[owners]]\nemail = \"owner@acme.example\"\nname = \"First Owner\"\n{}{}[[connections]]\nslug = \"bench-idp\"\norganization = \"acme\"\naudience = \"admin\"\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\njit = \"create\"\nidp_initiated = true\n[connections.attributes]\nemail = \"email\"\ngroups = \"groups\"\n[connections.default_mapping]\nroles = [\"Organization Member\"]\napply = \"on_create\"\n{}",
            scim("bench-small"),
            scim("bench-large"),
            rules("bench-idp"),
        );
        fs::write(folder.join("tenant.toml"), tenant).unwrap();
        let output = self.command().args(["apply", "tenant.toml", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn token(&self, connection: &str) -> String {
        let output = self.command().args(["token", "create", "--connection", connection, "--ttl", "1d", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["token"].as_str().unwrap().to_owned()
    }

    fn message(&self) -> Message {
        let n = self.unique();
        let mut unique = [0; 16];
        unique[..8].copy_from_slice(&(n as u64).to_be_bytes());
        unique[8..].copy_from_slice(&now().millis().to_be_bytes());
        let base = format!("http://127.0.0.1:{}/connections/bench-idp/saml", self.port);
        // Two hundred people who sign in again and again.
        let person = format!("person{}@acme.example", n % 200);
        let name_id = NameId { value: person.clone(), format: None };
        let mut message = Message::new(unique, IDP, &format!("{base}/metadata"), &format!("{base}/acs"), name_id, now());
        let groups = (0..60).map(|group| format!("a-group-with-a-name-of-usual-length-{group}")).chain([format!("team-{}", n % 20)]);
        message.attributes = vec![("email".to_owned(), vec![person]), ("groups".to_owned(), groups.collect())];
        message
    }

    /// Signs fresh responses ahead of the measurement.
    pub fn sign_responses(&self, count: usize) {
        let mut responses = self.inner.responses.lock().unwrap();
        while responses.len() < count {
            let xml = self.inner.idp.issue(&self.message(), Sign::Assertion).unwrap();
            responses.push(form(&xml));
        }
    }

    /// The form of a response that was not sent before.
    pub fn next_response(&self) -> String {
        if let Some(response) = self.inner.responses.lock().unwrap().pop() {
            return response;
        }
        form(&self.inner.idp.issue(&self.message(), Sign::Assertion).unwrap())
    }

    /// The mean of bare verifications of one such response by xmlsec.
    pub fn bare_verification(&self) -> Duration {
        const ROUNDS: u32 = 200;
        let xml = self.inner.idp.issue(&self.message(), Sign::Assertion).unwrap();
        let xml = String::from_utf8(STANDARD.decode(&xml).unwrap_or_else(|_| xml.clone().into_bytes())).unwrap();
        let certificate = CertificateDer::from(self.inner.idp.certificate().der().to_vec());
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            Crypto::reduce_xml_to_signed(&xml, std::slice::from_ref(&certificate), ReduceMode::PreDigest).unwrap();
        }
        begun.elapsed() / ROUNDS
    }
}

fn form(response: &str) -> String {
    let encoded = if response.starts_with('<') { STANDARD.encode(response) } else { response.to_owned() };
    format!("SAMLResponse={}", encoded.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

/// A fresh database on the cluster of `make bench`.
pub fn database(name: &str) -> String {
    let admin =
        env::var("ROLEGATE_TEST_POSTGRES").expect("run `make bench`: it starts a PostgreSQL and names it in ROLEGATE_TEST_POSTGRES");
    let run = |sql: String| {
        let output = Command::new("psql").args([&admin, "-qc", &sql]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(format!("drop database if exists {name} with (force)"));
    run(format!("create database {name}"));
    let mut url = url::Url::parse(&admin).unwrap();
    url.set_path(name);
    url.into()
}

/// People as SCIM would have written them, a thousand a statement.
async fn people(db: &Db, ids: &mut IdSource, directory: &Directory, count: usize) -> Vec<String> {
    let slug = format!("bench-{}", directory.slug);
    let (tenant, connection): (String, String) =
        db.query("select tenant, id from connection where slug = $1").bind(slug).optional().await.unwrap().unwrap();
    let (organization,): (String,) =
        db.query("select id from organization where tenant = $1").bind(&tenant).optional().await.unwrap().unwrap();
    let at = now().millis();
    let users: Vec<String> = (0..count).map(|_| ids.make::<rolegate::domain::id::kind::Account>().to_string()).collect();
    for (chunk, first) in users.chunks(1000).zip((0..).step_by(1000)) {
        let mut tx = db.begin().await.unwrap();
        let mut query = tx.query_set(
            "insert into account (tenant, id, user_name, user_name_key, email, email_key, display_name, kind, home_organization, profile_connection, status, has_local_credential, from_file, created_at_ms, changed_at_ms)
             values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)}",
            chunk.len(),
        );
        for (user, n) in chunk.iter().zip(first..) {
            let name = directory.user_name(n);
            query = query
                .bind(&tenant)
                .bind(user)
                .bind(name.clone())
                .bind(name.clone())
                .bind(name.clone())
                .bind(name)
                .bind("A Person")
                .bind("human");
            query = query.bind(&organization).bind(&connection).bind("active").bind(false).bind(false).bind(at).bind(at);
        }
        query.run().await.unwrap();
        let mut query = tx.query_set(
            "insert into identity (tenant, connection, account, active, scim_state, scim_document, scim_user_name_key, scim_external_id, scim_display_name_key, scim_version, scim_created_at_ms, scim_changed_at_ms, mapping_version)
             values {($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)}",
            chunk.len(),
        );
        for (user, n) in chunk.iter().zip(first..) {
            let name = directory.user_name(n);
            let document = format!(
                r#"{{"userName":"{name}","externalId":"e{n}","name":{{"givenName":"A","familyName":"Person"}},"displayName":"A Person","emails":[{{"value":"{name}","type":"work","primary":true}}],"active":true}}"#
            );
            query =
                query.bind(&tenant).bind(&connection).bind(user).bind(true).bind("live").bind(document).bind(name).bind(format!("e{n}"));
            query = query.bind("a person").bind(1_i64).bind(at).bind(at).bind(1_i64);
        }
        query.run().await.unwrap();
        let mut query = tx.query_set(
            "insert into identity_email (tenant, connection, account, position, value_key) values {($1, $2, $3, $4, $5)}",
            chunk.len(),
        );
        for (user, n) in chunk.iter().zip(first..) {
            query = query.bind(&tenant).bind(&connection).bind(user).bind(0_i64).bind(directory.user_name(n));
        }
        query.run().await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut tx = db.begin().await.unwrap();
    let made: Vec<AccountId> = users.iter().map(|user| AccountId::parse(user).unwrap()).collect();
    let (tenant, connection) =
        (rolegate::domain::id::TenantId::parse(&tenant).unwrap(), rolegate::domain::id::ConnectionId::parse(&connection).unwrap());
    rolegate::db::counter::add(&mut tx, tenant, connection, rolegate::db::counter::USERS, &made, 1).await.unwrap();
    tx.commit().await.unwrap();
    users
}

async fn group(db: &Db, ids: &mut IdSource, name: &str, members: &[String]) -> String {
    let (tenant, connection): (String, String) =
        db.query("select tenant, id from connection where slug = 'bench-large'").optional().await.unwrap().unwrap();
    let id: GroupId = ids.make();
    let mut tx = db.begin().await.unwrap();
    tx.query(
        "insert into directory_group (tenant, id, connection, display_name, display_name_key, pinned_value, pinned_display, version, created_at_ms, changed_at_ms)
         values ($1, $2, $3, $4, $4, $4, $4, 1, 0, 0)",
    )
    .bind(&tenant)
    .bind(id.to_string())
    .bind(&connection)
    .bind(name)
    .run()
    .await
    .unwrap();
    for chunk in members.chunks(1000) {
        let mut query =
            tx.query_set("insert into group_member (tenant, directory_group, member, kind) values {($1, $2, $3, $4)}", chunk.len());
        for member in chunk {
            query = query.bind(&tenant).bind(id.to_string()).bind(member).bind("User");
        }
        query.run().await.unwrap();
    }
    tx.commit().await.unwrap();
    id.to_string()
}
