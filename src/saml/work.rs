//! What judging a message costs, counted where it is done: so that tests can bound it and logs can show it. Counts belong to the thread,
//! on which a message is judged from its first byte to its last.

use std::cell::Cell;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes that our own reader went through, each pass by itself.
    pub bytes: usize,
    /// Tags, attributes and stretches of text that it met.
    pub nodes: usize,
    /// Bytes handed to libxml2.
    pub bytes_to_libxml: usize,
    /// Digests of referenced elements, at most.
    pub digests: usize,
    /// Signatures compared with a key, and keys unwrapped by one, at most.
    pub key_operations: usize,
}

thread_local! {
    static DONE: Cell<Work> = const { Cell::new(Work { bytes: 0, nodes: 0, bytes_to_libxml: 0, digests: 0, key_operations: 0 }) };
}

impl Work {
    /// Runs something and says what it cost.
    pub fn of<T>(task: impl FnOnce() -> T) -> (T, Self) {
        let before = DONE.replace(Self::default());
        let outcome = task();
        (outcome, DONE.replace(before))
    }
}

pub(super) fn add(more: Work) {
    let done = DONE.get();
    DONE.set(Work {
        bytes: done.bytes + more.bytes,
        nodes: done.nodes + more.nodes,
        bytes_to_libxml: done.bytes_to_libxml + more.bytes_to_libxml,
        digests: done.digests + more.digests,
        key_operations: done.key_operations + more.key_operations,
    });
}
