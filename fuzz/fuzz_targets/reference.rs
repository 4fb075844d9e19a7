//! Image references, as written by people and programs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulltrace_core::{Digest, ImageRef};

fuzz_target!(|text: &str| {
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text, "digest is unchanged");
    }
    let Ok(reference) = text.parse::<ImageRef>() else {
        return;
    };
    let whole = reference.to_string();
    let again: ImageRef = whole.parse().expect("normalized reference is valid");
    assert_eq!(again, reference, "{whole}: normalizing is idempotent");
    assert_eq!(again.to_string(), whole);

    let repository = reference.repository();
    assert_eq!(repository.path(), reference.path());
    assert!(!repository.host().is_empty() && !repository.path().is_empty());
    assert!(whole.starts_with(reference.domain()), "{whole}");
});
