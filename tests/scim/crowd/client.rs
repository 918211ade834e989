//! One of many clients that push at the same time: what it sends, drawn by lot, and how it writes down what it was told.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use super::history::{GroupChange, History, Members, Person, Record, UserChange};

/// So few names that clients come into one another's way.
const NAMES: u64 = 48;
/// Resources that are chosen from: the youngest.
const RECENT: usize = 40;

/// What the clients share.
pub struct Crowd {
    http: reqwest::Client,
    base: String,
    token: String,
    clock: AtomicU64,
    pub history: Mutex<History>,
    people: Mutex<Vec<(String, String)>>,
    groups: Mutex<Vec<(String, String)>>,
}

/// The same numbers for the same seed.
pub struct Lot(u64);

impl Lot {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_of<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        let recent = &among[among.len().saturating_sub(RECENT)..];
        let at = self.below(u64::try_from(recent.len()).unwrap().max(1));
        recent.get(usize::try_from(at).unwrap()).cloned()
    }
}

/// What came back: of a request, or of one operation of a bulk request.
struct Told {
    status: u16,
    version: Option<i64>,
    id: Option<String>,
    body: Value,
}

impl Crowd {
    pub fn new(base: String, token: String) -> Self {
        let empty = || Mutex::new(Vec::new());
        let (http, clock, history) = (reqwest::Client::new(), AtomicU64::new(1), Mutex::default());
        Self { http, base, token, clock, history, people: empty(), groups: empty() }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Told {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let (status, etag) = (answer.status().as_u16(), answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned()));
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        Told { status, version: etag.as_deref().map(version), id: body["id"].as_str().map(str::to_owned), body }
    }

    /// A group before the crowd comes.
    pub async fn found(&self, name: &str) -> String {
        self.make_group(name, Members::new()).await.unwrap()
    }

    /// A group that nobody of the crowd knows.
    pub async fn found_around(&self, name: &str, group: &str) {
        let body = json!({ "displayName": name, "members": [{ "value": group }] });
        assert_eq!(self.send("POST", "/Groups", Some(&body)).await.status, 201);
    }

    /// One request of a client; `title` is a text that no other request has.
    pub async fn step(&self, lot: &mut Lot, title: String) {
        match lot.below(100) {
            0..22 => self.make_user(lot, title).await,
            22..42 => self.patch_user(lot, title).await,
            42..50 => self.put_user(lot, title).await,
            50..58 => self.delete_user(lot).await,
            58..74 => self.change_group(lot, &title, true).await,
            74..84 => self.change_group(lot, &title, false).await,
            84..89 => self.put_group(lot, &title).await,
            89..91 => {
                let members = self.some_people(lot, 3);
                self.make_group(&format!("extra {title}"), members).await;
            }
            91..92 => self.delete_group(lot).await,
            _ => self.bulk(lot, &title).await,
        }
    }

    fn person(&self, lot: &mut Lot) -> Option<(String, String)> {
        lot.one_of(&self.people.lock().unwrap())
    }

    fn group(&self, lot: &mut Lot) -> Option<(String, String)> {
        lot.one_of(&self.groups.lock().unwrap())
    }

    fn some_people(&self, lot: &mut Lot, most: u64) -> Members {
        (0..=lot.below(most)).filter_map(|_| self.person(lot)).map(|(id, _)| id).collect()
    }

    fn write_user(&self, sent: u64, id: Option<String>, change: UserChange, told: &Told) {
        let shown = told.body.get("title").map(|title| Person {
            title: title.as_str().unwrap().to_owned(),
            manager: told.body["userType"] == "manager",
            active: told.body["active"] == true,
        });
        if let (UserChange::Make { name, .. }, 201) = (&change, told.status) {
            self.people.lock().unwrap().push((told.id.clone().unwrap(), name.clone()));
        }
        let id = id.or_else(|| told.id.clone());
        let record = Record { sent, answered: self.tick(), id, change, status: told.status, version: told.version, shown };
        self.history.lock().unwrap().users.push(record);
    }

    fn write_group(&self, sent: u64, id: Option<String>, change: GroupChange, told: &Told) {
        let id = id.or_else(|| told.id.clone());
        let record = Record { sent, answered: self.tick(), id, change, status: told.status, version: told.version, shown: None };
        self.history.lock().unwrap().groups.push(record);
    }

    async fn make_user(&self, lot: &mut Lot, title: String) {
        let (name, person) = (format!("user{}", lot.below(NAMES)), drawn(lot, title));
        let body = user(&name, &person);
        let sent = self.tick();
        let told = self.send("POST", "/Users", Some(&body)).await;
        self.write_user(sent, None, UserChange::Make { name, person }, &told);
    }

    async fn patch_user(&self, lot: &mut Lot, title: String) {
        let Some((id, _)) = self.person(lot) else { return };
        let (change, operations) = patch(lot, title);
        let sent = self.tick();
        let told = self.send("PATCH", &format!("/Users/{id}"), Some(&json!({ "Operations": operations }))).await;
        self.write_user(sent, Some(id), change, &told);
    }

    async fn put_user(&self, lot: &mut Lot, title: String) {
        let Some((id, name)) = self.person(lot) else { return };
        let person = drawn(lot, title);
        let sent = self.tick();
        let told = self.send("PUT", &format!("/Users/{id}"), Some(&user(&name, &person))).await;
        self.write_user(sent, Some(id), UserChange::Put(person), &told);
    }

    async fn delete_user(&self, lot: &mut Lot) {
        let Some((id, _)) = self.person(lot) else { return };
        let sent = self.tick();
        let told = self.send("DELETE", &format!("/Users/{id}"), None).await;
        // Now and then somebody still speaks of who is gone.
        if lot.below(3) > 0 {
            self.people.lock().unwrap().retain(|(known, _)| *known != id);
        }
        self.write_user(sent, Some(id), UserChange::Delete, &told);
    }

    /// The group's externalId changes with every request, so that each makes a version.
    async fn change_group(&self, lot: &mut Lot, tag: &str, add: bool) {
        let Some((id, _)) = self.group(lot) else { return };
        let members = self.some_people(lot, 4);
        let operations = membership(lot, &members, tag, add);
        let sent = self.tick();
        let told = self.send("PATCH", &format!("/Groups/{id}"), Some(&json!({ "Operations": operations }))).await;
        let change = if add { GroupChange::Add(members) } else { GroupChange::Remove(members) };
        self.write_group(sent, Some(id), change, &told);
    }

    async fn put_group(&self, lot: &mut Lot, tag: &str) {
        let Some((id, name)) = self.group(lot) else { return };
        let members = self.some_people(lot, 8);
        let body = json!({ "displayName": name, "externalId": tag, "members": values(&members) });
        let sent = self.tick();
        let told = self.send("PUT", &format!("/Groups/{id}"), Some(&body)).await;
        self.write_group(sent, Some(id), GroupChange::Put(members), &told);
    }

    async fn make_group(&self, name: &str, members: Members) -> Option<String> {
        let body = json!({ "displayName": name, "members": values(&members) });
        let sent = self.tick();
        let told = self.send("POST", "/Groups", Some(&body)).await;
        let id = (told.status == 201).then(|| told.id.clone().unwrap());
        if let Some(id) = &id {
            self.groups.lock().unwrap().push((id.clone(), name.to_owned()));
        }
        self.write_group(sent, None, GroupChange::Make(members), &told);
        id
    }

    async fn delete_group(&self, lot: &mut Lot) {
        let Some((id, _)) = self.group(lot).filter(|(_, name)| name.starts_with("extra")) else { return };
        let sent = self.tick();
        let told = self.send("DELETE", &format!("/Groups/{id}"), None).await;
        self.write_group(sent, Some(id), GroupChange::Delete, &told);
    }

    /// Somebody new, a group that takes them and somebody known, and a change of somebody known: in one request, each on its own.
    async fn bulk(&self, lot: &mut Lot, title: &str) {
        let (Some((known, _)), Some((group, _))) = (self.person(lot), self.group(lot)) else { return };
        let (name, person) = (format!("user{}", lot.below(NAMES)), drawn(lot, format!("{title} new")));
        let (change, operations) = patch(lot, format!("{title} known"));
        let joined = Members::from(["bulkId:new".to_owned(), known.clone()]);
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
            { "method": "POST", "path": "/Users", "bulkId": "new", "data": user(&name, &person) },
            { "method": "PATCH", "path": format!("/Groups/{group}"), "data": { "Operations": membership(lot, &joined, title, true) } },
            { "method": "PATCH", "path": format!("/Users/{known}"), "data": { "Operations": operations } },
        ] });
        let sent = self.tick();
        let told = self.send("POST", "/Bulk", Some(&body)).await;
        if told.status == 503 {
            return;
        }
        assert_eq!(told.status, 200, "{}", told.body);
        let [new, join, patched] = [0, 1, 2].map(|at| operation(&told.body["Operations"][at]));
        // Whom nobody made cannot have joined.
        let joined = new.id.clone().map_or_else(Members::new, |new| Members::from([new, known.clone()]));
        self.write_user(sent, None, UserChange::Make { name, person }, &new);
        self.write_group(sent, Some(group), GroupChange::Add(joined), &join);
        self.write_user(sent, Some(known), change, &patched);
    }
}

/// Of one operation in the answer to a bulk request.
fn operation(told: &Value) -> Told {
    let status = told["status"].as_str().unwrap().parse().unwrap();
    let id = told["location"].as_str().and_then(|location| location.rsplit('/').next()).map(str::to_owned);
    Told { status, version: told["version"].as_str().map(version), id: id.filter(|_| status == 201), body: Value::Null }
}

fn version(tag: &str) -> i64 {
    tag.trim_start_matches("W/").trim_matches('"').parse().unwrap()
}

fn drawn(lot: &mut Lot, title: String) -> Person {
    Person { title, manager: lot.below(2) == 0, active: lot.below(4) > 0 }
}

fn kind(manager: bool) -> &'static str {
    if manager { "manager" } else { "staff" }
}

fn user(name: &str, person: &Person) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "emails": [{ "value": format!("{name}@acme.example"), "type": "work", "primary": true }],
        "title": person.title,
        "userType": kind(person.manager),
        "active": person.active,
    })
}

fn patch(lot: &mut Lot, title: String) -> (UserChange, Vec<Value>) {
    let (manager, active) = ((lot.below(2) == 0).then(|| lot.below(2) == 0), (lot.below(2) == 0).then(|| lot.below(3) > 0));
    let mut operations = vec![json!({ "op": "replace", "path": "title", "value": title })];
    operations.extend(manager.map(|manager| json!({ "op": "replace", "path": "userType", "value": kind(manager) })));
    operations.extend(active.map(|active| json!({ "op": "replace", "value": { "active": active } })));
    (UserChange::Patch { title, manager, active }, operations)
}

fn membership(lot: &mut Lot, members: &Members, tag: &str, add: bool) -> Vec<Value> {
    let mut operations: Vec<Value> = match (add, lot.below(2)) {
        (true, _) => vec![json!({ "op": "add", "path": "members", "value": values(members) })],
        (false, 0) => vec![json!({ "op": "remove", "path": "members", "value": values(members) })],
        (false, _) => members.iter().map(|id| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") })).collect(),
    };
    operations.push(json!({ "op": "replace", "path": "externalId", "value": tag }));
    operations
}

fn values(members: &Members) -> Vec<Value> {
    members.iter().map(|id| json!({ "value": id })).collect()
}
