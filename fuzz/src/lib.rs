//! What fuzzing tries to break, one module a target: each takes any bytes, and panics only where a promise is broken. `make fuzz` leads
//! inputs through them by the branches that they reach (`fuzz_targets/`); `make test` runs what is kept in `corpus/`.

pub mod decrypt;
pub mod metadata;
pub mod redirect;
pub mod response;
mod sides;
pub mod signed;
