//! Random histories of people who are no owners: an act gives no account a permission that the actor did not have.
//!
//! Several accounts may belong to one person, so each act is compared with what its account had before. The tests read the rights of accounts
//! from the permission check, not from the ceiling.

use std::cell::Cell;

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

use super::*;
use crate::{
    domain::{
        assignment::{Assignment, Origin, OriginRow},
        catalogue::{Catalogue, Entity},
        id::OrganizationId,
        time::Timestamp,
    },
    policy::{
        access::{Target, opening, opens},
        action::{CreateRoles, UpdateRoles},
        assigning::{Assignee, Coming, authorize_auto_assign, authorize_grant},
        fixture::{EU, EU_WEST, ROOT, US, by_hand, custom_role, holding, id, person, tenant},
        managed::{Extent, manages},
        permission::{acts_at, holds},
        places::authorize_for_tenant,
        preset::Preset,
        role_change::{self, Draft},
    },
};

const PLACES: [u128; 4] = [ROOT, EU, US, EU_WEST];
const ACCOUNTS: usize = 5;
const SHOP: u128 = 600;

#[derive(Debug, Clone)]
struct Wanted {
    permissions: Vec<Index>,
    manages: u8,
    comes: bool,
}

#[derive(Debug, Clone)]
enum Act {
    Grant {
        role: Index,
        to: usize,
        at: usize,
        wide: bool,
        may_delegate: bool,
    },
    Create(Wanted),
    Edit {
        role: Index,
        wanted: Wanted,
    },
    Clone(Index),
    /// A new account joins an organization.
    Join(usize),
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (proptest::collection::vec(any::<Index>(), 1..4), any::<u8>(), prop::bool::weighted(0.2))
        .prop_map(|(permissions, manages, comes)| Wanted { permissions, manages, comes })
}

fn act() -> impl Strategy<Value = Act> {
    let grant = (any::<Index>(), 0..ACCOUNTS, 0..PLACES.len(), any::<bool>(), prop::bool::weighted(0.3));
    prop_oneof![
        6 => grant.prop_map(|(role, to, at, wide, may_delegate)| Act::Grant { role, to, at, wide, may_delegate }),
        2 => wanted().prop_map(Act::Create),
        3 => (any::<Index>(), wanted()).prop_map(|(role, wanted)| Act::Edit { role, wanted }),
        1 => any::<Index>().prop_map(Act::Clone),
        1 => (0..PLACES.len()).prop_map(Act::Join),
    ]
}

/// The pairs that an account may use, each with its place, whether it is in a context, and for pairs over accounts the target.
type Power = BTreeSet<(String, OrganizationId, bool, Option<String>)>;

#[derive(Debug, Clone)]
struct World {
    model: RoleModel,
    accounts: Vec<Vec<Assignment>>,
    /// The roles of the beginning. Their holders are the targets of pairs over accounts.
    probes: Vec<RoleId>,
    next: u128,
}

/// Returns every pair and every selector of a preset, for the roles of the tests.
fn pool(model: &RoleModel) -> Vec<String> {
    let pairs = model.catalogue.iter().flat_map(|entity| {
        entity.actions.iter().map(String::as_str).chain(["*"]).map(|action| format!("{}:{action}", entity.key)).collect::<Vec<_>>()
    });
    let all: Vec<String> = pairs.chain(["*:read".to_owned(), "*:*".to_owned()]).collect();
    // They come as often as all others together. A history in which nobody may do anything shows nothing.
    let frequent = administration(model);
    let more = frequent.iter().cycle().take(if frequent.is_empty() { 0 } else { all.len() }).cloned().collect::<Vec<_>>();
    all.into_iter().chain(more).collect()
}

/// Returns the selectors with which people grant and edit roles.
fn administration(model: &RoleModel) -> Vec<String> {
    let capabilities = [Capability::AssignmentsGrant, Capability::RolesUpdate, Capability::RolesCreate];
    let entities: BTreeSet<&str> = capabilities.iter().flat_map(|capability| delegable(model, *capability)).collect();
    entities.into_iter().map(|entity| format!("{entity}:*")).collect()
}

/// Returns the entities with a pair that opens the capability for others than owners.
fn delegable(model: &RoleModel, capability: Capability) -> Vec<&str> {
    let owners = |entity: &str, action: &str| model.settings.owner_only.iter().any(|pair| model.catalogue.covers(pair, entity, action));
    opening(model, capability).filter(|(entity, action)| !owners(entity, action)).map(|(entity, _)| entity).collect()
}

impl World {
    fn new(preset: &str, roles: &[Wanted], held: &[(Index, usize, usize, bool)]) -> Self {
        let mut plain = tenant(preset, vec![]);
        open_the_rest(&mut plain);
        let pool = pool(&plain);
        let custom = roles.iter().zip(900..).map(|(wanted, number)| {
            let texts: Vec<&str> = wanted.permissions.iter().map(|index| index.get(&pool).as_str()).collect();
            let managed =
                [ManagedRoles::All, ManagedRoles::Only(vec!["@none".into(), id::<crate::domain::id::kind::Role>(901).to_string()])];
            let managed_roles = managed[usize::from(wanted.manages % 2)].clone();
            let owner_named = if wanted.manages.is_multiple_of(5) { managed_roles.entries() } else { BTreeSet::new() };
            Role { managed_roles, owner_named, ..custom_role(number, &format!("Role {number}"), &texts) }
        });
        let texts = administration(&plain);
        let administrators = custom_role(899, "Administrators", &texts.iter().map(String::as_str).collect::<Vec<_>>());
        let mut model = tenant(preset, custom.chain([administrators]).collect());
        model.settings.custom_roles = true;
        open_the_rest(&mut model);
        let givable: Vec<RoleId> =
            model.roles().filter(|role| !role.owner_class && role.scope_kind.is_none()).map(|role| role.id).collect();
        let mut accounts = vec![Vec::new(); ACCOUNTS];
        accounts[0] = by_hand([holding(id(899), ROOT)]);
        for (role, account, at, wide) in held {
            let reach = if *wide { Reach::Subtree } else { Reach::Organization };
            let held = Holding { reach, ..holding(*role.get(&givable), PLACES[*at]) };
            accounts[*account].extend(by_hand([held]));
        }
        let probes = model.roles().map(|role| role.id).collect();
        Self { model, accounts, probes, next: 2000 }
    }

    fn actor(&self, account: usize) -> Actor {
        let Actor::Account(actor) = person(self.accounts[account].clone()) else { panic!("a person was expected") };
        Actor::Account(AccountActor { account: id(3000 + account as u128), ..actor })
    }

    fn power(&self, held: &[Assignment]) -> Power {
        let mut power = Power::new();
        let everything = Permission::parse("*:*").unwrap();
        for (entity, action) in self.model.catalogue.resolve(&everything) {
            for at in PLACES {
                let places = [(at, None), (at, Some(id(SHOP)))];
                for (at, scope) in places.into_iter().filter(|(at, scope)| scope.is_none() || *at == EU) {
                    if holds(&self.model, held, &entity.key, action, id(at), scope).is_some() {
                        power.insert((format!("{}:{action}", entity.key), id(at), scope.is_some(), None));
                    }
                }
                power.extend(self.managed(held, entity, action, id(at)));
            }
        }
        power
    }

    /// Returns the accounts that may be changed: one without a role (`@none`), and one with each role of the beginning.
    fn managed(&self, held: &[Assignment], entity: &Entity, action: &str, at: OrganizationId) -> Power {
        let over = entity.opens.get(action).into_iter().flatten().filter(|capability| capability.is_done_to_accounts());
        let model = &self.model;
        let may = |capability: Capability, target: &[Assignment]| {
            let target = Target { assignments: target, groups: &BTreeSet::new() };
            let mut acting =
                held.iter().filter(|held| acts_at(model, held, at, None) && opens(model, held, capability) == Verdict::Allowed);
            acting.any(|held| manages(model, held, Extent::At(at), &target, &BTreeSet::new()))
        };
        let mut power = Power::new();
        for capability in over {
            let key = |whom: String| (format!("{}:{action}", entity.key), at, false, Some(whom));
            power.extend(may(*capability, &[]).then(|| key("@none".to_owned())));
            for probe in &self.probes {
                let target = by_hand([Holding { role: *probe, organization: at, resource_scope: None, reach: Reach::Organization }]);
                power.extend(may(*capability, &target).then(|| key(probe.to_string())));
            }
        }
        power
    }

    /// Returns what an account may do, with everything that it may grant because an owner named it.
    fn power_with_named(&self, account: usize) -> Power {
        let mut held = self.accounts[account].clone();
        let mut seen = BTreeSet::new();
        while let Some(found) = held.iter().find_map(|assignment| {
            let role = self.model.role(assignment.holding.role)?;
            let grants = opens(&self.model, assignment, Capability::AssignmentsGrant) == Verdict::Allowed;
            let named = role.owner_named.iter().filter(|_| grants).filter_map(|key| RoleId::parse(key).ok());
            let holdings = named.map(|role| Holding { role, ..assignment.holding });
            holdings.filter(|holding| self.model.role(holding.role).is_some_and(|role| !role.owner_class)).find(|new| !seen.contains(new))
        }) {
            seen.insert(found);
            held.extend(by_hand([found]));
        }
        self.power(&held)
    }

    fn everybodys(&self, power: impl Fn(usize) -> Power) -> Power {
        (0..self.accounts.len()).flat_map(power).collect()
    }

    fn replace_role(&mut self, role: &Role) {
        let roles = self.model.roles().filter(|known| known.id != role.id).cloned().chain([role.clone()]).collect();
        let model = &self.model;
        self.model = RoleModel::new(
            model.tenant,
            model.version + 1,
            model.settings.clone(),
            model.organizations.clone(),
            model.catalogue.clone(),
            roles,
        );
    }

    fn draft(&self, wanted: &Wanted, name: Option<String>) -> Draft {
        let pool = pool(&self.model);
        let some = self.probes.iter().rev().take(2).map(ToString::to_string).chain(["@none".to_owned()]).collect();
        Draft {
            name,
            permissions: Some(wanted.permissions.iter().map(|index| index.get(&pool).clone()).collect()),
            managed_roles: [None, Some(ManagedRoles::All), Some(ManagedRoles::Only(some))][usize::from(wanted.manages % 3)].clone(),
            auto_assign_on_join: Some(wanted.comes),
            ..Draft::default()
        }
    }

    fn may_come(actor: &Actor, model: &RoleModel, before: Option<&Role>, after: &Role) -> Result<(), String> {
        if !after.auto_assign_on_join || before == Some(after) {
            return Ok(());
        }
        let coming = if before.is_some_and(|role| role.auto_assign_on_join) { Coming::AsBefore } else { Coming::Anew };
        authorize_auto_assign(actor, model, after, coming).map(drop).map_err(|denied| denied.code().to_owned())
    }

    /// Makes the decisions of the use cases in their order. The error is the code of the refusal.
    fn act(&mut self, account: usize, act: &Act) -> Result<(), String> {
        let (actor, model) = (self.actor(account), self.model.clone());
        let denied = |denied: Denied| denied.code().to_owned();
        let refused = |refusal: role_change::RoleRefusal| refusal.code().to_owned();
        self.next += 1;
        let new = id(self.next);
        match act {
            Act::Grant { role, to, at, wide, may_delegate } => {
                let roles: Vec<RoleId> = model.roles().map(|role| role.id).collect();
                let reach = if *wide { Reach::Subtree } else { Reach::Organization };
                let given = Holding { reach, ..holding(*role.get(&roles), PLACES[*at]) };
                if model.role(given.role).is_some_and(|role| role.scope_kind.is_some()) || (*may_delegate && !model.settings.delegation) {
                    return Err("not_eligible".to_owned());
                }
                let nobodys = BTreeSet::new();
                let target = Target { assignments: &self.accounts[*to], groups: &nobodys };
                let assignee = Assignee { account: Some(id(3000 + *to as u128)), home: Some(id(PLACES[*at])), target };
                authorize_grant(&actor, &model, &given, &assignee, &nobodys).map_err(denied)?;
                let origin = OriginRow {
                    origin: Origin::Manual { by: None },
                    since: Timestamp::from_millis(0),
                    may_delegate: *may_delegate,
                    dormant: false,
                };
                self.accounts[*to].push(Assignment { id: id(self.next), account: id(40), holding: given, origins: vec![origin] });
            }
            Act::Create(wanted) => {
                authorize_for_tenant::<CreateRoles>(&actor, &model).map_err(denied)?;
                let draft = self.draft(wanted, Some(format!("New {}", self.next)));
                let mut role = role_change::create(&model, &draft, new).map_err(refused)?;
                role.owner_named = role_change::owner_named(&BTreeSet::new(), &role, &draft, is_owner_of_tenant(&actor, &model));
                Self::may_come(&actor, &model, None, &role)?;
                self.replace_role(&role);
            }
            Act::Edit { role, wanted } => {
                authorize_for_tenant::<UpdateRoles>(&actor, &model).map_err(denied)?;
                let roles: Vec<&Role> = model.roles().collect();
                let before = *role.get(&roles);
                let draft = self.draft(wanted, None);
                let mut after = role_change::edit(&model, before, &draft).map_err(refused)?;
                after.owner_named = role_change::owner_named(&before.owner_named, &after, &draft, is_owner_of_tenant(&actor, &model));
                role_change::may_widen(&actor, &model, before, &after).map_err(refused)?;
                Self::may_come(&actor, &model, Some(before), &after)?;
                let held = self.accounts.iter().flatten().map(|held| held.holding).filter(|held| held.role == before.id);
                let named = model.roles().any(|role| role.owner_named.contains(&before.id.to_string()));
                let anywhere = (named || before.auto_assign_on_join).then(|| everywhere(&model, before.id));
                let places = held.chain(anywhere).collect();
                check_widening(&actor, &model, before, &after, &places).map_err(denied)?;
                self.replace_role(&after);
            }
            Act::Clone(role) => {
                authorize_for_tenant::<CreateRoles>(&actor, &model).map_err(denied)?;
                let roles: Vec<&Role> = model.roles().collect();
                let original: &Role = role.get::<&Role>(&roles);
                self.replace_role(&role_change::clone(&model, original, None, new).map_err(refused)?.role);
            }
            Act::Join(at) => {
                let coming = model.roles().filter(|role| role.auto_assign_on_join && !role.owner_class);
                let held = coming.map(|role| Holding { reach: model.settings.default_reach, ..holding(role.id, PLACES[*at]) });
                self.accounts.push(by_hand(held));
            }
        }
        Ok(())
    }

    /// One more action of every entity, and one more entity.
    fn grow(&mut self) {
        let more =
            |entity: &Entity| Entity { actions: entity.actions.iter().cloned().chain(["added".to_owned()]).collect(), ..entity.clone() };
        let new = self.model.catalogue.iter().next().map(|entity| Entity {
            key: "added_entity".to_owned(),
            scope_kind: "organization".to_owned(),
            sensitive: false,
            ..more(entity)
        });
        self.model.catalogue = Catalogue::new(self.model.catalogue.iter().map(more).chain(new).collect());
    }
}

/// Adds an entity that opens what the preset leaves to owners, so that others can act in every preset.
fn open_the_rest(model: &mut RoleModel) {
    let missing = [Capability::AssignmentsGrant, Capability::RolesCreate, Capability::RolesUpdate, Capability::RolesDelete];
    let missing: Vec<Capability> = missing.into_iter().filter(|capability| delegable(model, *capability).is_empty()).collect();
    let entity = Entity {
        key: "administration".to_owned(),
        name: "Administration".to_owned(),
        category: "General".to_owned(),
        description: String::new(),
        actions: vec!["read".to_owned(), "do".to_owned()],
        opens: [("do".to_owned(), missing)].into(),
        scope_kind: "organization".to_owned(),
        labels: std::collections::BTreeMap::new(),
        sensitive: false,
    };
    model.catalogue = Catalogue::new(model.catalogue.iter().cloned().chain([entity]).collect());
}

#[test]
fn nobody_gains_by_the_acts_of_others_what_they_did_not_have() {
    for preset in Preset::all() {
        let (done, beyond) = (Cell::new(0), Cell::new(0));
        let held = (any::<Index>(), 0..ACCOUNTS, 0..PLACES.len(), prop::bool::weighted(0.7));
        let history = (
            proptest::collection::vec(wanted(), 2..5),
            proptest::collection::vec(held, 2..7),
            proptest::collection::vec((0..ACCOUNTS, act()), 1..25),
        );
        let mut runner = TestRunner::new(Config { cases: 48, ..Config::default() });
        let outcome = runner.run(&history, |(roles, held, acts)| {
            let mut world = World::new(&preset.key, &roles, &held);
            let begin = world.clone();
            for (account, act) in &acts {
                let before = world.clone();
                match world.act(*account, act) {
                    Ok(()) => done.set(done.get() + 1),
                    Err(why) => {
                        beyond.set(beyond.get() + usize::from(why == "beyond_own_rights"));
                        continue;
                    }
                }
                if matches!(act, Act::Join(_)) {
                    continue;
                }
                let had = before.power_with_named(*account);
                for (other, held) in before.accounts.iter().enumerate() {
                    let gained = &world.power(&world.accounts[other]) - &before.power(held);
                    let more: Vec<_> = gained.difference(&had).take(5).collect();
                    prop_assert!(more.is_empty(), "{act:?} by {account} gave {other} {more:?}");
                }
            }
            let (mut then, mut now) = (begin, world);
            for _ in 0..2 {
                let all = then.everybodys(|account| then.power_with_named(account));
                let more: Power = &now.everybodys(|account| now.power(&now.accounts[account])) - &all;
                prop_assert!(more.is_empty(), "none of them had {:?}", more.iter().take(5).collect::<Vec<_>>());
                then.grow();
                now.grow();
            }
            Ok(())
        });
        outcome.unwrap();
        assert!(done.get() > 0 && beyond.get() > 0, "{}: {} acts, {} beyond", preset.key, done.get(), beyond.get());
    }
}
