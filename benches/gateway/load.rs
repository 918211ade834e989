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
    Get,
    Filter,
    PatchActive,
    GroupAdd,
    Acs,
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
    /// Elapsed time divided by the number of requests.
    pub mean: Duration,
    pub p99: Duration,
    /// Of the server, for one request.
    pub cpu: Duration,
}

/// How many requests one measurement sends.
const REQUESTS: usize = 1200;

impl Step {
    pub fn all(seed: &Seed) -> Vec<Self> {
        let step = |name: &str, kind, directory: &Directory, group: Option<&String>| Self {
            name: name.to_owned(),
            kind,
            directory: directory.clone(),
            group: group.cloned(),
        };
        vec![
            step("create", Kind::Create, &seed.large, None),
            step("get", Kind::Get, &seed.large, None),
            step("filter at 1000", Kind::Filter, &seed.small, None),
            step("filter at 100000", Kind::Filter, &seed.large, None),
            step("patch active", Kind::PatchActive, &seed.large, None),
            step("group add at 10", Kind::GroupAdd, &seed.large, Some(&seed.group_of_10)),
            step("group add at 50000", Kind::GroupAdd, &seed.large, Some(&seed.group_of_50_000)),
            step("sign-in (ACS)", Kind::Acs, &seed.large, None),
        ]
    }

    /// One measured request; `n` is different for each.
    pub async fn once(&self, seed: &Seed, client: &mut Client, n: usize) -> Answer {
        let base = &self.directory.base;
        let token = Some(self.directory.token.as_str());
        let scim = "application/scim+json";
        // A stride that is prime to the sizes spreads the people over the directory.
        let user = &self.directory.users[(n * 7919) % self.directory.users.len()];
        let (request, expected) = match self.kind {
            Kind::Create => {
                let unique = seed.unique();
                let body = format!(
                    r#"{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"new{unique}@acme.example","externalId":"x{unique}","name":{{"givenName":"New","familyName":"Person"}},"displayName":"New Person","emails":[{{"value":"new{unique}@acme.example","type":"work","primary":true}}],"active":true}}"#
                );
                (request("POST", &format!("{base}/Users"), token, scim, &body), 201)
            }
            Kind::Get => (request("GET", &format!("{base}/Users/{user}"), token, scim, ""), 200),
            Kind::Filter => {
                let name = self.directory.user_name((n * 7919) % self.directory.users.len());
                (request("GET", &format!("{base}/Users?filter=userName%20eq%20%22{name}%22"), token, scim, ""), 200)
            }
            Kind::PatchActive => {
                let active = !n.is_multiple_of(2);
                let body = format!(
                    r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{{"op":"replace","path":"active","value":{active}}}]}}"#
                );
                // Half of the people are switched off first, so that each request changes something.
                let user = &self.directory.users[(n / 2 * 7919) % self.directory.users.len()];
                (request("PATCH", &format!("{base}/Users/{user}"), token, scim, &body), 200)
            }
            Kind::GroupAdd => {
                let group = self.group.as_ref().unwrap();
                // Those after the 50,000 members are in neither group.
                let user = &self.directory.users[50_000 + seed.unique() % 50_000];
                let body = format!(
                    r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{{"op":"add","path":"members","value":[{{"value":"{user}"}}]}}]}}"#
                );
                (request("PATCH", &format!("{base}/Groups/{group}"), token, scim, &body), 204)
            }
            Kind::Acs => {
                let body = seed.next_response();
                (request("POST", "/connections/bench-idp/saml/acs", None, "application/x-www-form-urlencoded", &body), 303)
            }
        };
        let answer = client.send(&request).await;
        assert_eq!(answer.status, expected, "{}: {}", self.name, String::from_utf8_lossy(&answer.body));
        answer
    }
}

pub struct Load;

impl Load {
    pub async fn run(seed: &Seed, server: &mut Server, step: &Step, concurrency: usize) -> Measured {
        if step.kind == Kind::Acs {
            seed.sign_responses(REQUESTS + concurrency);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let mut clients = Vec::new();
        for warm in 0..concurrency {
            let mut client = Client::connect(server.port).await;
            step.once(seed, &mut client, 800_000 + warm).await;
            clients.push(client);
        }
        let (cpu, begun) = (server.cpu(), Instant::now());
        let mut workers = tokio::task::JoinSet::new();
        for mut client in clients {
            let (seed, step, next) = (seed.clone(), step.clone(), next.clone());
            workers.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= REQUESTS {
                        return times;
                    }
                    let sent = Instant::now();
                    step.once(&seed, &mut client, n).await;
                    times.push(sent.elapsed());
                }
            });
        }
        let mut times: Vec<Duration> = workers.join_all().await.into_iter().flatten().collect();
        let elapsed = begun.elapsed();
        let count = u32::try_from(times.len()).unwrap();
        times.sort_unstable();
        Measured { mean: elapsed / count, p99: times[times.len() * 99 / 100], cpu: server.cpu().saturating_sub(cpu) / count }
    }
}
