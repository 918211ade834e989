//! Whatever is done to a signed message, only what was signed is accepted.

use std::sync::LazyLock;

use super::sides::{PINNED, edited, responses, verify};

static MESSAGES: LazyLock<Vec<String>> = LazyLock::new(responses);

/// The first byte chooses the message, the rest spells the edits.
pub fn run(input: &[u8]) {
    let Some((which, script)) = input.split_first() else { return };
    let message = &MESSAGES[usize::from(*which) % MESSAGES.len()];
    if let Ok(accepted) = verify(&edited(message, script), &*PINNED) {
        assert_eq!(Ok(accepted), verify(message.as_bytes(), &*PINNED));
    }
}
