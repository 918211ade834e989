//! The tree of organizations of one tenant: one root, at most 16 levels.

use std::collections::BTreeMap;

use super::{
    id::{OrganizationId, ScopeId},
    name::{Slug, Title},
    organization_settings::{InForce, OrganizationSettings},
};

/// The root is level 1.
pub const MAX_DEPTH: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    pub id: OrganizationId,
    /// `None` for the root alone.
    pub parent: Option<OrganizationId>,
    pub slug: Slug,
    pub name: Title,
}

/// A context or resource below an organization, in which a role can be held without reaching any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceScope {
    pub id: ScopeId,
    pub organization: OrganizationId,
    pub kind: String,
    pub name: Title,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("the organizations have {0} roots; there must be exactly one")]
    Roots(usize),
    #[error("organization {0} hangs below one that does not exist, or below itself")]
    Detached(OrganizationId),
    #[error("organization {0} lies deeper than {MAX_DEPTH} levels")]
    TooDeep(OrganizationId),
}

/// Every organization of a tenant and what lies in them; that it is a tree is checked once, when it is made.
#[derive(Debug, Clone)]
pub struct OrganizationTree {
    nodes: BTreeMap<OrganizationId, Organization>,
    by_slug: BTreeMap<String, OrganizationId>,
    root: OrganizationId,
    scopes: BTreeMap<ScopeId, ResourceScope>,
    settings: BTreeMap<OrganizationId, OrganizationSettings>,
}

/// Why an organization cannot hang where it was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    #[error("the root organization stays where it is")]
    Root,
    #[error("there is no such organization to hang it under")]
    NoParent,
    #[error("an organization cannot hang below itself")]
    BelowItself,
    #[error("it would lie deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl OrganizationTree {
    /// # Errors
    /// When the organizations are no tree with one root, or a deeper one than allowed.
    pub fn new(organizations: Vec<Organization>) -> Result<Self, TreeError> {
        let roots: Vec<_> = organizations.iter().filter(|o| o.parent.is_none()).map(|o| o.id).collect();
        let [root] = roots[..] else { return Err(TreeError::Roots(roots.len())) };
        let by_slug = organizations.iter().map(|o| (o.slug.as_str().to_owned(), o.id)).collect();
        let nodes: BTreeMap<_, _> = organizations.into_iter().map(|o| (o.id, o)).collect();
        let tree = Self { nodes, by_slug, root, scopes: BTreeMap::new(), settings: BTreeMap::new() };
        for id in tree.nodes.keys() {
            let line: Vec<_> = tree.line(*id).take(MAX_DEPTH + 1).collect();
            // One that comes twice hangs below itself.
            if let Some((_, again)) = line.iter().enumerate().find(|(at, id)| line[..*at].contains(id)) {
                return Err(TreeError::Detached(*again));
            }
            if line.len() > MAX_DEPTH {
                return Err(TreeError::TooDeep(*id));
            }
            if line.last() != Some(&root) {
                return Err(TreeError::Detached(*id));
            }
        }
        Ok(tree)
    }

    #[must_use]
    pub fn with_scopes(self, scopes: Vec<ResourceScope>) -> Self {
        Self { scopes: scopes.into_iter().map(|scope| (scope.id, scope)).collect(), ..self }
    }

    #[must_use]
    pub fn with_settings(self, settings: BTreeMap<OrganizationId, OrganizationSettings>) -> Self {
        Self { settings, ..self }
    }

    /// What the organization itself says.
    #[must_use]
    pub fn settings(&self, id: OrganizationId) -> Option<&OrganizationSettings> {
        self.settings.get(&id)
    }

    /// What holds for somebody at home there; who has no home is held to what the root says.
    #[must_use]
    pub fn in_force(&self, home: Option<OrganizationId>) -> InForce<'_> {
        let home = home.filter(|home| self.nodes.contains_key(home)).unwrap_or(self.root);
        InForce::of(self.line(home).filter_map(|id| self.settings.get(&id)))
    }

    /// Whether a new organization may hang there.
    ///
    /// # Errors
    /// With what is in the way.
    pub fn may_add(&self, parent: OrganizationId) -> Result<(), Misplaced> {
        match self.line(parent).count() {
            0 => Err(Misplaced::NoParent),
            MAX_DEPTH.. => Err(Misplaced::TooDeep),
            _ => Ok(()),
        }
    }

    /// Whether the organization may hang there with all that lies below it.
    ///
    /// # Errors
    /// With what is in the way.
    pub fn may_move(&self, id: OrganizationId, parent: OrganizationId) -> Result<(), Misplaced> {
        if id == self.root {
            return Err(Misplaced::Root);
        }
        self.may_add(parent)?;
        if self.is_within(parent, id) {
            return Err(Misplaced::BelowItself);
        }
        let own = self.line(id).count();
        let deepest = self.nodes.keys().filter(|other| self.is_within(**other, id)).map(|other| self.line(*other).count()).max();
        let levels = deepest.unwrap_or(own) - own + 1;
        if self.line(parent).count() + levels > MAX_DEPTH { Err(Misplaced::TooDeep) } else { Ok(()) }
    }

    /// The tree after a move that [`Self::may_move`] allows.
    #[must_use]
    pub fn moved(&self, id: OrganizationId, parent: OrganizationId) -> Self {
        let mut tree = self.clone();
        if let Some(organization) = tree.nodes.get_mut(&id) {
            organization.parent = Some(parent);
        }
        tree
    }

    /// What lies in the organization itself.
    pub fn scopes_of(&self, id: OrganizationId) -> impl Iterator<Item = &ResourceScope> {
        self.scopes.values().filter(move |scope| scope.organization == id)
    }

    #[must_use]
    pub fn find_scope(&self, id: ScopeId) -> Option<&ResourceScope> {
        self.scopes.get(&id)
    }

    #[must_use]
    pub fn root(&self) -> OrganizationId {
        self.root
    }

    #[must_use]
    pub fn find(&self, id: OrganizationId) -> Option<&Organization> {
        self.nodes.get(&id)
    }

    #[must_use]
    pub fn find_slug(&self, slug: &str) -> Option<&Organization> {
        self.nodes.get(self.by_slug.get(slug)?)
    }

    /// In the order of their ids, which is the order of their making.
    pub fn iter(&self) -> impl Iterator<Item = &Organization> {
        self.nodes.values()
    }

    /// The organization itself, its parent, and so on up to the root; nothing for an unknown one.
    pub fn line(&self, id: OrganizationId) -> impl Iterator<Item = OrganizationId> + '_ {
        let mut next = self.nodes.get(&id);
        std::iter::from_fn(move || {
            let here = next?;
            next = here.parent.and_then(|parent| self.nodes.get(&parent));
            Some(here.id)
        })
    }

    /// Whether `inner` is `outer` or lies anywhere below it.
    #[must_use]
    pub fn is_within(&self, inner: OrganizationId, outer: OrganizationId) -> bool {
        self.line(inner).any(|id| id == outer)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn organization(id: u128, parent: Option<u128>) -> Organization {
        Organization {
            id: OrganizationId::new(Uuid::from_u128(id)),
            parent: parent.map(|p| OrganizationId::new(Uuid::from_u128(p))),
            slug: Slug::parse(&format!("o{id}")).unwrap(),
            name: Title::parse("name", &format!("O {id}")).unwrap(),
        }
    }

    #[test]
    fn a_line_leads_to_the_root() {
        let tree = OrganizationTree::new(vec![
            organization(1, None),
            organization(2, Some(1)),
            organization(3, Some(2)),
            organization(4, Some(1)),
        ])
        .unwrap();
        let id = |n| OrganizationId::new(Uuid::from_u128(n));
        assert_eq!(tree.line(id(3)).collect::<Vec<_>>(), [id(3), id(2), id(1)]);
        assert!(tree.is_within(id(3), id(2)) && tree.is_within(id(2), id(2)));
        assert!(!tree.is_within(id(4), id(2)) && !tree.is_within(id(1), id(2)) && !tree.is_within(id(9), id(1)));
    }

    #[test]
    fn an_organization_moves_anywhere_but_below_itself_and_not_too_deep() {
        let id = |n| OrganizationId::new(Uuid::from_u128(n));
        let mut all: Vec<_> = (1..=14).map(|n| organization(n, (n > 1).then(|| n - 1))).collect();
        // 20 ── 21 ── 22, and 30 beside it.
        all.extend([organization(20, Some(1)), organization(21, Some(20)), organization(22, Some(21)), organization(30, Some(1))]);
        let tree = OrganizationTree::new(all).unwrap();
        assert_eq!(tree.may_move(id(20), id(30)), Ok(()));
        assert_eq!(tree.may_move(id(20), id(13)), Ok(()), "three levels below the thirteenth");
        assert_eq!(tree.may_move(id(20), id(14)), Err(Misplaced::TooDeep));
        assert_eq!(tree.may_move(id(21), id(14)), Ok(()));
        assert_eq!(tree.may_move(id(20), id(20)), Err(Misplaced::BelowItself));
        assert_eq!(tree.may_move(id(20), id(22)), Err(Misplaced::BelowItself));
        assert_eq!(tree.may_move(id(1), id(30)), Err(Misplaced::Root));
        assert_eq!(tree.may_move(id(20), id(99)), Err(Misplaced::NoParent));
        assert_eq!(tree.may_add(id(14)), Ok(()));
        let chain = OrganizationTree::new((1..=16).map(|n| organization(n, (n > 1).then(|| n - 1))).collect()).unwrap();
        assert_eq!(chain.may_add(id(16)), Err(Misplaced::TooDeep));
        assert_eq!(chain.may_add(id(15)), Ok(()));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        assert_eq!(OrganizationTree::new(vec![]).unwrap_err(), TreeError::Roots(0));
        assert_eq!(OrganizationTree::new(vec![organization(1, None), organization(2, None)]).unwrap_err(), TreeError::Roots(2));
        assert!(OrganizationTree::new(vec![organization(1, None), organization(2, Some(9))]).is_err());
        assert!(OrganizationTree::new(vec![organization(1, None), organization(2, Some(3)), organization(3, Some(2))]).is_err());
        let chain = |depth: u128| (1..=depth).map(|n| organization(n, (n > 1).then(|| n - 1))).collect();
        assert!(OrganizationTree::new(chain(16)).is_ok());
        assert!(OrganizationTree::new(chain(17)).is_err());
    }
}
