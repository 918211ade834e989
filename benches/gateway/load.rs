//! The requests that are measured, and how many at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    client::{Answer, Client, request},
    seed::{Directory, Seed},
    server::Server,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Create,
    /// A thousand creates in one request.
    Bulk,
    Get,
    Filter,
    List(Page),
    PatchActive,
    /// So many members added to a group by one request; taken out again before the next one.
    GroupAdd(usize),
    /// As many members taken out by one request; put in before it.
    GroupRemove(usize),
    /// What Entra ID sends for a new person: filter, POST, PATCH, and the person's group.
    EntraCycle,
    Acs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    First,
    /// The page behind the first 99,000, by the cursor that leads there.
    ByCursor,
    /// The same page by its number.
    ByIndex,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub name: String,
    pub kind: Kind,
    pub directory: Directory,
    /// For group changes.
    pub group: Option<String>,
}

#[derive(Debug)]
pub struct Measured {
    /// Of one request; with several at once, the share of it: what the requests took together, divided by how many ran at once.
    pub mean: Duration,
    pub p99: Duration,
    /// Of the server, for one request; a request that undoes another counts as one.
    pub cpu: Duration,
}

/// Creates in one bulk request.
pub const BULK: usize = 1000;
/// Resources on a page.
const PAGE: usize = 100;
/// How far behind the beginning a page is measured.
const FAR: usize = 99_000;
const SCIM: &str = "application/scim+json";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

impl Step {
    pub fn all(seed: &Seed) -> Vec<Self> {
        let step = |name: &str, kind, directory: &Directory, group: Option<&String>| Self {
            name: name.to_owned(),
            kind,
            directory: directory.clone(),
            group: group.cloned(),
        };
        let (small, large) = (&seed.small, &seed.large);
        let (ten, fifty_thousand) = (Some(&seed.group_of_10), Some(&seed.group_of_50_000));
        vec![
            step("list first page", Kind::List(Page::First), large, None),
            step("list at 99000 by cursor", Kind::List(Page::ByCursor), large, None),
            step("list at 99000 by startIndex", Kind::List(Page::ByIndex), large, None),
            step("create", Kind::Create, large, None),
            step("bulk of 1000 creates", Kind::Bulk, large, None),
            step("get", Kind::Get, large, None),
            step("filter at 1000", Kind::Filter, small, None),
            step("filter at 100000", Kind::Filter, large, None),
            step("patch active", Kind::PatchActive, large, None),
            step("group add at 10", Kind::GroupAdd(1), large, ten),
            step("group add at 50000", Kind::GroupAdd(1), large, fifty_thousand),
            step("group remove at 10", Kind::GroupRemove(1), large, ten),
            step("group remove at 50000", Kind::GroupRemove(1), large, fifty_thousand),
            step("group add of 1000", Kind::GroupAdd(1000), large, ten),
            step("Entra cycle", Kind::EntraCycle, large, ten),
            step("sign-in (ACS)", Kind::Acs, large, None),
        ]
    }

    /// How many requests one measurement sends.
    pub fn requests(&self) -> usize {
        match self.kind {
            Kind::Bulk => 8,
            Kind::GroupAdd(many) | Kind::GroupRemove(many) if many > 1 => 24,
            Kind::List(_) | Kind::EntraCycle => 400,
            Kind::Create | Kind::Get | Kind::Filter | Kind::PatchActive | Kind::GroupAdd(_) | Kind::GroupRemove(_) | Kind::Acs => 1200,
        }
    }

    /// Whether one after the other is all that is asked of it.
    pub fn is_alone(&self) -> bool {
        matches!(self.kind, Kind::Bulk) || matches!(self.kind, Kind::GroupAdd(many) | Kind::GroupRemove(many) if many > 1)
    }

    /// Transactions that one of them commits, if it changes anything.
    pub fn commits(&self) -> usize {
        match self.kind {
            Kind::Bulk => BULK / 100,
            Kind::EntraCycle => 3,
            _ => 1,
        }
    }

    /// What must be there before request `n`; not measured.
    pub async fn before(&self, seed: &Seed, client: &mut Client, n: usize) {
        match self.kind {
            Kind::GroupRemove(many) => self.membership(client, "add", &Self::newcomers(seed, many, n)).await,
            Kind::List(Page::ByCursor) => {
                seed.far.get_or_init(async || self.walk(seed, client).await).await;
            }
            _ => {}
        }
    }

    /// Undoes request `n`; not measured.
    pub async fn after(&self, seed: &Seed, client: &mut Client, n: usize) {
        if let Kind::GroupAdd(many) = self.kind {
            self.membership(client, "remove", &Self::newcomers(seed, many, n)).await;
            if many > 1 {
                seed.mapped().await;
            }
        }
    }

    /// Those after the 50,000 members are in neither group.
    fn newcomers(seed: &Seed, many: usize, n: usize) -> Vec<String> {
        let first = 50_000 + n * many % 50_000;
        seed.large.users[first..first + many].to_vec()
    }

    async fn membership(&self, client: &mut Client, op: &str, members: &[String]) {
        let (base, group) = (&self.directory.base, self.group.as_ref().unwrap());
        let members: Vec<String> = members.iter().map(|id| format!(r#"{{"value":"{id}"}}"#)).collect();
        let operation = format!(r#"{{"op":"{op}","path":"members","value":[{}]}}"#, members.join(","));
        let body = format!(r#"{{"schemas":["{PATCH}"],"Operations":[{operation}]}}"#);
        self.ask(client, "PATCH", &format!("{base}/Groups/{group}"), &body, 204).await;
    }

    async fn ask(&self, client: &mut Client, method: &str, path: &str, body: &str, expected: u16) -> Answer {
        self.send(client, &request(method, path, Some(self.directory.token.as_str()), SCIM, body), expected).await
    }

    async fn send(&self, client: &mut Client, request: &[u8], expected: u16) -> Answer {
        let answer = client.send(request).await;
        assert_eq!(answer.status, expected, "{}: {}", self.name, String::from_utf8_lossy(&answer.body));
        answer
    }

    /// Goes through the list to the far page: the cursor that leads there, and the number of all that the first page told.
    async fn walk(&self, seed: &Seed, client: &mut Client) -> (String, usize) {
        let (mut cursor, total) = (String::new(), seed.people());
        for _ in 0..FAR / 1000 {
            let path = format!("{}/Users?attributes=userName&count=1000&cursor={cursor}", self.directory.base);
            let page = self.ask(client, "GET", &path, "", 200).await;
            cursor = member(&page, "nextCursor").unwrap();
        }
        (cursor, total)
    }

    /// One measured request; `n` is different for each.
    pub async fn once(&self, seed: &Seed, client: &mut Client, n: usize) {
        let base = &self.directory.base;
        // A stride that is prime to the sizes spreads the people over the directory.
        let user = &self.directory.users[(n * 7919) % self.directory.users.len()];
        match self.kind {
            Kind::Create => {
                self.ask(client, "POST", &format!("{base}/Users"), &person(seed), 201).await;
                seed.made(1);
            }
            Kind::Bulk => {
                let operation = |n| format!(r#"{{"method":"POST","path":"/Users","bulkId":"b{n}","data":{}}}"#, person(seed));
                let operations: Vec<String> = (0..BULK).map(operation).collect();
                let body = format!(
                    r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[{}]}}"#,
                    operations.join(",")
                );
                let answer = self.ask(client, "POST", &format!("{base}/Bulk"), &body, 200).await;
                let made = String::from_utf8(answer.body).unwrap().matches(r#""status":"201""#).count();
                assert_eq!(made, BULK, "operations that were done");
                seed.made(BULK);
            }
            Kind::Get => {
                self.ask(client, "GET", &format!("{base}/Users/{user}"), "", 200).await;
            }
            Kind::Filter => {
                let name = self.directory.user_name((n * 7919) % self.directory.users.len());
                self.ask(client, "GET", &format!("{base}/Users?filter=userName%20eq%20%22{name}%22"), "", 200).await;
            }
            Kind::List(page) => self.list(seed, client, page).await,
            Kind::PatchActive => {
                let active = !n.is_multiple_of(2);
                // Half of the people are switched off first, so that each request changes something.
                let user = &self.directory.users[(n / 2 * 7919) % self.directory.users.len()];
                self.activate(client, user, active).await;
            }
            Kind::GroupAdd(many) => self.membership(client, "add", &Self::newcomers(seed, many, n)).await,
            Kind::GroupRemove(many) => self.membership(client, "remove", &Self::newcomers(seed, many, n)).await,
            Kind::EntraCycle => {
                let unknown = format!("{base}/Users?filter=userName%20eq%20%22nobody{}%22", seed.unique());
                self.ask(client, "GET", &unknown, "", 200).await;
                let made = self.ask(client, "POST", &format!("{base}/Users"), &person(seed), 201).await;
                seed.made(1);
                let id = member(&made, "id").unwrap();
                self.activate(client, &id, false).await;
                self.membership(client, "add", &[id]).await;
            }
            Kind::Acs => {
                let body = seed.next_response();
                let path = "/connections/bench-idp/saml/acs";
                self.send(client, &request("POST", path, None, "application/x-www-form-urlencoded", &body), 303).await;
            }
        }
    }

    async fn list(&self, seed: &Seed, client: &mut Client, page: Page) {
        let (how, total) = match page {
            Page::First => ("startIndex=1".to_owned(), seed.people()),
            Page::ByIndex => (format!("startIndex={}", FAR + 1), seed.people()),
            Page::ByCursor => {
                let (cursor, total) = seed.far.get().unwrap();
                (format!("cursor={cursor}"), *total)
            }
        };
        let path = format!("{}/Users?count={PAGE}&{how}", self.directory.base);
        let answer = self.ask(client, "GET", &path, "", 200).await;
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(text.contains(&format!(r#""totalResults":{total},"#)), "{}: {total} are there, not {}", self.name, &text[..200]);
        let at = if page == Page::First { 0 } else { FAR };
        let (first, last) = (self.directory.user_name(at), self.directory.user_name(at + PAGE - 1));
        assert!(text.contains(&format!(r#""{first}""#)) && text.contains(&format!(r#""{last}""#)), "{}: other people", self.name);
    }

    async fn activate(&self, client: &mut Client, user: &str, active: bool) {
        let operation = format!(r#"{{"op":"replace","path":"active","value":{active}}}"#);
        let body = format!(r#"{{"schemas":["{PATCH}"],"Operations":[{operation}]}}"#);
        self.ask(client, "PATCH", &format!("{}/Users/{user}", self.directory.base), &body, 200).await;
    }
}

fn person(seed: &Seed) -> String {
    let unique = seed.unique();
    format!(
        r#"{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"new{unique}@acme.example","externalId":"x{unique}","name":{{"givenName":"New","familyName":"Person"}},"displayName":"New Person","emails":[{{"value":"new{unique}@acme.example","type":"work","primary":true}}],"active":true}}"#
    )
}

/// A text member of the answer, found without reading all of it.
fn member(answer: &Answer, name: &str) -> Option<String> {
    let text = std::str::from_utf8(&answer.body).unwrap();
    let (_, rest) = text.split_once(&format!(r#""{name}":""#))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

pub struct Load;

impl Load {
    pub async fn run(seed: &Seed, server: &mut Server, step: &Step, concurrency: usize) -> Measured {
        let requests = step.requests();
        if step.kind == Kind::Acs {
            seed.sign_responses(requests + concurrency);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let mut clients = Vec::new();
        for warm in 0..concurrency {
            let mut client = Client::connect(server.port).await;
            step.before(seed, &mut client, 800_000 + warm).await;
            step.once(seed, &mut client, 800_000 + warm).await;
            step.after(seed, &mut client, 800_000 + warm).await;
            clients.push(client);
        }
        let cpu = server.cpu();
        let mut workers = tokio::task::JoinSet::new();
        for mut client in clients {
            let (seed, step, next) = (seed.clone(), step.clone(), next.clone());
            workers.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= requests {
                        return times;
                    }
                    step.before(&seed, &mut client, n).await;
                    let sent = Instant::now();
                    step.once(&seed, &mut client, n).await;
                    times.push(sent.elapsed());
                    step.after(&seed, &mut client, n).await;
                }
            });
        }
        let mut times: Vec<Duration> = workers.join_all().await.into_iter().flatten().collect();
        let count = u32::try_from(times.len()).unwrap();
        times.sort_unstable();
        let together: Duration = times.iter().sum();
        let mean = together / count / u32::try_from(concurrency).unwrap();
        let done = if matches!(step.kind, Kind::GroupAdd(_) | Kind::GroupRemove(_)) { 2 * count } else { count };
        Measured { mean, p99: times[times.len() * 99 / 100], cpu: server.cpu().saturating_sub(cpu) / done }
    }
}
