//! Random histories of two connections, beside a model of what everybody must hold, and why, after each step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::{collection::vec, prelude::*};
use rolegate::{
    db::{
        self,
        check::Holdings,
        counter::{self, GROUPS, USERS},
    },
    domain::{
        account::SignInStatus,
        actor::{Actor, Occasion},
        id::{AccountId, GroupId},
    },
    provision::{ProvisionError, Published, remap, sign_in::Refused},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::story::{ACME, ENTRA, EU, Idp, OKTA, SignIn, Story, grants};
use crate::common::engines::Engine;

const NAMES: [&str; 4] = ["ada", "bob", "cyd", "dee"];
const GROUPS_OF_RULES: [&str; 3] = ["g1", "g2", "g3"];
const IDPS: [Idp; 2] = [OKTA, ENTRA];
const OWNER: &str = "Organization Owner";

/// `at` is a connection, `who` a name, `slot` one of the groups there are; sets are bits.
#[derive(Debug, Clone)]
enum Step {
    Create { at: usize, who: usize, with_external_id: bool, active: bool },
    Patch { at: usize, who: usize, title: u8 },
    SetActive { at: usize, who: usize, active: bool },
    Delete { at: usize, who: usize },
    CreateGroup { at: usize, name: usize, members: u8 },
    Join { slot: usize, members: u8 },
    Leave { slot: usize, members: u8 },
    Rename { slot: usize, name: usize },
    DeleteGroup { slot: usize },
    SignIn { at: usize, who: usize, groups: Option<u8> },
    Link { who: usize },
    Grant { at: usize, who: usize, owner: bool },
    Revoke { at: usize, who: usize, owner: bool },
    Publish { at: usize, rules: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (at, who, bits, slot) = (0..2usize, 0..4usize, 0..16u8, 0..6usize);
    prop_oneof![
        5 => (at.clone(), who.clone(), any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(at, who, with_external_id, active)| Step::Create { at, who, with_external_id, active }),
        1 => (at.clone(), who.clone(), any::<u8>()).prop_map(|(at, who, title)| Step::Patch { at, who, title }),
        2 => (at.clone(), who.clone(), any::<bool>()).prop_map(|(at, who, active)| Step::SetActive { at, who, active }),
        2 => (at.clone(), who.clone()).prop_map(|(at, who)| Step::Delete { at, who }),
        4 => (at.clone(), 0..3usize, bits.clone()).prop_map(|(at, name, members)| Step::CreateGroup { at, name, members }),
        4 => (slot.clone(), bits.clone()).prop_map(|(slot, members)| Step::Join { slot, members }),
        3 => (slot.clone(), bits.clone()).prop_map(|(slot, members)| Step::Leave { slot, members }),
        1 => (slot.clone(), 0..3usize).prop_map(|(slot, name)| Step::Rename { slot, name }),
        1 => slot.prop_map(|slot| Step::DeleteGroup { slot }),
        5 => (at.clone(), who.clone(), proptest::option::of(0..8u8)).prop_map(|(at, who, groups)| Step::SignIn { at, who, groups }),
        1 => who.clone().prop_map(|who| Step::Link { who }),
        2 => (at.clone(), who.clone(), any::<bool>()).prop_map(|(at, who, owner)| Step::Grant { at, who, owner }),
        2 => (at.clone(), who, any::<bool>()).prop_map(|(at, who, owner)| Step::Revoke { at, who, owner }),
        3 => (at, bits).prop_map(|(at, rules)| Step::Publish { at, rules }),
    ]
}

/// What one connection knows of one account.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Debug, Clone, Default)]
struct Known {
    name: &'static str,
    /// `None`: SCIM never spoke of the person; `Some(true)`: a tombstone.
    deleted: Option<bool>,
    inactive: bool,
    external_id: bool,
    subject: bool,
    /// Somebody signed in.
    seen: bool,
    /// What the last response that spoke of groups named.
    saml_groups: BTreeSet<&'static str>,
}

impl Known {
    fn is_live(&self) -> bool {
        !self.inactive && self.deleted != Some(true)
    }
}

struct Pushed {
    idp: Idp,
    id: GroupId,
    pinned: &'static str,
    members: BTreeSet<AccountId>,
}

#[derive(Default)]
struct Model {
    known: BTreeMap<(Idp, AccountId), Known>,
    named_by: BTreeMap<AccountId, Idp>,
    groups: Vec<Pushed>,
    manual: BTreeSet<(AccountId, bool)>,
    rules: BTreeMap<Idp, u8>,
    /// What a permission check would have kept after the step before.
    kept: BTreeMap<AccountId, Arc<Holdings>>,
}

impl Model {
    fn live_resource(&self, idp: Idp, name: &str) -> Option<AccountId> {
        let mut found = self.known.iter().filter(|((at, _), known)| *at == idp && known.name == name && known.deleted == Some(false));
        found.next().map(|((_, account), _)| *account)
    }

    fn by_subject(&self, idp: Idp, name: &str) -> Option<AccountId> {
        let mut found = self.known.iter().filter(|((at, _), known)| *at == idp && known.name == name && known.subject);
        found.next().map(|((_, account), _)| *account)
    }

    fn any_account(&self, idp: Idp, name: &str) -> Option<AccountId> {
        let mut found = self.known.iter().filter(|((at, _), known)| *at == idp && known.name == name);
        found.next_back().map(|((_, account), _)| *account)
    }

    fn people(&self, idp: Idp, bits: u8) -> Vec<AccountId> {
        (0..4).filter(|bit| bits & 1 << bit != 0).filter_map(|bit| self.live_resource(idp, NAMES[bit])).collect()
    }

    fn is_live_anywhere(&self, account: AccountId) -> bool {
        self.known.iter().any(|((_, of), known)| *of == account && known.is_live())
    }

    /// Everything but retention, in the words of [`Story::held`].
    fn held(&self, account: AccountId) -> Vec<String> {
        let mut lines = Vec::new();
        for owner in [false, true] {
            if self.manual.contains(&(account, owner)) {
                lines.push(if owner { "organization owner at acme: manual" } else { "auditors at acme-us: manual" }.to_owned());
            }
        }
        for idp in IDPS {
            let Some(known) = self.known.get(&(idp, account)).filter(|known| known.deleted != Some(true)) else { continue };
            let (kind, groups) = if known.deleted == Some(false) {
                let of = self.groups.iter().filter(|group| group.idp == idp && group.members.contains(&account));
                ("scim_rule", of.map(|group| group.pinned).collect())
            } else {
                if !known.seen {
                    continue;
                }
                ("saml_rule", known.saml_groups.clone())
            };
            let slug = if idp == OKTA { "okta" } else { "entra" };
            let home = if idp == OKTA { "acme" } else { "acme-eu" };
            let rules = self.rules.get(&idp).copied().unwrap_or_default();
            for (bit, (group, holding)) in
                [("g1", "editors at acme-eu"), ("g2", "operators at acme-eu"), ("g3", "organization owner at acme")].iter().enumerate()
            {
                // Entra's anchor is acme-eu: the root is not its to give.
                if rules & 1 << bit != 0 && groups.contains(group) && (idp == OKTA || *group != "g3") {
                    lines.push(format!("{holding}: {kind} {slug} {}", bit + 1));
                }
            }
            if rules & 8 != 0 {
                lines.push(format!("organization member at {home}: default {slug}"));
            }
        }
        lines.sort();
        lines
    }
}

fn mapping(story: &Story, bits: u8) -> Value {
    let all = [
        grants(1, r#"groups.value eq "g1""#, story.role("Editors"), EU),
        grants(2, r#"groups.value eq "g2""#, story.role("Operators"), EU),
        grants(3, r#"groups.value eq "g3""#, story.role(OWNER), ACME),
    ];
    let rules: Vec<_> = all.into_iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0).map(|(_, rule)| rule).collect();
    let default = if bits & 8 == 0 { vec![] } else { vec![story.role("Organization Member")] };
    json!({ "rules": rules, "default": { "roles": default, "apply": "always" } })
}

fn names_of(bits: u8) -> BTreeSet<&'static str> {
    (0..3).filter(|bit| bits & 1 << bit != 0).map(|bit| GROUPS_OF_RULES[bit]).collect()
}

async fn take(story: &Story, model: &mut Model, step: &Step) {
    match *step {
        Step::Create { at, who, with_external_id, active } => create(story, model, IDPS[at], NAMES[who], with_external_id, active).await,
        Step::Patch { at, who, title } => {
            if let Some(account) = model.live_resource(IDPS[at], NAMES[who]) {
                story.patch(IDPS[at], account, json!({ "title": title.to_string() })).await.unwrap();
            }
        }
        Step::SetActive { at, who, active } => {
            if let Some(account) = model.live_resource(IDPS[at], NAMES[who]) {
                story.patch(IDPS[at], account, json!({ "active": active })).await.unwrap();
                model.known.get_mut(&(IDPS[at], account)).unwrap().inactive = !active;
            }
        }
        Step::Delete { at, who } => {
            if let Some(account) = model.live_resource(IDPS[at], NAMES[who]) {
                story.delete(IDPS[at], account).await.unwrap();
                model.known.get_mut(&(IDPS[at], account)).unwrap().deleted = Some(true);
                for group in &mut model.groups {
                    group.members.remove(&account);
                }
                let heir = IDPS.into_iter().find(|idp| model.known.get(&(*idp, account)).is_some_and(Known::is_live));
                if let Some(heir) = heir.filter(|_| model.named_by[&account] == IDPS[at]) {
                    model.named_by.insert(account, heir);
                }
            }
        }
        Step::CreateGroup { at, name, members } => {
            let members = model.people(IDPS[at], members);
            let id = story.create_group(IDPS[at], GROUPS_OF_RULES[name], &members).await.unwrap();
            model.groups.push(Pushed { idp: IDPS[at], id, pinned: GROUPS_OF_RULES[name], members: members.into_iter().collect() });
        }
        Step::Join { slot, members } if slot < model.groups.len() => {
            let members = model.people(model.groups[slot].idp, members);
            story.join(model.groups[slot].idp, model.groups[slot].id, &members).await.unwrap();
            model.groups[slot].members.extend(members);
        }
        Step::Leave { slot, members } if slot < model.groups.len() => {
            let members = model.people(model.groups[slot].idp, members);
            story.leave(model.groups[slot].idp, model.groups[slot].id, &members).await.unwrap();
            model.groups[slot].members.retain(|member| !members.contains(member));
        }
        Step::Rename { slot, name } if slot < model.groups.len() => {
            story.rename_group(model.groups[slot].idp, model.groups[slot].id, GROUPS_OF_RULES[name]).await.unwrap();
        }
        Step::DeleteGroup { slot } if slot < model.groups.len() => {
            let group = model.groups.remove(slot);
            story.delete_group(group.idp, group.id).await.unwrap();
        }
        Step::Join { .. } | Step::Leave { .. } | Step::Rename { .. } | Step::DeleteGroup { .. } => {}
        Step::SignIn { at, who, groups } => sign_in(story, model, IDPS[at], NAMES[who], groups.map(names_of)).await,
        Step::Link { who } => {
            if let Some(account) = model.live_resource(OKTA, NAMES[who])
                && model.by_subject(ENTRA, NAMES[who]).is_none()
                && !model.known.contains_key(&(ENTRA, account))
                && model.is_live_anywhere(account)
            {
                story.link(ENTRA, account, NAMES[who]).await;
                model.known.insert((ENTRA, account), Known { name: NAMES[who], subject: true, ..Known::default() });
            }
        }
        Step::Grant { at, who, owner } => {
            if let Some(account) = model.any_account(IDPS[at], NAMES[who]) {
                let (role, place) = if owner { (OWNER, "acme") } else { ("Auditors", "acme-us") };
                assert_eq!(story.grant(account, role, place).await.unwrap(), model.manual.insert((account, owner)));
            }
        }
        Step::Revoke { at, who, owner } => {
            if let Some(account) = model.any_account(IDPS[at], NAMES[who]) {
                let (role, place) = if owner { (OWNER, "acme") } else { ("Auditors", "acme-us") };
                match story.revoke(account, role, place).await {
                    Ok(revoked) => assert_eq!(revoked, model.manual.remove(&(account, owner))),
                    Err(ProvisionError::OwnerFloor(_)) => assert!(owner && model.manual.contains(&(account, owner))),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Step::Publish { at, rules } => {
            story.publish(IDPS[at], mapping(story, rules)).await;
            model.rules.insert(IDPS[at], rules);
        }
    }
}

async fn create(story: &Story, model: &mut Model, idp: Idp, name: &'static str, with_external_id: bool, active: bool) {
    let mut body = json!({ "userName": name, "active": active });
    if with_external_id {
        body["externalId"] = json!(format!("x-{name}"));
    }
    let of_the_name = |known: &Known| known.name == name;
    // Known by a sign-in alone, of its own making: adopted. Else a tombstone of the same externalId: revived, the oldest.
    let signed_in = |known: &Known| known.deleted.is_none() && known.seen;
    let linked = model
        .known
        .iter()
        .any(|((at, account), known)| *at == idp && of_the_name(known) && signed_in(known) && model.named_by[account] != idp);
    let deleted = |known: &Known| known.deleted == Some(true) && with_external_id && known.external_id;
    let find = |heir: &dyn Fn(&Known) -> bool| {
        let mut found = model.known.iter().filter(|((at, _), known)| *at == idp && of_the_name(known) && heir(known));
        found.next().map(|((_, account), _)| *account)
    };
    let heir = find(&signed_in).or_else(|| find(&deleted));
    let is_owner = match heir {
        Some(heir) => story.held(heir).await.iter().any(|line| line.starts_with("organization owner")),
        None => false,
    };
    let outcome = story.create(idp, body).await;
    if model.live_resource(idp, name).is_some() || linked {
        assert!(matches!(outcome, Err(ProvisionError::Taken("userName"))), "{outcome:?}");
        return;
    }
    if is_owner {
        assert!(matches!(outcome, Err(ProvisionError::OwnersAccount(owner)) if Some(owner) == heir), "{outcome:?}");
        return;
    }
    let account = outcome.unwrap();
    assert!(heir.is_none_or(|heir| heir == account), "{name} was to be {heir:?} and became {account}");
    assert!(heir.is_some() || !model.named_by.contains_key(&account), "somebody new");
    for ((at, of), known) in &mut model.known {
        // The address is somebody else's now.
        if *at == idp && *of != account && known.name == name && known.deleted == Some(true) && known.seen {
            known.subject = false;
        }
    }
    let known = model.known.entry((idp, account)).or_default();
    (known.name, known.deleted, known.inactive, known.external_id) = (name, Some(false), !active, with_external_id);
    model.named_by.entry(account).or_insert(idp);
}

async fn sign_in(story: &Story, model: &mut Model, idp: Idp, name: &'static str, groups: Option<BTreeSet<&'static str>>) {
    let list: Option<Vec<&str>> = groups.as_ref().map(|names| names.iter().copied().collect());
    let outcome = story.sign_in(idp, name, list.as_deref()).await.unwrap();
    let account = match (model.by_subject(idp, name), model.live_resource(idp, name)) {
        (Some(one), Some(other)) if one != other => {
            assert!(matches!(outcome, SignIn::Refused(Refused::SubjectElsewhere(_))), "{outcome:?}");
            return;
        }
        (Some(account), _) | (None, Some(account)) => {
            let known = &model.known[&(idp, account)];
            match &outcome {
                SignIn::Refused(Refused::Deleted) => assert_eq!(known.deleted, Some(true)),
                SignIn::Refused(Refused::Inactive) => assert!(known.inactive),
                SignIn::Admitted { account: admitted, created: false } => assert!(*admitted == account && known.is_live()),
                outcome => panic!("{outcome:?}"),
            }
            account
        }
        (None, None) => {
            let SignIn::Admitted { account, created: true } = outcome else { panic!("{outcome:?}") };
            model.named_by.insert(account, idp);
            account
        }
    };
    let known = model.known.entry((idp, account)).or_default();
    if known.deleted != Some(true) {
        (known.name, known.subject, known.seen) = (name, true, true);
        if let Some(said) = groups {
            known.saml_groups = said;
        }
    }
}

/// What must be true after every step.
async fn check(story: &Story, model: &mut Model, owners_before: &mut i64) {
    let accounts: Vec<AccountId> = model.named_by.keys().copied().collect();
    let mut retained = Vec::new();
    let mut owners_of_their_own = 0;
    for account in &accounts {
        let (kept, held): (Vec<_>, Vec<_>) = story.held(*account).await.into_iter().partition(|line| line.ends_with(": retention"));
        assert_eq!(held, model.held(*account), "{account}");
        retained.extend(kept);
        owners_of_their_own += held.iter().filter(|line| line.starts_with("organization owner")).count();
        let expected = if model.is_live_anywhere(*account) { SignInStatus::Active } else { SignInStatus::Blocked };
        let row = story.account(*account).await;
        assert_eq!(row.account.status, expected);
        assert_eq!(row.profile_connection, Some(model.named_by[account].id()));
    }
    assert!(retained.len() <= 1 && (retained.is_empty() || owners_of_their_own == 0), "{retained:?} beside {owners_of_their_own}");
    let unfounded = "select count(*) from assignment a where tenant = $1 and not exists
        (select 1 from assignment_origin o where o.tenant = a.tenant and o.assignment = a.id)";
    assert_eq!(story.count(unfounded).await, 0, "every assignment has an origin");
    let homeless = "select count(*) from account a where tenant = $1 and not exists
        (select 1 from membership m where m.tenant = a.tenant and m.account = a.id)";
    assert_eq!(story.count(homeless).await, 0, "everybody belongs to an organization");
    let owners = story
        .count(
            "select count(*) from assignment a join role r on r.tenant = a.tenant and r.id = a.role and r.owner_class where a.tenant = $1",
        )
        .await;
    assert!(owners > 0 || *owners_before == 0, "the last owner assignment is gone");
    *owners_before = owners;
    for idp in IDPS {
        let live = model.known.iter().filter(|((at, _), known)| *at == idp && known.deleted == Some(false)).count();
        assert_eq!(counter::total(&story.db, story.tenant, idp.id(), USERS).await.unwrap(), i64::try_from(live).unwrap());
        let groups = model.groups.iter().filter(|group| group.idp == idp).count();
        assert_eq!(counter::total(&story.db, story.tenant, idp.id(), GROUPS).await.unwrap(), i64::try_from(groups).unwrap());
    }
    if !accounts.is_empty() {
        check_versions(story, model, &accounts).await;
    }
    let written = story.audited().await;
    for idp in IDPS {
        let again =
            async |tx: &mut db::Tx, published: &Published, occasion: &mut Occasion| remap::remap(tx, published, occasion, &accounts).await;
        story.at(idp, Actor::System, again).await.unwrap();
    }
    assert_eq!(story.audited().await, written, "a sync that runs again changes nothing");
}

/// What a permission check has kept of an account is what the account holds, for as long as the version is the same.
async fn check_versions(story: &Story, model: &mut Model, accounts: &[AccountId]) {
    let accounts = accounts.iter().copied().collect();
    let facts = db::check::read_facts(&story.db, story.tenant, &accounts, &BTreeMap::new()).await.unwrap().unwrap();
    let states = db::check::read_facts(&story.db, story.tenant, &accounts, &facts.read).await.unwrap().unwrap();
    assert_eq!(states.accounts, facts.accounts);
    let givers = facts.read.values().flat_map(|holdings| holdings.givers()).collect::<BTreeSet<_>>();
    assert_eq!(states.givers.keys().copied().collect::<BTreeSet<_>>(), givers);
    assert!(states.givers.iter().all(|(id, giver)| facts.givers.get(id) == Some(giver)));
    for (account, holdings) in &facts.read {
        for row in holdings.assignments.iter().flat_map(|held| &held.origins) {
            let idp = IDPS.into_iter().find(|idp| row.origin.connection() == Some(idp.id()));
            let dormant = idp.is_some_and(|idp| !model.known[&(idp, *account)].is_live());
            assert_eq!(row.dormant, dormant, "{account}: {row:?}");
        }
        let kept = model.kept.get(account).filter(|kept| kept.version == holdings.version);
        assert!(kept.is_none_or(|kept| kept == holdings), "{account} holds something else, and its version is the same");
    }
    model.kept = facts.read;
}

fn run(engine: Engine, steps: &[Step]) {
    Runtime::new().unwrap().block_on(async {
        let story = Story::begin(engine).await;
        let mut model = Model::default();
        for idp in IDPS {
            story.publish(idp, mapping(&story, 15)).await;
            model.rules.insert(idp, 15);
        }
        let mut owners = 0;
        for step in steps {
            take(&story, &mut model, step).await;
            check(&story, &mut model, &mut owners).await;
        }
        story.db.close().await;
    });
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(24))]
    #[test]
    fn every_history_ends_as_the_model_says(steps in vec(step(), 1..40)) {
        run(Engine::Sqlite, &steps);
    }
}

proptest! {
    #![proptest_config(config(4))]
    #[test]
    fn every_history_ends_as_the_model_says_on_postgres(steps in vec(step(), 1..30)) {
        run(Engine::Postgres, &steps);
    }
}
