//! What a sign-in costs beside the bare verification of its signature, in one run: steps 1 to 8 of the assertion consumer, the whole of
//! it with provisioning on SQLite, more groups, and the shapes that would make it dear. All in this process, without a socket.
//!
//! Steps 1 to 8 are to cost at most 1.5 bare verifications, the whole at most 3 times those steps: all three of new messages by turns.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rolegate::{
    admin::{apply::apply, plan::Metadata, tenant_file::TenantFile},
    app::{App, Clock, Migrations, Random},
    config::Config,
    db::Db,
    domain::{actor::Actor, id::CertificateId, time::Timestamp},
    http, keys,
    saml::{
        self, IdpCertificate, IdpMetadata, NameId, Party,
        issuer::{IssuerKey, Message},
    },
};
use samael::crypto::{CertificateDer, Crypto, CryptoProvider, ReduceMode};
use tempfile::TempDir;
use tower::ServiceExt as _;
use uuid::Uuid;

const IDP: &str = "https://idp.bench.example";
const PUBLIC: &str = "http://127.0.0.1:9";
const ROUNDS: u32 = 200;

struct Bench {
    idp: IssuerKey,
    now: Timestamp,
    router: Router,
    db: Db,
    _folder: TempDir,
}

fn below(name: &str) -> String {
    format!("{PUBLIC}/connections/bench/saml/{name}")
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The mean of so many runs.
fn mean(rounds: u32, mut run: impl FnMut()) -> Duration {
    run();
    let begun = Instant::now();
    for _ in 0..rounds {
        run();
    }
    begun.elapsed() / rounds
}

impl Bench {
    async fn open() -> Self {
        let (now, folder) = (Clock::System.now(), TempDir::new().unwrap());
        let idp = IssuerKey::rsa("bench", now.plus_secs(-3600)).unwrap();
        let database = format!("sqlite://{}", folder.path().join("bench.db").display());
        let variables = [("DATABASE_URL", database.as_str()), ("DATA_DIR", folder.path().to_str().unwrap()), ("PUBLIC_URL", PUBLIC)];
        let variables = variables.map(|(name, value)| (format!("ROLEGATE_{name}"), value.to_owned()));
        let config = Config::resolve(None, variables, &|_| unreachable!("there is no password file")).unwrap();
        let app = App::open_with(config, Migrations::Run, Clock::System, Random::System).await.unwrap();
        let rules: String = (0..20)
            .map(|n| format!("[[connections.rules]]\nname = \"rule {n}\"\nwhen = 'groups[value eq \"team-{n}\"]'\ngrant = [{{ role = \"Organization Context Manager\", organization = \"acme\" }}]\n"))
            .collect();
        let text = format!(
            "[tenant]\nslug = \"acme\"\nname = \"Acme\"\npreset = \"owner-member\"\n[[owners]]\nemail = \"o@acme.example\"\nname = \"O\"\n[[connections]]\nslug = \"bench\"\n[connections.saml]\nenabled = true\nidp_metadata = \"idp.xml\"\nidp_initiated = true\n[connections.attributes]\nemail = \"email\"\ngroups = \"groups\"\n[connections.default_mapping]\nroles = [\"Organization Member\"]\napply = \"on_create\"\n{rules}"
        );
        let file = TenantFile::parse(Path::new("tenant.toml"), &text).unwrap();
        let metadata = IdpMetadata::parse(idp.metadata(IDP, "https://idp.bench.example/sso").as_bytes()).unwrap();
        let metadata: Metadata = [(file.connections[0].slug.value.clone(), metadata)].into();
        let mut occasion = app.occasion(Actor::HostOperator, "bench");
        apply(&app.db, &mut occasion, &mut || keys::secret(app.random.bytes()), &file, &metadata).await.unwrap();
        let db = app.db.clone();
        Self { idp, now, router: http::router(app), db, _folder: folder }
    }

    fn message(&self, unique: u64, groups: usize) -> Message {
        let name_id = NameId { value: "person@acme.example".to_owned(), format: None };
        let unique = Uuid::from_u64_pair(unique, 7).into_bytes();
        let mut message = Message::new(unique, IDP, &below("metadata"), &below("acs"), name_id, self.now);
        let groups = (0..groups).map(|group| format!("group-{group}")).chain(["team-3".to_owned()]).collect();
        message.attributes = vec![("email".to_owned(), vec!["person@acme.example".to_owned()]), ("groups".to_owned(), groups)];
        message
    }

    /// As identity providers write many groups: without declarations on each value.
    fn signed(&self, unique: u64, groups: usize) -> String {
        let message = self.message(unique, groups);
        let lean = message.assertion().replace(
            " xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:string\"",
            "",
        );
        message.response(&self.idp.sign(&lean, &message.assertion_id).unwrap())
    }

    fn verify(&self, encoded: &str) -> bool {
        let certificates = [IdpCertificate { id: CertificateId::new(Uuid::nil()), certificate: self.idp.certificate().clone() }];
        let (sp_entity_id, acs_url) = (below("metadata"), below("acs"));
        let party = Party {
            sp_entity_id: &sp_entity_id,
            acs_url: &acs_url,
            idp_entity_id: IDP,
            certificates: &certificates,
            skew_secs: 60,
            subject_from_attribute: false,
            decryption_keys: &[],
            allow_cbc: false,
            authn_contexts: &[],
            expired_certificate_days: 14,
        };
        saml::verify(encoded, &party, self.now).is_ok()
    }

    fn steps(&self, groups: usize) -> Duration {
        let encoded = STANDARD.encode(self.signed(1, groups));
        mean(50, || assert!(self.verify(&encoded)))
    }

    fn verify_bare(&self, xml: &str) {
        let certificate = [CertificateDer::from(self.idp.certificate().der().to_vec())];
        drop(Crypto::reduce_xml_to_signed(xml, &certificate, ReduceMode::PreDigest).unwrap());
    }

    /// Bare verification, steps 1 to 8 and the whole, of new messages of one known person, each of which all three meet: what judges the
    /// same message over and over knows its way through it, and nobody signs in twice with one. By turns, so that what else the machine
    /// does falls on all, and so that each of them comes after another one.
    async fn in_turns(&self, first: u64, groups: usize, rounds: u32) -> [Duration; 3] {
        let mut spent = [Duration::ZERO; 3];
        // The first sign-in makes the account.
        self.sign_in(form(&STANDARD.encode(self.signed(first, groups)))).await;
        let messages: Vec<String> = (1..=u64::from(rounds)).map(|n| self.signed(first + n, groups)).collect();
        for (round, xml) in messages.iter().enumerate() {
            let encoded = STANDARD.encode(xml);
            let form = form(&encoded);
            for turn in 0..3 {
                let turn = (turn + round) % 3;
                let begun = Instant::now();
                match turn {
                    0 => self.verify_bare(xml),
                    1 => assert!(self.verify(&encoded)),
                    _ => self.sign_in(form.clone()).await,
                }
                spent[turn] += begun.elapsed();
            }
        }
        spent.map(|spent| spent / rounds)
    }

    async fn sign_in(&self, form: String) {
        let request = Request::builder().method(Method::POST).uri("/connections/bench/saml/acs");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(form)).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 303);
    }

    /// Whole sign-ins of one known person, one after another; the first makes the account and is not counted.
    async fn sign_ins(&self, first: u64, groups: usize, rounds: u32) -> Duration {
        let forms: Vec<_> = (0..=u64::from(rounds)).map(|n| form(&STANDARD.encode(self.signed(first + n, groups)))).collect();
        let mut begun = Instant::now();
        for (n, form) in forms.into_iter().enumerate() {
            self.sign_in(form).await;
            if n == 0 {
                begun = Instant::now();
            }
        }
        begun.elapsed() / rounds
    }
}

impl Bench {
    /// What no change can do without: SQLite is asked to wait until the disk has it.
    async fn commits(&self, rounds: u32) -> Duration {
        let begun = Instant::now();
        for _ in 0..rounds {
            let mut tx = self.db.begin().await.unwrap();
            assert_eq!(tx.query("update tenant set preset_version = preset_version").run().await.unwrap(), 1);
            tx.commit().await.unwrap();
        }
        begun.elapsed() / rounds
    }
}

fn form(encoded: &str) -> String {
    format!("SAMLResponse={}", encoded.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

/// Messages of the size of a form that strangers could make as dear as possible.
fn shapes(bench: &Bench) -> Vec<(&'static str, String)> {
    let genuine = bench.signed(1, 3);
    let value = |inside: String| genuine.replacen(">group-0<", &format!(">{inside}<"), 1);
    let prefixes = |count: usize| {
        let list: String = (0..count).map(|n| format!("p{n} ")).collect();
        format!(
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"{list}\"/></ds:Transform>"
        )
    };
    let plain = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>";
    let declared: String = (0..50).map(|n| format!(" xmlns:p{n}=\"urn:p:{n}\"")).collect();
    let (open, close) = ((0..20).map(|_| "<a>").collect::<String>(), "</a>".repeat(20));
    let scoped = |inside: String| {
        value(format!(
            "<a{}><a{}><a>{inside}</a></a></a>",
            &declared[..declared.find(" xmlns:p20").unwrap()],
            &declared[declared.find(" xmlns:p20").unwrap()..declared.find(" xmlns:p40").unwrap()]
        ))
    };
    let laughs: String = (1..40).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    vec![
        ("nested entities", format!("<!DOCTYPE r [<!ENTITY l0 \"lol\">{laughs}]><r>&l39;</r>")),
        ("XPath", genuine.replacen(plain, &format!("<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>{}1</ds:XPath></ds:Transform>", "count(//*) + ".repeat(10_000)), 1)),
        ("a style sheet", genuine.replacen(plain, "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"><xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\"/></ds:Transform>", 1)),
        ("20,000 attributes", value(format!("<a{}/>", (0..14_000).map(|n| format!(" a{n}=\"\"")).collect::<String>()))),
        ("depth of 50,000", value("<a>".repeat(50_000))),
        ("5,000 references", genuine.replacen("<ds:Reference ", &format!("{}<ds:Reference ", "<ds:Reference URI=\"#x\"/>".repeat(5000)), 1)),
        ("50,000 prefixes to include", genuine.replacen(plain, &prefixes(25_000), 1)),
        ("10 prefixes to include, 9,000 elements", value("<a/>".repeat(9000)).replacen(plain, &prefixes(10), 1)),
        ("10 prefixes to include, 40 of them in scope, 9,000 elements", scoped("<a/>".repeat(9000)).replacen(plain, &prefixes(10), 1)),
        ("9,000 elements, altered", value("<a/>".repeat(9000))),
        ("400 towers of 20 elements, altered", value(format!("{open}{close}").repeat(400))),
        ("40 namespaces used by 4,000 elements", scoped((0..4000).map(|n| format!("<p{}:a/>", n % 40)).collect())),
        ("4,000 values with a declaration each", value((0..4000).map(|n| format!("<x xmlns:q=\"urn:{n}\"/>")).collect())),
        ("180 KB of text, altered", value("a".repeat(180_000))),
        ("180 KB of references, altered", value("&#38;".repeat(36_000))),
        ("180 KB of spaces, altered", format!("{}{}", " ".repeat(180_000), value("x".to_owned()))),
        ("180 KB of comments", value("<!---->".repeat(26_000))),
        ("no base64 that ends", "<".repeat(190_000)),
    ]
}

/// Prints the table.
pub async fn measure() {
    let bench = Arc::new(Bench::open().await);
    println!("\nSAML, in this process (times in ms)\n");
    let groups = 90;
    let xml = bench.signed(1, groups);
    let encoded = STANDARD.encode(&xml);
    // In a task, as requests are served.
    let served = bench.clone();
    let work = async move { (served.in_turns(1_000_000, groups, 3 * ROUNDS).await, served.commits(ROUNDS).await) };
    let ([bare, steps, whole], commit) = tokio::spawn(work).await.unwrap();
    let ratio = |of: Duration, to: Duration| of.as_secs_f64() / to.as_secs_f64();
    println!("bare verification by xmlsec of {} bytes   {:8.3}", xml.len(), ms(bare));
    println!("steps 1 to 8 of the same                    {:8.3}   {:.2} bare ones (at most 1.5)", ms(steps), ratio(steps, bare));
    println!(
        "the whole, a known person, SQLite           {:8.3}   {:.2} times steps 1 to 8 (at most 3), {:.2} bare ones",
        ms(whole),
        ratio(whole, steps),
        ratio(whole, bare)
    );
    println!("a commit of one row: the wait for this disk {:8.3}", ms(commit));
    // The same message over and over.
    let looped = [mean(ROUNDS, || bench.verify_bare(&xml)), mean(ROUNDS, || assert!(bench.verify(&encoded)))];
    println!(
        "one message {ROUNDS} times: bare {:.3}, steps 1 to 8 {:.3}   {:.2}",
        ms(looped[0]),
        ms(looped[1]),
        ratio(looped[1], looped[0])
    );
    let (two_hundred, two_thousand) = (bench.steps(200), bench.steps(2000));
    println!("steps 1 to 8, 200 groups                    {:8.3}", ms(two_hundred));
    println!(
        "steps 1 to 8, 2,000 groups                  {:8.3}   ratio {:.2} (at most 10)",
        ms(two_thousand),
        two_thousand.as_secs_f64() / two_hundred.as_secs_f64()
    );
    let (two_hundred, two_thousand) = (bench.sign_ins(2_000_000, 200, 50).await, bench.sign_ins(3_000_000, 2000, 50).await);
    println!("the whole, 200 groups                       {:8.3}", ms(two_hundred));
    println!(
        "the whole, 2,000 groups                     {:8.3}   ratio {:.2} (at most 10)",
        ms(two_thousand),
        two_thousand.as_secs_f64() / two_hundred.as_secs_f64()
    );
    println!("\nshapes that strangers send (none above 50)");
    for (name, xml) in shapes(&bench) {
        let encoded = STANDARD.encode(&xml);
        let kept = encoded.len().min(256 * 1024) / 4 * 4;
        let cost = mean(5, || assert!(!bench.verify(&encoded[..kept]), "{name} is accepted"));
        println!("{name:60} {:8.3}", ms(cost));
    }
}
