//! What fuzzing keeps, through the functions that it drives: each input was a way that no other one went, or broke something once.

use std::{fs, path::Path};

use rstest::rstest;

#[path = "../../fuzz/src/lib.rs"]
mod targets;

#[rstest]
#[case("decrypt", targets::decrypt::run)]
#[case("metadata", targets::metadata::run)]
#[case("redirect", targets::redirect::run)]
#[case("response", targets::response::run)]
#[case("signed", targets::signed::run)]
fn every_kept_input_keeps_the_promises(#[case] target: &str, #[case] run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 5, "{target} has {inputs} inputs");
}
