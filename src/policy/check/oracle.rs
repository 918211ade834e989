//! The check against a second decision, written from ROLE-MODEL's words alone: sets of pairs spelled out, parents in a list, no tree,
//! no catalogue, no verdicts. Worlds are random.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Decision, Holder, Question, decide};
use crate::{
    domain::{
        account::SignInStatus,
        assignment::{Assignment, Holding, Reach},
        catalogue::{Catalogue, Entity, Permission},
        model::{Gate, RoleModel, Settings},
        name::{Slug, Title},
        organization::{Organization, OrganizationTree, ResourceScope},
        role::Role,
    },
    policy::{
        fixture::{by_hand, custom_role, id},
        preset::Preset,
    },
};

const ACTIONS: [&str; 3] = ["read", "write", "export"];
const KINDS: [&str; 3] = ["organization", "context", "resource"];
const SELECTORS: [&str; 12] =
    ["*:*", "*:read", "*:write", "e0:*", "e0:read", "e1:*", "e1:write", "e2:read", "e2:*", "e3:export", "e3:read", "e4:*"];
const ENTITIES: usize = 5;
const ROLES: usize = 4;
const ORGANIZATIONS: usize = 7;
const SCOPES: usize = 4;

#[derive(Debug, Clone)]
struct Thing {
    actions: usize,
    kind: usize,
    sensitive: bool,
}

#[derive(Debug, Clone)]
struct Held {
    /// One more than there are: a role that is gone.
    role: usize,
    organization: usize,
    scope: Option<usize>,
    subtree: bool,
}

#[derive(Debug, Clone)]
struct World {
    /// Named `e0`, `e1`, …; each has the first so many actions.
    entities: Vec<Thing>,
    /// Which selectors each has, and whether it is of the owner class.
    roles: Vec<(Vec<usize>, bool)>,
    /// Of each organization but the root: a number below its own.
    parents: Vec<usize>,
    /// Organization and kind (1 or 2) of each.
    scopes: Vec<(usize, usize)>,
    gate: Option<(usize, usize)>,
    owner_only: Vec<usize>,
    root_only: Vec<usize>,
    active: bool,
    held: Vec<Held>,
}

#[derive(Debug, Clone)]
struct Asked {
    entity: usize,
    action: usize,
    organization: usize,
    scope: Option<usize>,
}

fn world() -> impl Strategy<Value = World> {
    let few = |n| proptest::collection::vec(0..SELECTORS.len(), 0..n);
    let thing = (1..=ACTIONS.len(), prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(2)], prop::bool::weighted(0.3))
        .prop_map(|(actions, kind, sensitive)| Thing { actions, kind, sensitive });
    let held = (0..=ROLES, 0..ORGANIZATIONS, proptest::option::weighted(0.3, 0..SCOPES), any::<bool>())
        .prop_map(|(role, organization, scope, subtree)| Held { role, organization, scope, subtree });
    let parents = (1..ORGANIZATIONS).map(|n| 0..n).collect::<Vec<_>>();
    (
        proptest::collection::vec(thing, ENTITIES),
        proptest::collection::vec((proptest::collection::vec(0..SELECTORS.len(), 1..4), prop::bool::weighted(0.2)), ROLES),
        parents,
        proptest::collection::vec((0..ORGANIZATIONS, 1..3_usize), SCOPES),
        proptest::option::weighted(0.4, (0..SELECTORS.len(), 0..ENTITIES)),
        (few(3), few(3)),
        prop::bool::weighted(0.9),
        proptest::collection::vec(held, 0..6),
    )
        .prop_map(|(entities, roles, parents, scopes, gate, (owner_only, root_only), active, held)| {
            // What is held in a scope is held at its organization.
            let held = held.into_iter().map(|held| Held { organization: held.scope.map_or(held.organization, |s| scopes[s].0), ..held });
            World { entities, roles, parents, held: held.collect(), scopes, gate, owner_only, root_only, active }
        })
}

fn asked() -> impl Strategy<Value = Asked> {
    // One more than there are, of each: what does not exist.
    (0..=ENTITIES, 0..=ACTIONS.len(), 0..=ORGANIZATIONS, proptest::option::weighted(0.4, 0..=SCOPES))
        .prop_map(|(entity, action, organization, scope)| Asked { entity, action, organization, scope })
}

/// The pairs that a selector names in this world.
fn spelled_out(world: &World, selector: usize) -> BTreeSet<(usize, usize)> {
    let (entity, action) = SELECTORS[selector].split_once(':').unwrap();
    let mut pairs = BTreeSet::new();
    for (e, thing) in world.entities.iter().enumerate() {
        for (a, name) in ACTIONS.iter().enumerate().take(thing.actions) {
            let named = (entity == "*" || entity == format!("e{e}")) && (action == "*" || action == *name);
            // "Entities marked sensitive are left out of *:read", and of its likes.
            if named && !(thing.sensitive && entity == "*" && action != "*") {
                pairs.insert((e, a));
            }
        }
    }
    pairs
}

fn all_of(world: &World, selectors: &[usize]) -> BTreeSet<(usize, usize)> {
    selectors.iter().flat_map(|selector| spelled_out(world, *selector)).collect()
}

fn allows(world: &World, held: &Held, asked: &Asked) -> bool {
    let Some((selectors, owner)) = world.roles.get(held.role) else { return false };
    let mut above = vec![asked.organization];
    while let Some(last) = above.last().copied().filter(|last| *last > 0) {
        above.push(world.parents[last - 1]);
    }
    let reaches = match held.scope {
        Some(scope) => asked.scope == Some(scope),
        None if held.subtree => above.contains(&held.organization),
        None => held.organization == asked.organization,
    };
    let pair = (asked.entity, asked.action);
    let has = all_of(world, selectors);
    let awake = world.gate.is_none_or(|(requires, guards)| {
        let required = spelled_out(world, requires);
        guards != asked.entity || (!required.is_empty() && required.is_subset(&has))
    });
    reaches
        && has.contains(&pair)
        && awake
        && (*owner || !all_of(world, &world.owner_only).contains(&pair))
        && (held.organization == 0 || !all_of(world, &world.root_only).contains(&pair))
        && (held.scope.is_some() || world.entities[asked.entity].kind != 2)
}

fn makes_sense(world: &World, asked: &Asked) -> bool {
    let Some(thing) = world.entities.get(asked.entity) else { return false };
    let scope_fits = match asked.scope {
        None => thing.kind == 0,
        Some(scope) => {
            world.scopes.get(scope).is_some_and(|(at, kind)| *at == asked.organization && (thing.kind == 0 || thing.kind == *kind))
        }
    };
    asked.action < thing.actions && asked.organization < ORGANIZATIONS && scope_fits
}

fn oracle(world: &World, asked: &Asked) -> bool {
    world.active && makes_sense(world, asked) && world.held.iter().any(|held| allows(world, held, asked))
}

fn place(number: usize) -> u128 {
    1000 + number as u128
}

fn scope(number: usize) -> u128 {
    2000 + number as u128
}

fn role(number: usize) -> u128 {
    3000 + number as u128
}

fn permission(selector: usize) -> Permission {
    Permission::parse(SELECTORS[selector]).unwrap()
}

fn model(world: &World) -> RoleModel {
    let title = |text: String| Title::parse("name", &text).unwrap();
    let entities = world.entities.iter().enumerate().map(|(n, thing)| Entity {
        key: format!("e{n}"),
        name: format!("e{n}"),
        category: String::new(),
        description: String::new(),
        actions: ACTIONS[..thing.actions].iter().map(|action| (*action).to_owned()).collect(),
        opens: std::collections::BTreeMap::new(),
        scope_kind: KINDS[thing.kind].to_owned(),
        labels: std::collections::BTreeMap::new(),
        sensitive: thing.sensitive,
    });
    let organizations = (0..ORGANIZATIONS).map(|n| Organization {
        id: id(place(n)),
        parent: (n > 0).then(|| id(place(world.parents[n - 1]))),
        slug: Slug::parse(&format!("o{n}")).unwrap(),
        name: title(format!("o{n}")),
    });
    let scopes = world.scopes.iter().enumerate().map(|(n, (at, kind))| ResourceScope {
        id: id(scope(n)),
        organization: id(place(*at)),
        kind: KINDS[*kind].to_owned(),
        name: title(format!("s{n}")),
    });
    let roles = world.roles.iter().enumerate().map(|(n, (selectors, owner_class))| Role {
        owner_class: *owner_class,
        permissions: selectors.iter().copied().map(permission).collect(),
        ..custom_role(role(n), &format!("r{n}"), &["*:*"])
    });
    let settings = Settings {
        gate: world.gate.map(|(requires, guards)| Gate { requires: permission(requires), guards: vec![format!("e{guards}")] }),
        owner_only: world.owner_only.iter().copied().map(permission).collect(),
        root_only_actions: world.root_only.iter().copied().map(permission).collect(),
        ..Preset::find("org-admin").unwrap().settings.clone()
    };
    let tree = OrganizationTree::new(organizations.collect()).unwrap().with_scopes(scopes.collect());
    RoleModel::new(id(9), 1, settings, tree, Catalogue::new(entities.collect()), roles.collect())
}

fn assignments(world: &World) -> Vec<Assignment> {
    by_hand(world.held.iter().map(|held| Holding {
        role: id(role(held.role)),
        organization: id(place(held.organization)),
        resource_scope: held.scope.map(|number| id(scope(number))),
        reach: if held.subtree { Reach::Subtree } else { Reach::Organization },
    }))
}

proptest! {
    #[test]
    fn the_check_and_the_oracle_agree(world in world(), questions in proptest::collection::vec(asked(), 1..20)) {
        let (model, assignments) = (model(&world), assignments(&world));
        let status = if world.active { SignInStatus::Active } else { SignInStatus::Blocked };
        for asked in questions {
            let (entity, action) = (format!("e{}", asked.entity), ACTIONS.get(asked.action).unwrap_or(&"fly"));
            let question = Question {
                entity: &entity,
                action,
                organization: id(place(asked.organization)),
                resource_scope: asked.scope.map(|number| id(scope(number))),
            };
            let decision = decide(&model, Some(Holder { status, assignments: &assignments }), &question);
            prop_assert_eq!(decision.is_allowed(), oracle(&world, &asked), "{:?} {:?}", asked, decision);
            if let Decision::Allowed(because) = decision {
                // The assignment that is named is reason enough alone.
                let alone = Some(Holder { status, assignments: std::slice::from_ref(because) });
                prop_assert!(decide(&model, alone, &question).is_allowed());
            }
        }
    }
}
