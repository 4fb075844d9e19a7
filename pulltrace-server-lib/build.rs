//! With feature `ui`: compresses the files of the page and generates the code that `src/ui.rs`
//! embeds.
//!
//! The page is built with Node.js, which no other part of the build needs. If it was not built, a
//! debug build warns and embeds a placeholder, and a release build fails.

#[cfg(feature = "ui")]
#[path = "build/page.rs"]
mod page;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    #[cfg(feature = "ui")]
    page::embed();
}
