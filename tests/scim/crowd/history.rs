//! What the crowd was told, and what must be true if all of it was.
//!
//! Each acknowledged change of a resource bears the version that it made. So the versions of one resource put its changes into the one
//! order in which they happened, whichever way the answers travelled: they must be 1, 2, 3 … without a gap or a double (a group has one
//! more for each member that was deleted, which no answer about the group tells), they must agree with the times at which requests were sent and answered, each answer must show what its change made of the version before, and what
//! is in the database must be the last of them. Nothing here depends on who came first.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

pub type Members = BTreeSet<String>;

/// A user resource, as far as the crowd changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Another one with every change.
    pub title: String,
    pub manager: bool,
    pub active: bool,
}

#[derive(Debug, Clone)]
pub enum UserChange {
    Make { name: String, person: Person },
    Put(Person),
    Patch { title: String, manager: Option<bool>, active: Option<bool> },
    Delete,
}

#[derive(Debug, Clone)]
pub enum GroupChange {
    Make(Members),
    Add(Members),
    Remove(Members),
    Put(Members),
    Delete,
}

impl GroupChange {
    /// Who had to be there for it.
    fn needs(&self) -> Option<&Members> {
        match self {
            Self::Make(members) | Self::Add(members) | Self::Put(members) => Some(members),
            Self::Remove(_) | Self::Delete => None,
        }
    }
}

/// One request and its answer; times are counts of what the crowd did.
#[derive(Debug, Clone)]
pub struct Record<Change> {
    pub sent: u64,
    pub answered: u64,
    /// Of the resource, where it is known.
    pub id: Option<String>,
    pub change: Change,
    pub status: u16,
    pub version: Option<i64>,
    /// The user in the answer.
    pub shown: Option<Person>,
}

impl<Change> Record<Change> {
    fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[derive(Debug, Default)]
pub struct History {
    pub users: Vec<Record<UserChange>>,
    pub groups: Vec<Record<GroupChange>>,
}

/// What must be there at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Implied {
    /// Name, last version and facts of each user that is left.
    pub users: BTreeMap<String, (String, i64, Person)>,
    /// Last version and members of each group that is left. The version is between two: whether a member that was deleted had been taken
    /// out before cannot always be told.
    pub groups: BTreeMap<String, (RangeInclusive<i64>, Members)>,
}

impl Implied {
    /// # Panics
    /// When something else is there.
    pub fn check(&self, there: &Self) {
        assert_eq!(there.users, self.users);
        let members = |implied: &Self| implied.groups.iter().map(|(id, (_, members))| (id.clone(), members.clone())).collect::<Vec<_>>();
        assert_eq!(members(there), members(self));
        for (id, (versions, _)) in &self.groups {
            let version = there.groups[id].0.start();
            assert!(versions.contains(version), "{id}: its version is {version}, not one of {versions:?}");
        }
    }
}

/// A resource's life: when it was made and, perhaps, deleted.
struct Life<'h, Change> {
    made: &'h Record<Change>,
    deleted: Option<&'h Record<Change>>,
    /// Acknowledged changes in the order of their versions, the making first.
    changes: Vec<&'h Record<Change>>,
}

type Lives<'h, Change> = BTreeMap<&'h str, Life<'h, Change>>;

/// Puts the acknowledged changes of each resource into their order, and checks that it is one.
fn lives<Change: std::fmt::Debug>(
    records: &[Record<Change>],
    is_make: fn(&Change) -> bool,
    is_delete: fn(&Change) -> bool,
) -> Lives<'_, Change> {
    let mut by_id: BTreeMap<&str, Vec<&Record<Change>>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.is_done()) {
        by_id.entry(record.id.as_deref().expect("what was done has an id")).or_default().push(record);
    }
    by_id
        .into_iter()
        .map(|(id, all)| {
            let (deletions, mut changes): (Vec<_>, Vec<_>) = all.into_iter().partition(|record| is_delete(&record.change));
            assert!(deletions.len() <= 1, "{id} was deleted twice: {deletions:?}");
            changes.sort_by_key(|record| record.version);
            let versions: Vec<i64> = changes.iter().map(|record| record.version.expect("a change has a version")).collect();
            assert!(versions[0] == 1 && versions.is_sorted_by(|a, b| a < b), "{id}: a version was given twice: {changes:?}");
            assert!(
                is_make(&changes[0].change) && !changes[1..].iter().any(|record| is_make(&record.change)),
                "{id} was made once: {changes:?}"
            );
            let mut latest = 0;
            for record in &changes {
                assert!(record.answered > latest, "{id}: a change came before one that was answered already: {changes:?}");
                latest = latest.max(record.sent);
            }
            let deleted = deletions.into_iter().next();
            if let Some(deleted) = deleted {
                assert!(deleted.answered > latest, "{id} was changed after its deletion: {deleted:?} {changes:?}");
            }
            (id, Life { made: changes[0], deleted, changes })
        })
        .collect()
}

impl<Change> Life<'_, Change> {
    /// Whether it may have been there at some moment between the two times.
    fn may_be_there(&self, from: u64, to: u64) -> bool {
        self.made.sent < to && self.deleted.is_none_or(|deleted| deleted.answered > from)
    }

    /// Whether it may have been away at some moment between the two times, having been there before.
    fn may_be_gone(&self, to: u64) -> bool {
        self.deleted.is_some_and(|deleted| deleted.sent < to)
    }
}

impl History {
    /// What the acknowledged requests imply.
    ///
    /// # Panics
    /// When they contradict one another.
    pub fn implied(&self) -> Implied {
        let users = lives(&self.users, |c| matches!(c, UserChange::Make { .. }), |c| matches!(c, UserChange::Delete));
        let groups = lives(&self.groups, |c| matches!(c, GroupChange::Make(_)), |c| matches!(c, GroupChange::Delete));
        self.check_refusals(&users, &groups);
        check_names(&users);
        let mut implied = Implied::default();
        for (id, life) in &users {
            assert_eq!(versions(life), count(&life.changes), "{id}: a version is missing: {:?}", life.changes);
            let (name, person) = replay(id, life);
            if life.deleted.is_none() {
                implied.users.insert((*id).to_owned(), (name, versions(life), person));
            }
        }
        for (id, life) in &groups {
            let mut members = Members::new();
            // Who was a member once and may have been deleted as one.
            let mut gone = Members::new();
            for (at, record) in (0_i64..).zip(&life.changes) {
                let deleted = |member: &&String| users[member.as_str()].may_be_gone(record.answered);
                gone.extend(members.iter().filter(deleted).cloned());
                let untold = record.version.unwrap() - 1 - at;
                assert!(untold <= count(&gone), "{id}: a version is missing: {record:?} {:?}", life.changes);
                for member in record.change.needs().into_iter().flatten() {
                    let there = users.get(member.as_str()).is_some_and(|user| user.may_be_there(record.sent, record.answered));
                    assert!(there, "{member} was added to {id} and was not there: {record:?}");
                }
                match &record.change {
                    GroupChange::Make(all) | GroupChange::Put(all) => members.clone_from(all),
                    GroupChange::Add(some) => members.extend(some.iter().cloned()),
                    GroupChange::Remove(some) => members.retain(|member| !some.contains(member)),
                    GroupChange::Delete => unreachable!("a deletion is no version"),
                }
            }
            // Whoever is deleted leaves every group, which gives each of them a version.
            let (left, members): (Members, Members) = members.into_iter().partition(|member| users[member.as_str()].deleted.is_some());
            gone.extend(left.iter().cloned());
            if life.deleted.is_none() {
                let told = count(&life.changes);
                let earliest = versions(life).max(told + count(&left));
                implied.groups.insert((*id).to_owned(), (earliest..=told + count(&gone), members));
            }
        }
        implied
    }

    /// Every refusal has its reason in what others did.
    fn check_refusals(&self, users: &Lives<'_, UserChange>, groups: &Lives<'_, GroupChange>) {
        for record in self.users.iter().filter(|record| !record.is_done()) {
            let reason = match (&record.change, record.status) {
                (UserChange::Make { name, .. }, 409) => {
                    let named =
                        |life: &&Life<'_, UserChange>| matches!(&life.made.change, UserChange::Make { name: other, .. } if other == name);
                    users.values().filter(named).any(|life| life.may_be_there(record.sent, record.answered))
                }
                (UserChange::Make { .. }, _) => false,
                (_, 404) => users[record.id.as_deref().unwrap()].may_be_gone(record.answered),
                _ => false,
            };
            assert!(reason || record.status == 503, "refused without a reason: {record:?}");
        }
        for record in self.groups.iter().filter(|record| !record.is_done()) {
            let reason = match record.status {
                404 => groups[record.id.as_deref().unwrap()].may_be_gone(record.answered),
                400 => record.change.needs().into_iter().flatten().any(|member| users[member.as_str()].may_be_gone(record.answered)),
                // A member that another operation of the same request should have made.
                409 => matches!(record.change.needs(), Some(members) if members.is_empty()),
                _ => false,
            };
            assert!(reason || record.status == 503, "refused without a reason: {record:?}");
        }
    }

    /// How many requests came through, and how many were sent away to come again.
    pub fn told(&self) -> (usize, usize) {
        let statuses = || self.users.iter().map(|record| record.status).chain(self.groups.iter().map(|record| record.status));
        (statuses().filter(|status| (200..300).contains(status)).count(), statuses().filter(|status| *status == 503).count())
    }
}

/// A name has one bearer at a time.
fn check_names(users: &Lives<'_, UserChange>) {
    let mut by_name: BTreeMap<&str, Vec<&Life<'_, UserChange>>> = BTreeMap::new();
    for life in users.values() {
        let UserChange::Make { name, .. } = &life.made.change else { unreachable!("a life begins with it") };
        by_name.entry(name).or_default().push(life);
    }
    for (name, bearers) in by_name {
        for (at, one) in bearers.iter().enumerate() {
            for other in &bearers[at + 1..] {
                let follows =
                    |a: &Life<'_, UserChange>, b: &Life<'_, UserChange>| a.deleted.is_some_and(|gone| gone.sent < b.made.answered);
                assert!(follows(one, other) || follows(other, one), "two people were {name} at once: {:?} {:?}", one.made, other.made);
            }
        }
    }
}

/// The user as the last version has it; every answer on the way showed what its change made.
fn replay(id: &str, life: &Life<'_, UserChange>) -> (String, Person) {
    let UserChange::Make { name, person } = &life.made.change else { unreachable!("a life begins with it") };
    let mut person = person.clone();
    for record in &life.changes {
        match &record.change {
            UserChange::Make { .. } | UserChange::Delete => {}
            UserChange::Put(all) => person = all.clone(),
            UserChange::Patch { title, manager, active } => {
                person.title.clone_from(title);
                person.manager = manager.unwrap_or(person.manager);
                person.active = active.unwrap_or(person.active);
            }
        }
        if let Some(shown) = &record.shown {
            assert_eq!(*shown, person, "{id} at version {:?}: the answer shows something else: {:?}", record.version, life.changes);
        }
    }
    (name.clone(), person)
}

fn count<'a, T: 'a>(all: impl IntoIterator<Item = &'a T>) -> i64 {
    all.into_iter().map(|_| 1).sum()
}

fn versions<Change>(life: &Life<'_, Change>) -> i64 {
    life.changes.last().and_then(|record| record.version).expect("a life begins with a version")
}
