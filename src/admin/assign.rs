//! Granting and withdrawing by people: one, or up to a thousand at a time, with a preview that is the same work, not committed.

use crate::{
    db::{
        Db,
        acting::{self, Writes},
    },
    domain::{
        actor::Occasion,
        id::{AccountId, TenantId},
    },
    provision::{
        ProvisionError, PublishedCache,
        assign::{self, Outcome, Request},
        current_model,
    },
};

/// Lines of one request.
pub const LINES: usize = 1000;

/// What is done with the lines that could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Those that are refused are told, the others are written.
    Each,
    /// Nothing is written when one is refused.
    Atomic,
    /// Nothing is written.
    Preview,
}

impl Mode {
    #[must_use]
    pub fn asked(preview: bool, atomic: bool) -> Self {
        match (preview, atomic) {
            (true, _) => Self::Preview,
            (false, true) => Self::Atomic,
            (false, false) => Self::Each,
        }
    }
}

#[derive(Debug)]
pub struct Done {
    /// In the order of the lines.
    pub outcomes: Vec<Outcome>,
    pub written: bool,
}

/// Decides all lines in one transaction, each after what those before it changed. The right to each is asked line by line.
pub async fn change(
    db: &Db,
    cache: &PublishedCache,
    occasion: &mut Occasion,
    tenant: TenantId,
    requests: &[Request],
    mode: Mode,
) -> Result<Done, ProvisionError> {
    let accounts: Vec<AccountId> = requests.iter().map(|request| request.account).collect();
    let mut tx = acting::begin(db, tenant, occasion, Writes::Accounts(&accounts)).await?;
    let model = current_model(&mut tx, cache, tenant).await?;
    let decided = assign::decide(&mut tx, &model, occasion, requests).await?;
    let keeps = match mode {
        Mode::Each => true,
        Mode::Atomic => decided.refused() == 0,
        Mode::Preview => false,
    };
    if !keeps {
        return Ok(Done { outcomes: decided.outcomes, written: false });
    }
    let outcomes = decided.write(&mut tx, &model, occasion).await?;
    tx.commit().await?;
    Ok(Done { outcomes, written: true })
}
