//! The part of a plan that concerns organizations: where they hang, and which vanished from the file.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Change, PlanError, Planner, differences, mapping};
use crate::{
    admin::{
        current::Current,
        tenant_file::{At, FileError, OrganizationEntry, Place},
    },
    domain::{
        id::OrganizationId,
        name::Slug,
        organization::{MAX_DEPTH, Organization, OrganizationTree, TreeError},
    },
};

impl Planner<'_> {
    /// Parents before children, in whatever order the file has them.
    pub(super) fn organizations(&mut self) -> Result<OrganizationTree, PlanError> {
        let mut waiting: Vec<_> = self.file.organizations.iter().collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut still = Vec::new();
            for entry in waiting {
                let later = self.file.organizations.iter().any(|other| other.slug.value == entry.parent.value)
                    && !self.organizations.iter().any(|known| known.slug == entry.parent.value);
                if later { still.push(entry) } else { self.organization(entry)? }
            }
            waiting = still;
            if waiting.len() == before {
                return Err(waiting[0].parent.place.refuse("the organizations hang below one another in a circle").into());
            }
        }
        let tree = OrganizationTree::new(self.organizations.clone());
        tree.map_err(|error| self.misplaced(error).into())
    }

    /// Where the file says what makes it no tree.
    fn misplaced(&self, error: TreeError) -> FileError {
        let (TreeError::Detached(id) | TreeError::TooDeep(id)) = error else { return self.file.tenant.slug.place.refuse(error) };
        let slug = self.organizations.iter().find(|organization| organization.id == id).map(|organization| &organization.slug);
        match self.file.organizations.iter().find(|entry| Some(&entry.slug.value) == slug) {
            None => self.file.tenant.slug.place.refuse(error),
            Some(entry) if matches!(error, TreeError::TooDeep(_)) => {
                entry.parent.place.refuse(format!("{} would lie deeper than {MAX_DEPTH} levels", entry.slug.value))
            }
            Some(entry) => {
                let (slug, parent) = (&entry.slug.value, &entry.parent.value);
                entry.parent.place.refuse(format!("{slug} would hang below itself: {parent} hangs below it"))
            }
        }
    }

    fn organization(&mut self, entry: &OrganizationEntry) -> Result<(), PlanError> {
        let parent = find_organization(&self.organizations, &entry.parent)?;
        match self.organizations.iter_mut().find(|known| known.slug == entry.slug.value) {
            None => {
                let organization =
                    Organization { id: self.ids.make(), parent: Some(parent), slug: entry.slug.value.clone(), name: entry.name.clone() };
                self.organizations.push(organization.clone());
                self.changes.push(Change::CreateOrganization { organization });
            }
            Some(known) => {
                let slug_of = |id: Option<OrganizationId>| {
                    let rows = self.current.map(|current| &current.organizations[..]).unwrap_or_default();
                    rows.iter().find(|row| Some(row.organization.id) == id).map(|row| row.organization.slug.to_string())
                };
                let before = json!({ "name": known.name, "parent": slug_of(known.parent) });
                let after = json!({ "name": entry.name, "parent": entry.parent.value });
                let what = if known.parent == Some(parent) && known.name == entry.name { Vec::new() } else { differences(&before, &after) };
                if what.is_empty() {
                    return Ok(());
                }
                let made_here = self
                    .current
                    .is_some_and(|current| current.organizations.iter().any(|row| row.organization.id == known.id && row.from_file));
                if !made_here {
                    return Err(entry
                        .slug
                        .place
                        .refuse("there is an organization of this slug that no file made: take another slug")
                        .into());
                }
                known.parent = Some(parent);
                known.name.clone_from(&entry.name);
                self.changes.push(Change::UpdateOrganization { organization: known.clone(), what });
            }
        }
        Ok(())
    }

    pub(super) fn delete_organization(
        &mut self,
        current: &Current,
        organization: &Organization,
        gone: &BTreeSet<OrganizationId>,
    ) -> Result<(), PlanError> {
        let id = organization.id;
        let stays = |why: &str| Err(PlanError::Stays(format!("organization {} vanished from the file, but {why}", organization.slug)));
        // Where the file lists a child, the file says where it hangs.
        let hangs_here = |child: &Organization| {
            let listed = self.file.organizations.iter().find(|entry| entry.slug.value == child.slug);
            listed.map_or(child.parent == Some(id), |entry| entry.parent.value == organization.slug)
        };
        if self.organizations.iter().any(|child| hangs_here(child) && !gone.contains(&child.id)) {
            return stays("others hang below it; move or remove those first");
        }
        if current.occupied.contains(&id) {
            return stays(
                "something is there: accounts, assignments, contexts, local groups, domains, connections enabled for it or application tokens; move or remove it first",
            );
        }
        if current.connections.iter().any(|row| row.connection.organization == id) {
            return stays("a connection belongs to it; move that to another organization first");
        }
        let by_hand = current.connections.iter().filter(|row| !row.from_file);
        for row in by_hand {
            if current.mappings.get(&row.connection.id).is_some_and(|mapping| mapping::names_organization(mapping, id)) {
                return stays(&format!("the mapping of the connection {} names it", row.connection.slug));
            }
        }
        self.withdrawals.push(Change::DeleteOrganization { organization: id, slug: organization.slug.clone() });
        Ok(())
    }
}

pub(super) fn find_organization(organizations: &[Organization], slug: &At<Slug>) -> Result<OrganizationId, FileError> {
    let found = organizations.iter().find(|organization| organization.slug == slug.value);
    found.map(|organization| organization.id).ok_or_else(|| unknown_organization(&slug.place, slug.value.as_str()))
}

pub(super) fn unknown_organization(place: &Place, slug: &str) -> FileError {
    place.refuse(format!("there is no organization {slug:?}; list it under [[organizations]]"))
}
