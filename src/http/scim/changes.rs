//! What SCIM changes, as the core makes it.

use std::sync::Arc;

use crate::{
    db::{Tx, group::GroupRow, identity::UserRow},
    domain::{
        actor::Occasion,
        connection::Dialect,
        id::{AccountId, GroupId},
    },
    http::change::Change,
    provision::{
        Precondition, ProvisionError, Published, group,
        user::{self, Created},
    },
    scim::{
        group::{Group, GroupChange},
        patch::Patch,
        resource::User,
        schema::Schemas,
    },
};

pub struct CreateUser(pub User);

impl Change for CreateUser {
    type Outcome = Created;

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<Created, ProvisionError> {
        user::create_user(tx, published, occasion, self.0.clone()).await
    }
}

pub struct ReplaceUser {
    pub id: AccountId,
    pub precondition: Precondition,
    pub user: User,
}

impl Change for ReplaceUser {
    type Outcome = UserRow;

    fn resource(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<UserRow, ProvisionError> {
        let replace = |before: &User| self.user.clone().replacing(before);
        user::change_user(tx, published, occasion, self.id, self.precondition.clone(), replace).await
    }
}

pub struct PatchUser {
    pub id: AccountId,
    pub precondition: Precondition,
    pub patch: Patch,
    pub dialect: Dialect,
    pub schemas: Arc<Schemas>,
}

impl Change for PatchUser {
    type Outcome = UserRow;

    fn resource(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<UserRow, ProvisionError> {
        let patch = |before: &User| self.patch.apply(before, &self.schemas, self.dialect);
        user::change_user(tx, published, occasion, self.id, self.precondition.clone(), patch).await
    }
}

pub struct DeleteUser {
    pub id: AccountId,
    pub precondition: Precondition,
}

impl Change for DeleteUser {
    type Outcome = ();

    fn resource(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<(), ProvisionError> {
        user::delete_user(tx, published, occasion, self.id, self.precondition.clone()).await
    }
}

pub struct CreateGroup(pub Group);

impl Change for CreateGroup {
    type Outcome = GroupRow;

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<GroupRow, ProvisionError> {
        group::create_group(tx, published, occasion, self.0.clone()).await
    }
}

pub struct ReplaceGroup {
    pub id: GroupId,
    pub precondition: Precondition,
    pub group: Group,
}

impl Change for ReplaceGroup {
    type Outcome = GroupRow;

    fn resource(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<GroupRow, ProvisionError> {
        group::replace_group(tx, published, occasion, self.id, self.precondition.clone(), self.group.clone()).await
    }
}

pub struct ChangeGroup {
    pub id: GroupId,
    pub precondition: Precondition,
    pub change: GroupChange,
}

impl Change for ChangeGroup {
    type Outcome = GroupRow;

    fn resource(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<GroupRow, ProvisionError> {
        group::change_group(tx, published, occasion, self.id, self.precondition.clone(), self.change.clone()).await
    }
}

pub struct DeleteGroup {
    pub id: GroupId,
    pub precondition: Precondition,
}

impl Change for DeleteGroup {
    type Outcome = ();

    fn resource(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    async fn make(&self, tx: &mut Tx, published: &Published, occasion: &mut Occasion) -> Result<(), ProvisionError> {
        group::delete_group(tx, published, occasion, self.id, self.precondition.clone()).await
    }
}
